"""What happens by the clock: looking at repositories, trying again, snapshots, forgetting."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from innkeeper.control import branches, notices, publishing
from innkeeper.control.house import House
from innkeeper.control.operating import OURS
from innkeeper.control.requests import request
from innkeeper.engine.errors import EngineError
from innkeeper.model.jobs import Job, Request
from innkeeper.model.plan import Json
from innkeeper.model.sources import Source

_TICK = 0.5
_JITTER = 0.1
_FORGET_SECONDS = 3600.0
_FIRST, _LAST = timedelta(seconds=1), timedelta(minutes=5)
"""Pauses before a failed sync or look is tried again: they double."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_logger = logging.getLogger(__name__)


def seconds(duration: str) -> float:
    """`3m` is 180."""
    return int(duration[:-1]) * _UNITS[duration[-1]]


def stalled_key(source: str) -> str:
    """Where the store holds the last job of a source that failed for what only a person can mend."""
    return f"stalled/{source}"


def _pause(failures: int) -> timedelta:
    return min(_FIRST * (1 << min(max(0, failures - 1), 20)), _LAST)


@dataclass(slots=True)
class Schedule:
    """Runs in one replica only. It keeps nothing: what is due is told by the store."""

    house: House
    random: Random = field(default_factory=Random)
    _next: dict[str, float] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)
    """How often in turn a source could not be read."""
    _telling: set[asyncio.Task[None]] = field(default_factory=set)
    _untold: int = 0
    """How often in turn services could not be told."""
    _tell_at: float = 0.0
    _began: datetime | None = None
    _forgot: float = 0.0

    async def run(self) -> None:
        """Until cancelled; what was begun is ended first."""
        self._began = self.house.now()
        while True:
            turn = asyncio.create_task(self._turn())
            try:
                await asyncio.shield(turn)
            except asyncio.CancelledError:
                await turn
                await asyncio.gather(*self._telling)
                raise
            await asyncio.sleep(_TICK)

    async def _turn(self) -> None:
        for source in self.house.sources.values():
            try:
                await self._source(source)
            except EngineError as error:
                _logger.info("source %s: %s", source.name, error)
            except Exception:
                _logger.exception("the schedule of source %s", source.name)
        try:
            await self._publish()
        except EngineError as error:
            _logger.info("services were not told: %s", error)
        await self._forget()

    async def _publish(self) -> None:
        """Once after a start, for a crash may have come in between; then where somebody could not be told."""
        now, first = asyncio.get_running_loop().time(), self._tell_at == 0.0
        if now < self._tell_at or not (first or await publishing.due(self.house)):
            return
        await publishing.publish(self.house, lambda line, level: _logger.info("%s: %s", level, line))
        self._untold = self._untold + 1 if await publishing.due(self.house) else 0
        self._tell_at = now + _pause(self._untold).total_seconds()

    async def _source(self, source: Source) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._next.get(source.name, 0.0):
            interval = timedelta(seconds=seconds(source.spec.interval))
            failures = 0 if await self._fetch(source) else self._failed.get(source.name, 0) + 1
            self._failed[source.name] = failures
            pause = min(_pause(failures), interval) if failures else interval
            self._next[source.name] = now + pause.total_seconds() * self.random.uniform(1 - _JITTER, 1 + _JITTER)
            if not failures:
                await branches.look(self.house, source)
        if not self._failed.get(source.name):  # a sync begins with the same look
            await self._due(source)
        await self._snapshot(source)

    async def _fetch(self, source: Source) -> bool:
        """The newest revision, without a job: most looks find nothing new. Whether the repository could be read."""
        store = self.house.store
        try:
            commit = await self.house.repository(source.name).fetch()
        except EngineError as error:
            record = await store.source(source.name)
            if record.error != str(error):
                _logger.warning("%s", error)
                await store.put_source(source.name, error=str(error))
                self.house.bus.tell("source", {"name": source.name})
            self._tell(source, str(error))
            return False
        self._tell(source, "")
        record = await store.source(source.name)
        # What a render said of this very revision stands; that the server did not answer does not.
        said = record.error if commit.revision == record.seen and await self._failed_at(source, commit.revision) else ""
        await store.put_source(source.name, seen=commit.revision, fetched_at=self.house.now(), error=said)
        let_go = await branches.let_go(self.house, source, commit.revision)
        if commit.revision != record.seen or let_go:
            self.house.bus.tell("source", {"name": source.name})
        return True

    def _tell(self, source: Source, error: str) -> None:
        """Beside the schedule: whoever is slow to hear of it holds up no look."""
        task = asyncio.create_task(notices.unread(self.house, source.name, error))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _failed_at(self, source: Source, revision: str) -> bool:
        jobs = await self.house.store.jobs(source=source.name, limit=20)
        found = next((job for job in jobs if job.revision == revision and job.request.type == "sync"), None)
        return found is not None and found.state == "failed"

    async def _due(self, source: Source) -> None:
        """A sync where the newest revision was not synced, nor is it being: at once, or after a failure's pause."""
        record = await self.house.store.source(source.name)
        wanted = record.pinned or record.seen
        if not wanted or record.suspended or source.spec.suspend:
            return
        jobs = [
            job
            for job in await self.house.store.jobs(source=source.name, limit=20)
            if job.request.type in ("sync", "rollback") and not job.request.only
        ]
        if any(job.state == "pending" or (job.state == "running" and job.revision in ("", wanted)) for job in jobs):
            return
        # A branch that went back to what was synced: what it was meanwhile was begun, or its plan waits for a person.
        asked = [job for job in jobs if job.state == "waiting" and job.request.type == "sync"]
        outdated = any(job.revision != wanted and not job.request.revision for job in asked)
        begun = next((job for job in jobs if job.state in ("succeeded", "failed")), None)
        other = begun is not None and begun.revision not in ("", wanted)
        if record.synced == wanted and not outdated and not other:
            return
        latest = next((job for job in jobs if job.revision == wanted or not job.revision), None)
        if latest is not None and latest.state in ("waiting", "cancelled"):
            return
        if latest is not None and latest.state == "failed" and not await self._again(source, jobs, wanted):
            return
        await request(self.house, Request("sync", source.name, trigger="timer"))

    async def _again(self, source: Source, jobs: Sequence[Job], wanted: str) -> bool:
        """Whether the pause after the failures of this revision is over. A newer revision has no failures yet.

        What only a person can mend is looked at again once an interval; and after a start, which may be the mending.
        """
        failures = 0
        for job in jobs:
            if job.state != "failed" or (job.revision and job.revision != wanted):
                break
            failures += 1
        ended = jobs[0].finished_at or self.house.now()
        pause = _pause(failures)
        stalled = await self.house.store.value(stalled_key(source.name)) == jobs[0].id
        if stalled and jobs[0].revision and self._began is not None and ended >= self._began:
            pause = max(pause, timedelta(seconds=seconds(source.spec.interval)))
        return self.house.now() - ended >= pause

    async def _snapshot(self, source: Source) -> None:
        plan = source.spec.snapshots
        if plan is None:
            return
        key = f"snapshots/{source.name}"
        last = await self.house.store.value(key)
        now = self.house.now()
        if isinstance(last, str) and now - datetime.fromisoformat(last) < timedelta(seconds=seconds(plan.every)):
            return
        if not (await self.house.store.source(source.name)).synced:
            return
        await self.house.store.put_value(key, now.isoformat())
        name = f"{OURS}auto-{now.astimezone(UTC):%Y%m%dT%H%M%S}"
        payload: dict[str, Json] = {"name": name, "keep": plan.keep}
        await request(self.house, Request("snapshot", source.name, trigger="schedule", payload=payload))

    async def _forget(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._forgot and now - self._forgot < _FORGET_SECONDS:
            return
        self._forgot = now
        kept = self.house.server.retention
        before = self.house.now() - timedelta(seconds=seconds(kept.jobs))
        try:
            await self.house.store.forget_jobs(before, kept.keep)
        except EngineError as error:
            _logger.warning("old jobs were not forgotten: %s", error)
