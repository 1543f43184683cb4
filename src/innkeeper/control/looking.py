"""What people look at that no table holds: clusters as they are now, and what needs attention first."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from innkeeper.control import clusters
from innkeeper.control.errors import NotFound
from innkeeper.control.house import House
from innkeeper.control.memory import Counts, GuestQuery
from innkeeper.control.ports import Finding, Link, NodeUse, Snapshot, Task
from innkeeper.engine.errors import Conflict, EngineError, Stalled, Waiting
from innkeeper.model.jobs import Job
from innkeeper.model.objects import Declared, GuestKind, Ref
from innkeeper.model.records import Drift, GuestRecord, SourceRecord

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Overview:
    """The first page: what needs a person, then what there is, then what happened. At most 20 of each."""

    counts: Counts
    failed: tuple[Job, ...]
    """The newest job of each source and type, where that one failed."""
    waiting: tuple[Job, ...]
    drifted: tuple[Drift, ...]
    degraded: tuple[GuestRecord, ...]
    reboot: tuple[GuestRecord, ...]
    """Guests whose changes are in effect only after a restart."""
    sources: tuple[SourceRecord, ...]
    """Those that cannot be fetched or rendered, are suspended, or are held at an earlier revision."""
    recent: tuple[Job, ...]


async def overview(house: House) -> Overview:
    store = house.store
    recent = await store.jobs(limit=100)
    newest: dict[tuple[str, str], Job] = {}
    for job in recent:
        if job.state in ("failed", "succeeded", "waiting"):
            newest.setdefault((job.request.source, job.request.type), job)
    sick = await store.guests(GuestQuery(health=("Degraded", "Missing"), limit=_SHOWN))
    reboot = await store.guests(GuestQuery(conditions=("PendingReboot",), limit=_SHOWN))
    records = [await store.source(name) for name in house.sources]
    return Overview(
        counts=await store.counts(),
        failed=tuple(job for job in newest.values() if job.state == "failed")[:_SHOWN],
        waiting=await store.jobs(states=("waiting",), limit=_SHOWN),
        drifted=await store.drifts(ignored=False, limit=_SHOWN),
        degraded=sick.guests,
        reboot=reboot.guests,
        sources=tuple(item for item in records if item.error or item.suspended or item.pinned),
        recent=recent[:_SHOWN],
    )


async def known(house: House, source: str, ref: Ref) -> GuestRecord:
    """The record of a guest that exists; NotFound, or Stalled while it has no vmid yet."""
    found = await house.store.guest(source, ref)
    if found is None:
        raise NotFound(f"source {source} has no guest {ref}")
    if found.vmid is None:
        raise Stalled(f"{ref} does not exist yet", "Sync its source first.")
    return found


async def snapshots(house: House, source: str, ref: Ref) -> Sequence[Snapshot]:
    """Newest last."""
    record = await known(house, source, ref)
    async with _link(house, record) as link:
        assert record.vmid is not None
        kind: GuestKind = "Container" if record.ref.kind == "Container" else "VirtualMachine"
        try:
            return await link.snapshots(kind, record.node, record.vmid)
        except Conflict:  # it is not there any more: it has moved, or is gone
            seen = await link.guest(record.vmid)
            return await link.snapshots(seen.kind, seen.node, seen.vmid) if seen is not None else ()


@asynccontextmanager
async def _link(house: House, record: GuestRecord) -> AsyncIterator[Link]:
    async with clusters.reach(house, await clusters.cluster(house, record.cluster, record.source)) as link:
        yield link


async def tasks(house: House, source: str, ref: Ref) -> Sequence[Task]:
    """What Proxmox did with a guest, newest first."""
    record = await known(house, source, ref)
    async with _link(house, record) as link:
        assert record.vmid is not None
        return await link.tasks(record.vmid)


async def nodes(house: House, cluster: str) -> tuple[NodeUse, ...]:
    async with clusters.reach(house, await clusters.cluster(house, cluster)) as link:
        return await link.usage()


async def doctor(house: House, cluster: str) -> tuple[Finding, ...]:
    found = await clusters.cluster(house, cluster)
    try:
        return await house.links.examine(Declared((found,)), found)
    except EngineError as error:
        raise Waiting(error.message, error.advice) from None
