"""Does jobs: each to an end that is recorded, whatever happens on the way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from innkeeper.control import committing, notices, operating, planning, syncing
from innkeeper.control.house import House
from innkeeper.control.running import Outcome, Run, running
from innkeeper.control.scheduling import stalled_key
from innkeeper.engine.errors import EngineError, Stalled, Unexplained, Waiting
from innkeeper.model.jobs import Job, JobType

_logger = logging.getLogger(__name__)
_PAUSE = 2.0

T = TypeVar("T")
Doer = Callable[[Run], Awaitable[Outcome]]
_DOERS: dict[JobType, Doer] = {
    "sync": syncing.sync,
    "rollback": syncing.rollback,
    "configure": syncing.configure,
    "plan": planning.plan,
    "commit": committing.commit,
    "snapshot": operating.snapshot,
    "restore": operating.restore,
    "power": operating.power,
}
_ONCE: frozenset[JobType] = frozenset({"snapshot", "restore", "power"})
"""What is not begun again after a crash: nobody knows how far it came."""
_PLANNED: frozenset[JobType] = frozenset({"sync", "rollback", "configure"})


@dataclass(frozen=True, slots=True)
class Worker:
    """`Work` of the queue: never raises but CancelledError."""

    house: House
    _told: set[asyncio.Task[None]] = field(default_factory=set)
    _working: set[asyncio.Task[None]] = field(default_factory=set)
    _closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, number: int) -> None:
        mine = asyncio.current_task()
        if self._closed.is_set() or mine is None:
            return  # it stays pending, and is found by whoever works next
        self._working.add(mine)
        try:
            await self._work(number)
        finally:
            self._working.discard(mine)

    async def drain(self) -> None:
        """Begin no job any more, and wait until those that run have come to their own end."""
        self._closed.set()
        while self._working:
            await asyncio.wait(self._working)

    async def _work(self, number: int) -> None:
        job = await self._patiently(lambda: self.house.store.job(number))
        if job is None or job.state not in ("pending", "running"):
            return
        if job.state == "running" and job.request.type in _ONCE:
            interrupted = "interrupted: Innkeeper ended in the middle of it"
            await self._end(job, Outcome("failed", interrupted, f"{interrupted}; look at the guest", "Interrupted"))
            return
        again = job.state == "running"
        begun = await self._patiently(
            lambda: self.house.store.update_job(
                number, ("pending", "running"), state="running", started_at=self.house.now(), error=""
            )
        )
        if begun is None:
            return
        self._tell(begun)
        stop = asyncio.Event()
        task = asyncio.create_task(self._do(begun, stop, again=again))
        try:
            outcome = await asyncio.shield(task)
        except asyncio.CancelledError:
            # The server stops: no call is left alone, and the next start goes on from what the guests are.
            stop.set()
            outcome = await task
            if outcome.state in ("failed", "cancelled") and begun.request.type not in _ONCE:
                await self.house.store.update_job(
                    number, ("running",), state="pending", summary="goes on after a restart"
                )
            else:
                await self._end(begun, outcome)
            raise
        await self._end(begun, outcome)

    async def rest(self) -> None:
        """Until everybody was told of what has ended."""
        await asyncio.gather(*self._told)

    async def _do(self, job: Job, stop: asyncio.Event, *, again: bool) -> Outcome:
        async with running(self.house, job, stop) as run:
            if again:
                run.say("interrupted before: looking again, and going on from there", "warning")
            try:
                outcome = await _DOERS[job.request.type](run)
            except EngineError as error:
                run.say(str(error), "error")
                hopeless = isinstance(error, Stalled) and not isinstance(error, Unexplained)
                outcome = Outcome("failed", error.message, str(error), type(error).__name__, stalled=hopeless)
            except Exception as error:
                _logger.exception("job %d", job.id)
                text = f"Innkeeper made a mistake ({type(error).__name__}); its log tells more"
                run.say(text, "error")
                outcome = Outcome("failed", text, text, "Defect")
            cancelled = await self._patiently(lambda: self.house.store.value(f"cancel/{job.id}"))
            if cancelled and outcome.state == "failed":
                outcome = Outcome(
                    "cancelled", f"cancelled by {cancelled}", "", "", outcome.result, "", outcome.revision
                )
            return outcome

    async def _end(self, job: Job, outcome: Outcome) -> None:
        """Recorded in any case: a full disk or a database that is away is waited for."""
        waits = outcome.state == "waiting"
        changes: dict[str, object] = {
            "state": outcome.state,
            "summary": outcome.summary,
            "error": outcome.error,
            "result": outcome.result,
            "digest": outcome.digest,
            "finished_at": None if waits else self.house.now(),
        }
        if outcome.revision:
            changes["revision"] = outcome.revision
        if waits:
            changes["approved_by"] = ""
        if outcome.stalled:
            await self._patiently(lambda: self.house.store.put_value(stalled_key(job.request.source), job.id))
        done = await self._patiently(lambda: self.house.store.update_job(job.id, ("running",), **changes))
        if done is None:
            return
        self._tell(done, outcome.kind)
        looked = outcome.state in ("succeeded", "waiting") and bool(outcome.revision)
        if job.request.type in _PLANNED and not job.request.only and looked:
            await self._patiently(lambda: self._supersede(job))
        task = asyncio.create_task(notices.ended(self.house, done, outcome))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _supersede(self, job: Job) -> None:
        """Older plans of its kind that wait for a person are of the past: this job has looked since."""
        for old in await self.house.store.jobs(states=("waiting",), source=job.request.source):
            if old.id < job.id and old.request.type == job.request.type:
                changes = {
                    "state": "cancelled",
                    "summary": f"job {job.id} took its place",
                    "finished_at": self.house.now(),
                }
                if gone := await self.house.store.update_job(old.id, ("waiting",), **changes):
                    self._tell(gone)

    def _tell(self, job: Job, kind: str = "") -> None:
        self.house.bus.tell("job", {"id": job.id, "state": job.state, "source": job.request.source, "error": kind})

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await call()
            except Waiting as error:
                _logger.warning("waiting for the store: %s", error)
                await asyncio.sleep(max(error.after, _PAUSE))
