"""Branches that say what is to be done: `snapshot`, `rollback` and `main` beside a container monorepo's `release`.

A move of one is the wish, not where it stands: what was there before the first look is only remembered, and so is
everything once the memory was lost. A branch is remembered when what it asked for was done; until then each look finds
that it moved.
"""

from collections.abc import Mapping

from innkeeper.control.house import House
from innkeeper.control.requests import request
from innkeeper.control.running import Outcome, Run, by_itself
from innkeeper.model.jobs import JobType, Request
from innkeeper.model.sources import Source

DONE = Outcome("succeeded", "what the branch asks for was done already")
DOES: Mapping[str, JobType] = {"snapshot": "snapshot", "rollback": "rollback", "main": "configure"}
"""The job that a move of a branch asks for."""
_SHORT = 12


def snapshot_name(revision: str) -> str:
    """What the snapshots of the branch `snapshot` are called while it stands there: of one commit there is one."""
    return f"innkeeper-at-{revision[:_SHORT]}"


async def moved(house: House, source: Source) -> Mapping[str, str]:
    """Branches beside the source's own that moved, with where to; in the order that they are to be acted on."""
    if not source.spec.beside:
        return {}
    heads, found = await house.repository(source.name).heads(source.spec.beside), dict[str, str]()
    for branch in source.spec.beside:
        head, before = heads.get(branch, ""), await house.store.value(_key(source, branch))
        if before is None or not head:
            await done(house, source, branch, head)
        elif head != before:
            found[branch] = head
    return found


async def look(house: House, source: Source) -> None:
    """Ask for what moved branches say. One that is worked on is left to a later look: it may have moved once more."""
    record = await house.store.source(source.name)
    if record.suspended or source.spec.suspend:
        return
    found = await moved(house, source)
    working = await house.store.jobs(states=("running",), source=source.name)
    busy = {job.request.payload.get("branch") for job in working}
    for branch in (name for name in found if name not in busy):
        await request(house, Request(DOES[branch], source.name, trigger="timer", payload={"branch": branch}))


async def asked(run: Run, source: Source, branch: str) -> str:
    """The commit that a branch asks at, or that was approved; empty where it was done, and no person asks again."""
    if run.job.approved_by and run.job.revision:
        return run.job.revision
    revision = await run.house.repository(source.name).resolve(branch)
    run.say(f"branch {branch} is at {revision[:_SHORT]}", phase="fetch")
    done_already = by_itself(run.job) and revision == await stands_at(run.house, source, branch)
    return "" if done_already else revision


async def stands_at(house: House, source: Source, branch: str) -> str:
    """Where the branch stood when what it asks for was done last."""
    return str(await house.store.value(_key(source, branch)) or "")


async def done(house: House, source: Source, branch: str, revision: str) -> None:
    if await house.store.value(_key(source, branch)) != revision:
        await house.store.put_value(_key(source, branch), revision)


def _key(source: Source, branch: str) -> str:
    return f"branch/{source.name}/{branch}"


async def hold(house: House, source: Source, revision: str, *, by_branch: bool) -> None:
    """The source stays at this revision until a person releases it; held by a branch, until its own moves, too."""
    head = (await house.store.source(source.name)).seen
    await house.store.put_source(source.name, pinned=revision)
    await house.store.put_value(f"held/{source.name}", head if by_branch else None)


async def let_go(house: House, source: Source, newest: str) -> bool:
    """Whether the source was held by a branch, and its own has moved since: then it is held no more."""
    key = f"held/{source.name}"
    held = await house.store.value(key)
    if held is None or held == newest:
        return False
    await house.store.put_value(key, None)
    await house.store.put_source(source.name, pinned="")
    return True
