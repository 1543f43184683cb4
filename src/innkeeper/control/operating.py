"""What is done to one guest beside its manifest: snapshots, going back to one, power."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from innkeeper.control import clusters, looking
from innkeeper.control.memory import GuestQuery
from innkeeper.control.ports import Link
from innkeeper.control.running import Outcome, Run
from innkeeper.engine.errors import Conflict, Stalled
from innkeeper.model.objects import Ref
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import IMPACTS, Operation, Plan
from innkeeper.planner import calls
from innkeeper.planner.policy import Unreachable

OURS = "innkeeper-"
"""What the names of snapshots begin with that Innkeeper takes by itself."""
_PATIENCE = 120.0
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")


async def snapshot(run: Run) -> Outcome:
    payload, source = run.job.request.payload, run.job.request.source
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


async def restore(run: Run) -> Outcome:
    name, ref = snapshot_name(str(run.job.request.payload["name"])), _ref(run.job.request.only[0])
    async with _reached(run, run.job.request.source, ref) as (link, seen):
        if name not in {item.name for item in await link.snapshots(seen)}:
            raise Stalled(f"{ref} has no snapshot {name}", "Look at the list of its snapshots.")
        await _not_own(run, ref, "restored")
        was_running = seen.power == "running"
        await _call(run, link, Operation("restoring", "POST", f"{calls.of(seen)}/snapshot/{name}/rollback"), ref)
        again = await link.guest(seen.vmid)
        if was_running and again is not None and again.power == "stopped":
            await _call(run, link, calls.start(calls.of(again)), ref)
    return Outcome("succeeded", f"{ref} is what it was at snapshot {name}")


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
    if name in {item.name for item in await link.snapshots(seen)}:
        run.say(f"snapshot {name} is there already", guest=_called(seen))
        return
    params = (("snapname", name), ("description", f"Innkeeper, job {run.job.id}"))
    operation = Operation("snapshot", "POST", f"{calls.of(seen)}/snapshot", params)
    await _call(run, link, operation, Ref(seen.kind, _called(seen)))


async def remove(run: Run, link: Link, seen: ObservedGuest, name: str) -> None:
    if name not in {item.name for item in await link.snapshots(seen)}:
        return
    operation = Operation("snapshot", "DELETE", f"{calls.of(seen)}/snapshot/{name}")
    await _call(run, link, operation, Ref(seen.kind, _called(seen)))


async def _thin(run: Run, link: Link, seen: ObservedGuest, name: str, keep: int) -> None:
    """Only the newest of those of this schedule stay: they share all of their name but its last part."""
    if keep < 1 or not name.startswith(OURS):
        return
    stem = name.rpartition("-")[0]
    ours = [item for item in await link.snapshots(seen) if item.name.rpartition("-")[0] == stem]
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
        marker = seen.marker if seen is not None else None
        if seen is None or marker is None or (marker.source, marker.kind, marker.name) != (source, ref.kind, ref.name):
            raise Conflict(f"guest {record.vmid} is not {ref} of source {source} any more", "Sync the source first.")
        yield link, seen


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
