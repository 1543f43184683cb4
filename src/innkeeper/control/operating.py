"""What is done to one guest beside its manifest: snapshots, going back to one, power."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from innkeeper.control import branches, clusters, looking
from innkeeper.control.memory import GuestQuery
from innkeeper.control.ports import Link
from innkeeper.control.running import SUSPENDED, Outcome, Run, suspended
from innkeeper.engine.errors import Conflict, EngineError, Stalled, Waiting
from innkeeper.model.objects import Ref
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import IMPACTS, Operation, Plan
from innkeeper.model.records import GuestRecord
from innkeeper.model.sources import Source
from innkeeper.planner import calls
from innkeeper.planner.policy import Unreachable

OURS = "innkeeper-"
"""What the names of snapshots begin with that Innkeeper takes by itself."""
_PATIENCE = 120.0
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")


async def snapshot(run: Run) -> Outcome:
    payload, source = run.job.request.payload, run.job.request.source
    if "branch" in payload:
        return await _of_branch(run)
    name, keep = snapshot_name(str(payload["name"])), payload.get("keep")
    done: list[str] = []
    for text in run.job.request.only or await _all(run):
        if run.stop.is_set():
            return Outcome("failed", "stopped", "stopped before all snapshots were taken", "Stopped")
        ref = _ref(text)
        async with _reached(run, source, ref) as (link, seen):
            if payload.get("delete"):
                await remove(run, link, seen, name)
            else:
                await take(run, link, seen, name)
                await _thin(run, link, seen, name, keep if isinstance(keep, int) else 0)
        done.append(text)
    what = "removed" if payload.get("delete") else "taken"
    return Outcome("succeeded", f"snapshot {name} {what}: {', '.join(done[:5])}" + (" …" if len(done) > 5 else ""))


async def _of_branch(run: Run) -> Outcome:
    """A snapshot of all guests, called by the commit that the branch stands at."""
    house, source = run.house, run.house.source(run.job.request.source)
    if await suspended(run, source):
        return SUSPENDED
    branch = str(run.job.request.payload["branch"])
    if not (revision := await branches.asked(run, source, branch)):
        return branches.DONE
    await house.store.update_job(run.job.id, ("running",), revision=revision)
    count = await _taken(run, source, branch, revision)
    told = f"snapshot {branches.snapshot_name(revision)} of {count} guest{'' if count == 1 else 's'}"
    return Outcome("succeeded", told, revision=revision)


async def asked_for(run: Run, source: Source) -> None:
    """What a branch asks for before anything else: a snapshot of what the guests still are."""
    branch = "snapshot"
    if (revision := (await branches.moved(run.house, source)).get(branch)) is None:
        return
    run.say(f"branch {branch} moved to {revision[:12]}: its snapshot comes first")
    try:
        await _taken(run, source, branch, revision)
    except EngineError as error:
        if run.stop.is_set():
            raise
        advice = f"{error.advice} To go on without it, delete the branch {branch}.".strip()
        raise Stalled(f"the snapshot that comes first cannot be taken: {error.message}", advice) from error


async def _taken(run: Run, source: Source, branch: str, revision: str) -> int:
    """How many guests have it now; one that was taken away by hand holds nobody up."""
    name, count = branches.snapshot_name(revision), 0
    for text in await _all(run):
        if run.stop.is_set():
            raise Waiting("stopped before all snapshots were taken", "The next look goes on.")
        try:
            async with _reached(run, source.name, _ref(text)) as (link, seen):
                await take(run, link, seen, name)
                count += 1
        except Conflict as error:
            run.say(f"no snapshot: {error.message}", "warning", guest=text)
    await branches.done(run.house, source, branch, revision)
    return count


@dataclass(frozen=True, slots=True)
class Back:
    """A guest with a snapshot that it can be taken back to."""

    ref: Ref
    cluster: str
    vmid: int
    snapshot: str


async def kept(
    run: Run, links: Mapping[str, Link | Unreachable], records: Iterable[GuestRecord], revision: str
) -> tuple[Back, ...]:
    """The guests that the branch `snapshot` kept at this commit."""
    name, found, own = branches.snapshot_name(revision), list[Back](), run.house.server.own_guest
    for record in records:
        link = links.get(record.cluster)
        if record.vmid is None or link is None or isinstance(link, Unreachable):
            continue
        seen = await link.guest(record.vmid)
        if seen is None or not _is(seen, record.source, record.ref):
            continue
        if name not in {item.name for item in await link.snapshots(seen.kind, seen.node, seen.vmid)}:
            continue
        if own is not None and (own.cluster, own.vmid) == (record.cluster, record.vmid):
            run.say("this server runs in it: it is not taken back from here", "warning", guest=str(record.ref))
            continue
        found.append(Back(record.ref, record.cluster, record.vmid, name))
    return tuple(found)


async def take_back(run: Run, links: Mapping[str, Link | Unreachable], found: Iterable[Back]) -> None:
    """Each guest becomes what it was; its cluster is held already."""
    for item in found:
        link = links[item.cluster]
        assert not isinstance(link, Unreachable)
        await link.settle(item.vmid, run.say, _PATIENCE)
        seen = await link.guest(item.vmid)
        if seen is None or not _is(seen, run.job.request.source, item.ref):
            raise Conflict(f"guest {item.vmid} is not {item.ref} any more", "Sync the source first.")
        await _go_back(run, link, seen, item.ref, item.snapshot)


async def restore(run: Run) -> Outcome:
    name, ref = snapshot_name(str(run.job.request.payload["name"])), _ref(run.job.request.only[0])
    async with _reached(run, run.job.request.source, ref) as (link, seen):
        if name not in {item.name for item in await link.snapshots(seen.kind, seen.node, seen.vmid)}:
            raise Stalled(f"{ref} has no snapshot {name}", "Look at the list of its snapshots.")
        await _not_own(run, ref, "restored")
        await _go_back(run, link, seen, ref, name)
    return Outcome("succeeded", f"{ref} is what it was at snapshot {name}")


async def _go_back(run: Run, link: Link, seen: ObservedGuest, ref: Ref, name: str) -> None:
    was_running = seen.power == "running"
    await _call(run, link, Operation("restoring", "POST", f"{calls.of(seen)}/snapshot/{name}/rollback"), ref)
    again = await link.guest(seen.vmid)
    if was_running and again is not None and again.power == "stopped":
        await _call(run, link, calls.start(calls.of(again)), ref)


async def power(run: Run) -> Outcome:
    action, ref = str(run.job.request.payload["action"]), _ref(run.job.request.only[0])
    async with _reached(run, run.job.request.source, ref) as (link, seen):
        aim = "running" if action in ("start", "reboot") else "stopped"
        if seen.power == aim and action != "reboot":
            return Outcome("succeeded", f"{ref} is {aim} already")
        await _not_own(run, ref, "stopped")
        await _call(run, link, Operation(action, "POST", f"{calls.of(seen)}/status/{action}"), ref)
    return Outcome("succeeded", f"{ref}: {action} done")


async def _not_own(run: Run, ref: Ref, what: str) -> None:
    """Stalled for the guest that this server runs in: it could not tell how that ended, nor go on."""
    own, record = run.house.server.own_guest, await looking.known(run.house, run.job.request.source, ref)
    if own is not None and (record.cluster, record.vmid) == (own.cluster, own.vmid):
        raise Stalled(f"{ref} is the guest that this server runs in: it is not {what} from here", "do it on its node")


async def before(run: Run, links: Mapping[str, Link | Unreachable], plan: Plan) -> None:
    """Snapshots of guests that a plan changes gravely. One that cannot be taken stops the sync: it was asked for."""
    every = bool(run.job.request.payload.get("snapshot"))
    for step in plan.steps:
        grave = every or IMPACTS.index(step.impact) >= IMPACTS.index("restart")
        link = links.get(step.cluster)
        if step.action != "update" or not step.operations or not grave or link is None:
            continue
        if isinstance(link, Unreachable):
            continue
        seen = await link.guest(step.vmid)
        if seen is not None:
            await take(run, link, seen, f"{OURS}before-{run.job.id}")


async def take(run: Run, link: Link, seen: ObservedGuest, name: str) -> None:
    if name in {item.name for item in await link.snapshots(seen.kind, seen.node, seen.vmid)}:
        run.say(f"snapshot {name} is there already", guest=_called(seen))
        return
    params = (("snapname", name), ("description", f"Innkeeper, job {run.job.id}"))
    operation = Operation("snapshot", "POST", f"{calls.of(seen)}/snapshot", params)
    await _call(run, link, operation, Ref(seen.kind, _called(seen)))


async def remove(run: Run, link: Link, seen: ObservedGuest, name: str) -> None:
    if name not in {item.name for item in await link.snapshots(seen.kind, seen.node, seen.vmid)}:
        return
    operation = Operation("snapshot", "DELETE", f"{calls.of(seen)}/snapshot/{name}")
    await _call(run, link, operation, Ref(seen.kind, _called(seen)))


async def _thin(run: Run, link: Link, seen: ObservedGuest, name: str, keep: int) -> None:
    """Only the newest of those of this schedule stay: they share all of their name but its last part."""
    if keep < 1 or not name.startswith(OURS):
        return
    stem = name.rpartition("-")[0]
    ours = [
        item for item in await link.snapshots(seen.kind, seen.node, seen.vmid) if item.name.rpartition("-")[0] == stem
    ]
    ours.sort(key=lambda item: (item.at is not None, item.at))
    for item in ours[:-keep]:
        await remove(run, link, seen, item.name)


async def _call(run: Run, link: Link, operation: Operation, ref: Ref) -> None:
    run.say(operation.phase, guest=str(ref), phase=operation.phase)
    await link.call(operation, "", lambda line: run.say(line, guest=str(ref), phase=operation.phase))


@asynccontextmanager
async def _reached(run: Run, source: str, ref: Ref) -> AsyncIterator[tuple[Link, ObservedGuest]]:
    """One of our guests, its cluster held. Conflict: it is not ours any more."""
    record = await looking.known(run.house, source, ref)
    where = await clusters.cluster(run.house, record.cluster, source)
    async with clusters.reach(run.house, where) as link, run.house.queue.cluster((record.cluster,)):
        assert record.vmid is not None
        await link.settle(record.vmid, run.say, _PATIENCE)
        seen = await link.guest(record.vmid)
        if seen is None or not _is(seen, source, ref):
            raise Conflict(f"guest {record.vmid} is not {ref} of source {source} any more", "Sync the source first.")
        yield link, seen


def _is(seen: ObservedGuest, source: str, ref: Ref) -> bool:
    marker = seen.marker
    return marker is not None and (marker.source, marker.kind, marker.name) == (source, ref.kind, ref.name)


async def _all(run: Run) -> tuple[str, ...]:
    page = await run.house.store.guests(GuestQuery(sources=(run.job.request.source,), limit=100_000))
    return tuple(str(item.ref) for item in page.guests if item.vmid is not None and item.health != "Missing")


def snapshot_name(name: str) -> str:
    """The name, or Stalled: it becomes a part of an address. Source: PVE::JSONSchema, `pve-configid`, maxLength 40."""
    if not _NAME.fullmatch(name):
        raise Stalled(
            f"{name!r} cannot be a snapshot's name", "It begins with a letter; letters, digits, - and _ follow."
        )
    return name


def _ref(text: str) -> Ref:
    kind, _, name = text.partition("/")
    return Ref(kind, name)


def _called(seen: ObservedGuest) -> str:
    return seen.marker.name if seen.marker else str(seen.vmid)
