"""One job while it runs: its log, its stop, its end."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from innkeeper.control.house import House
from innkeeper.engine.errors import EngineError
from innkeeper.engine.ports import Event
from innkeeper.model.jobs import EMPTY, Job, JobState, Level, Trigger
from innkeeper.model.plan import Json
from innkeeper.model.sources import Source

_CANCEL_SECONDS = 0.5
_IDLE_SECONDS = 5.0
"""How long a sync may wait for others, and do nothing else, while a newer one waits for it."""
_PHASES: Mapping[str, Level] = {"failed": "error", "skipped": "warning", "waiting": "info"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended, or that it waits. `kind` names the class of its error."""

    state: JobState
    summary: str
    error: str = ""
    kind: str = ""
    result: Mapping[str, Json] = field(default_factory=lambda: EMPTY)
    digest: str = ""
    revision: str = ""
    stalled: bool = False
    """It failed for what only a person can mend: trying again soon is of no use."""


SUSPENDED = Outcome("succeeded", "suspended: nothing was changed")
_BY_ITSELF: frozenset[Trigger] = frozenset({"webhook", "timer", "drift", "schedule"})


@dataclass(slots=True)
class Progress:
    """What a run is at: `at` is when something last went on, `said` what was told last of each guest."""

    at: float = 0.0
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """`stop` is set when the job is to end at a safe point."""

    house: House
    job: Job
    stop: asyncio.Event
    lines: "asyncio.Queue[tuple[Level, str, str, str] | None]"
    progress: Progress = field(default_factory=Progress)

    def say(self, message: str, level: Level = "info", *, guest: str = "", phase: str = "") -> None:
        self.lines.put_nowait((level, message, guest, phase))

    def listen(self, event: Event) -> None:
        """The engine's progress as lines of the log; who waits says so once."""
        told = event.phase, event.message
        if event.phase != "waiting":
            self.progress.at = asyncio.get_running_loop().time()
        if self.progress.said.get(str(event.ref)) != told:
            self.progress.said[str(event.ref)] = told
            level = _PHASES.get(event.phase, "info")
            self.say(event.message or event.phase, level, guest=str(event.ref), phase=event.phase)


def by_itself(job: Job) -> bool:
    """Whether no person asked for it, or agreed to it."""
    return job.request.trigger in _BY_ITSELF and not job.approved_by


async def suspended(run: Run, source: Source) -> bool:
    """Whether this job may change nothing, because nobody asked for it in person and its source is suspended."""
    if not by_itself(run.job):
        return False
    return source.spec.suspend or (await run.house.store.source(source.name)).suspended


@asynccontextmanager
async def running(house: House, job: Job, stop: asyncio.Event) -> AsyncIterator[Run]:
    """A run whose log is written beside it, and which hears of its cancellation."""
    run, over = Run(house, job, stop, asyncio.Queue()), asyncio.Event()
    writer = asyncio.create_task(_write(run))
    ear = asyncio.create_task(_hear(run, over))
    try:
        yield run
    finally:
        # Not cancelled: that could tear a call to the store in two.
        over.set()
        run.lines.put_nowait(None)
        await ear
        await writer


async def _write(run: Run) -> None:
    while (line := await run.lines.get()) is not None:
        level, message, guest, phase = line
        with suppress(EngineError):  # A full disk loses lines, and nothing else.
            written = await run.house.store.log(run.job.id, level, message, guest=guest, phase=phase)
            run.house.bus.tell("log", {"job": run.job.id, "number": written.number})


async def _hear(run: Run, over: asyncio.Event) -> None:
    """A cancellation may come from another thread or replica: it stands in the store."""
    loop = asyncio.get_running_loop()
    run.progress.at = loop.time()
    while not (run.stop.is_set() or over.is_set()):
        with suppress(EngineError):
            if await run.house.store.value(f"cancel/{run.job.id}"):
                run.say("cancelled: stopping at a safe point", "warning")
                run.stop.set()
            elif loop.time() - run.progress.at > _IDLE_SECONDS and await _newer(run):
                run.progress.superseded = True
                run.say("a newer revision comes first: nothing is waited for any longer", "warning")
                run.stop.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), _CANCEL_SECONDS)


async def _newer(run: Run) -> bool:
    """Whether a later sync of the whole source waits for this one, which does nothing but wait itself."""
    wish = run.job.request
    if wish.type != "sync" or wish.only:
        return False
    waiting = await run.house.store.jobs(states=("pending",), source=wish.source)
    return any(job.id > run.job.id and job.request.type == "sync" and not job.request.only for job in waiting)
