"""Drift within seconds at little cost: one call tells whether anything moved, a few more look at what it cannot show.

`/cluster/resources` shows power, size, name, tags and node of every guest in one call. Everything else stands only in a
guest's own configuration; those are read in turn, a few at each look, so that all of a home are seen within ten seconds
and a large cluster is not asked more often for being large. What moved is then looked at whole, by the same planner.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import cast

from innkeeper.control import clusters, notices, offering, publishing, recording
from innkeeper.control.fields import value_at
from innkeeper.control.house import House
from innkeeper.control.locating import located
from innkeeper.control.memory import GuestQuery
from innkeeper.control.ports import Link, Task
from innkeeper.control.rendered import Rendered
from innkeeper.control.rendering import leaving, repository_path, synced
from innkeeper.control.requests import request
from innkeeper.control.syncing import MOST, SHORT
from innkeeper.engine.errors import EngineError
from innkeeper.engine.reconcile import Prepared, prepare
from innkeeper.model.diagnostics import Location
from innkeeper.model.jobs import Level, Request
from innkeeper.model.objects import Cluster, Ref
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Json
from innkeeper.model.records import Drift, GuestRecord
from innkeeper.model.sources import Source
from innkeeper.planner.policy import Policy, Unreachable

TICK = 2.5
"""Seconds between looks."""
ROUND = 3
"""Looks in which all guests of a small cluster are read."""
MOST_READS = 20
"""Guests that are read at one look, however many there are."""
READS_PER_SECOND = 50
"""What whole looks may cost a cluster on average: those of 1,000 guests are at least 20 seconds apart."""
WHOLE = 300.0
"""Seconds after which everything is looked at again although nothing seemed to move."""
CHECKS = 30.0
"""The same for a source whose guests declare health checks: what is ill inside shows nowhere else."""
_HEALED_AGAIN = timedelta(minutes=5)
_BACKOFF = timedelta(seconds=20)
_SKEW = timedelta(seconds=3)
"""How far a node's clock may be behind ours, and a second that its task log does not tell."""
_logger = logging.getLogger(__name__)
_LEVELS: Mapping[Level, int] = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(slots=True)
class Seen:
    """What is known of one cluster: its fingerprint, and that of each guest as it was read last."""

    fingerprint: str = ""
    guests: dict[int, str] = field(default_factory=dict)
    turn: list[int] = field(default_factory=list)
    nodes: int = 0
    """Those that are online."""
    known: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Watched:
    """A cluster under the name that it has here: two repositories may call theirs alike.

    `sources` are those whose guests count; none: every one's.
    """

    key: str
    cluster: Cluster
    sources: tuple[str, ...] = ()


@dataclass(slots=True)
class Watch:
    """Runs in one replica only, and never beside a sync of the same cluster."""

    house: House
    tick: float = TICK
    _seen: dict[str, Seen] = field(default_factory=dict)
    _looked: dict[str, float] = field(default_factory=dict)
    _checking: set[str] = field(default_factory=set)
    _away: set[str] = field(default_factory=set)
    """Clusters that did not answer when they were asked last."""
    _moving: set[str] = field(default_factory=set)
    """Sources that something moved under since they were looked at."""
    _looking: set[str] = field(default_factory=set)
    """Sources that are being looked at; several clusters may lead to one."""

    async def run(self) -> None:
        """Until cancelled; a look that was begun is ended first. Trouble of one keeps nobody from the others."""
        house = self.house
        looks = [partial(self._cluster, item) for item in house.clusters.values()]
        looks += [partial(self._own, item) for item in house.sources.values() if "clusters" in item.spec.allow]
        async with asyncio.TaskGroup() as group:
            for look in looks:
                group.create_task(self._repeated(look))

    async def _repeated(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            started = asyncio.get_running_loop().time()
            looking = asyncio.ensure_future(look())
            try:
                await asyncio.shield(looking)
            except asyncio.CancelledError:
                await looking
                raise
            spent = asyncio.get_running_loop().time() - started
            await asyncio.sleep(max(0.1, self.tick - spent))

    async def _cluster(self, cluster: Cluster) -> None:
        sources = self.house.sources.values()
        using = [item for item in sources if item.spec.clusters is None or cluster.name in item.spec.clusters]
        await self._watched(Watched(cluster.name, cluster), using)

    async def _own(self, source: Source) -> None:
        """The clusters that a repository declares itself, for as long as its source may do so."""
        try:
            found = await clusters.own(self.house, source)
        except EngineError as error:
            _logger.info("clusters of source %s are not watched: %s", source.name, error)
            return
        except Exception:
            _logger.exception("clusters of source %s", source.name)
            return
        await asyncio.gather(*(self._watched(self._place(source, item), (source,)) for item in found))

    def _place(self, source: Source, cluster: Cluster) -> Watched:
        if cluster.name in self.house.clusters:
            return Watched(cluster.name, cluster)
        return Watched(f"{source.name}/{cluster.name}", cluster, (source.name,))

    async def _watched(self, watched: Watched, sources: Iterable[Source]) -> None:
        try:
            moved = await self._asked(watched)
        except Exception:
            _logger.exception("watching cluster %s", watched.key)
            return
        for source in sources:
            await self._source(source, watched, moved=moved)

    async def _asked(self, watched: Watched) -> bool:
        """Whether anything moved; that a cluster goes away or comes back is a move, too."""
        was_there = watched.key not in self._away
        try:
            async with clusters.reach(self.house, watched.cluster) as link:
                moved = await self._moved(watched, link)
        except EngineError as error:
            if was_there:
                _logger.warning("cluster %s: %s", watched.key, error)
            self._away.add(watched.key)
            self._seen.pop(watched.key, None)
            self._tell(watched, connected=False)
            return was_there
        self._away.discard(watched.key)
        self._tell(watched, connected=True)
        return moved or not was_there

    def _tell(self, watched: Watched, *, connected: bool) -> None:
        seen = self._seen.get(watched.key)
        calls = {node: dict(load) for node, load in self.house.links.loads().get(watched.cluster.name, {}).items()}
        nodes = seen.nodes if seen else 0
        body: dict[str, Json] = {"name": watched.cluster.name, "connected": connected, "nodes": nodes}
        self.house.bus.tell("cluster", {**body, "calls": cast(Json, calls)})

    async def _moved(self, watched: Watched, link: Link) -> bool:
        """Whether anything is not as it was at the last look."""
        seen = self._seen.setdefault(watched.key, Seen())
        if not seen.turn:
            seen.known = await self._known(watched)
        count = min(MOST_READS, -(-len(seen.known) // ROUND))
        seen.turn = seen.turn or seen.known
        chosen, seen.turn = seen.turn[:count], seen.turn[count:]
        fingerprint, found = await link.glance(chosen)
        moved = fingerprint != seen.fingerprint
        if moved:
            seen.nodes = sum(node.online for node in await link.usage())
            seen.known = await self._known(watched)
        seen.fingerprint = fingerprint
        read = {vmid: _settings(found.get(vmid)) for vmid in chosen}
        moved |= any(seen.guests.get(vmid) != text for vmid, text in read.items())
        seen.guests |= read
        return moved

    async def _known(self, watched: Watched) -> list[int]:
        query = GuestQuery(sources=watched.sources, clusters=(watched.cluster.name,), limit=MOST)
        page = await self.house.store.guests(query)
        return sorted(item.vmid for item in page.guests if item.vmid is not None and item.health != "Missing")

    async def _source(self, source: Source, watched: Watched, *, moved: bool) -> None:
        """Look at a source whose clusters moved; a large one not more often than its reads allow."""
        now = asyncio.get_running_loop().time()
        if moved:
            self._moving.add(source.name)
        known = self._seen[watched.key].known if watched.key in self._seen else []
        idle = CHECKS if source.name in self._checking else WHOLE
        pause = (
            len(known) / READS_PER_SECOND if source.name in self._moving else max(idle, len(known) / READS_PER_SECOND)
        )
        if source.name in self._looking or now - self._looked.get(source.name, -math.inf) < pause:
            return
        self._looking.add(source.name)
        self._moving.discard(source.name)
        try:
            if await self.look(source):
                self._looked[source.name] = now
            else:
                self._moving.add(source.name)
        except EngineError as error:
            _logger.info("source %s was not looked at: %s", source.name, error)
            self._looked[source.name] = now - WHOLE + 15.0
        except Exception:
            _logger.exception("looking at source %s", source.name)
        finally:
            self._looking.discard(source.name)

    async def look(self, source: Source) -> bool:
        """See every guest of a source as it is now, against what was synced last.

        False: a job of it runs, so what is seen now is soon older than what that job tells; look again after it.
        """
        house = self.house
        if await house.store.jobs(states=("running",), source=source.name, limit=1):
            return False
        rendered = await synced(house, source)
        if rendered is None or not rendered.loaded.ok:
            return True
        await offering.keep_profiles(house, source.name, rendered.loaded.declared.profiles)
        if any(guest.spec.health for guest in rendered.loaded.declared.guests):
            self._checking.add(source.name)
        else:
            self._checking.discard(source.name)
        page = await house.store.guests(GuestQuery(sources=(source.name,), limit=MOST))
        former = {item.ref: item for item in page.guests}
        drifts = await house.store.drifts(source=source.name)
        declared, left = leaving(rendered.loaded.declared, drifts, former, house.now())
        policy = Policy(
            source.name, rendered.revision[:SHORT], prune=source.spec.prune, max_deletes=source.spec.max_deletes
        )
        async with house.links.connected(declared.clusters) as links, house.insides(declared) as insider:
            prepared = await prepare(declared, links, policy, insider=insider, health=insider is not None)
            if await house.store.jobs(states=("running",), source=source.name, limit=1):
                return False
            for cluster in declared.clusters:
                view = prepared.views[cluster.name]
                if isinstance(view, ClusterView):
                    read = {vmid: _settings(guest) for vmid, guest in view.guests.items() if guest.config is not None}
                    self._seen.setdefault(self._place(source, cluster).key, Seen()).guests |= read
            await self._record(source, rendered, prepared, links, left)
        if await self._otherwise(source, left, former):
            self._moving.add(source.name)
        await self._heal(source, prepared)
        return True

    async def _otherwise(self, source: Source, left: tuple[Drift, ...], former: Mapping[Ref, GuestRecord]) -> bool:
        """Whether a field that is left alone is not what it was taken for: then this look judged it wrongly."""
        for item in left:
            now, before = await self.house.store.guest(source.name, item.ref), former.get(item.ref)
            if now is None or before is None or value_at(now.live, item.field) != value_at(before.live, item.field):
                return True
        return False

    async def _record(
        self,
        source: Source,
        rendered: Rendered,
        prepared: Prepared,
        links: Mapping[str, Link | Unreachable],
        left: tuple[Drift, ...],
    ) -> None:
        house, now = self.house, self.house.now()
        page = await house.store.guests(GuestQuery(sources=(source.name,), limit=MOST))
        former = {item.ref: item for item in page.guests}

        def where(place: Location) -> tuple[str, int]:
            return repository_path(place.file, rendered.place, source), place.line

        found = await located(recording.records(prepared, source.name, former, now, where), prepared, links)
        drifted = recording.drifts(prepared, source.name, former, now)
        known = {(item.ref, item.field) for item in await house.store.drifts(source=source.name)}
        drifted = tuple(
            [
                item if (item.ref, item.field) in known else await self._blamed(item, links, former.get(item.ref))
                for item in drifted
            ]
        )
        # A guest that is gone drifts as long as it is missing: its record must go on telling that it was there.
        await house.store.put_guests(source.name, found, whole=True)
        fresh = await house.store.put_drift((*drifted, *left), source.name)
        if any(_differs(item, former.get(item.ref)) for item in found) or len(found) != len(former):
            house.bus.tell("guest", {"source": source.name})
            await publishing.publish(house, lambda line, level: _logger.log(_LEVELS[level], "%s", line))
        with suppress(EngineError):
            await notices.ill(house, source.name, former, found)
        if fresh:
            house.bus.tell("drift", {"source": source.name})
            with suppress(EngineError):
                await notices.drifted(house, source.name, fresh)

    async def _blamed(self, drift: Drift, links: Mapping[str, Link | Unreachable], former: GuestRecord | None) -> Drift:
        """With who did it, where the cluster's task log tells."""
        link = links.get(drift.cluster)
        if link is None or isinstance(link, Unreachable):
            return drift
        try:
            tasks = await link.tasks(drift.vmid, 20)
        except EngineError:
            return drift
        # What had ended when the guest was last seen as it should be was somebody else's doing, and be it our own.
        since = former.seen_at - _SKEW if former and former.seen_at else None
        for task in tasks:
            if (since is None or (task.ended_at or self.house.now()) >= since) and _explains(task, drift.field):
                return replace(drift, who=task.user, task=task.upid, found_at=task.started_at)
        return drift

    async def _heal(self, source: Source, prepared: Prepared) -> None:
        """Ask for a sync of what drifted; what failed to be healed is left a while longer each time."""
        house, spec = self.house, source.spec
        record = await house.store.source(source.name)
        if not spec.self_heal or spec.sync == "manual" or spec.suspend or record.suspended:
            return
        former = {item.ref: item for item in await house.store.drifts(source=source.name)}
        refs = [
            str(item.guest.ref)
            for item in prepared.decisions
            if item.guest.ref in former and item.step is not None and item.step.acts and item.step.action != "replace"
        ]
        if not refs or await self._tried_lately(source.name):
            return
        revision = record.pinned or record.synced
        await request(house, Request("sync", source.name, revision, tuple(sorted(refs)), "drift"))

    async def _tried_lately(self, source: str) -> bool:
        """Whether the last attempts to heal failed, and it is too early for another."""
        jobs = [job for job in await self.house.store.jobs(source=source, limit=10) if job.request.trigger == "drift"]
        if any(job.state in ("pending", "running", "waiting") for job in jobs):
            return True
        failures = 0
        for job in jobs:
            if job.state != "failed":
                break
            failures += 1
        if not failures or jobs[0].finished_at is None:
            return False
        pause = min(_BACKOFF * (1 << min(failures - 1, 20)), _HEALED_AGAIN)
        return self.house.now() - jobs[0].finished_at < pause


def _settings(guest: ObservedGuest | None) -> str:
    """The same text while nothing has changed that only a guest's own configuration tells."""
    if guest is None:
        return "not there"
    return guest.unreadable or f"{guest.digest} {sorted(guest.pending.items())}"


def _differs(record: GuestRecord, former: GuestRecord | None) -> bool:
    return former is None or replace(record, seen_at=None) != replace(former, seen_at=None)


_TASKS: Mapping[str, tuple[str, ...]] = {
    "running": ("start", "stop", "shutdown", "reboot", "suspend", "resume"),
    "guest": ("destroy",),
    "rootDisk.size": ("resize",),
}


def _explains(task: Task, field: str) -> bool:
    """Whether a task of this type (`vzstop`, `qmconfig`, `resize`) may be what changed a field."""
    words = _TASKS.get(field, ("config", "resize", "move", "rollback", "restore", "migrate"))
    return any(word in task.type for word in words)
