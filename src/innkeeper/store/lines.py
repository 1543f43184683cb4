"""The queue of one process: a line of jobs for each source, kept in memory, taken up from the store after a restart."""

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from innkeeper.control.memory import Store
from innkeeper.control.ports import Work
from innkeeper.engine.errors import Stalled
from innkeeper.model.jobs import Job, JobState
from innkeeper.store.place import locked

_PAGE = 500
_logger = logging.getLogger(__name__)


class LocalQueue:
    """`lock` is a file that `run` holds, so that a second process does not work on the same data.

    `submit` may be called from any loop, the rest in the loop of `run`.
    """

    def __init__(self, store: Store, lock: Path) -> None:
        self._store = store
        self._lock = lock
        self._guard = threading.Lock()
        self._lines: dict[str, list[int]] = defaultdict(list)
        self._wake: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        self._clusters: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def submit(self, job: Job) -> None:
        with self._guard:
            line = self._lines[job.request.source]
            if job.id not in line:
                line.append(job.id)
            loop = self._wake
        if loop is not None:
            loop.call_soon_threadsafe(self._news.set)

    async def run(self, work: Work) -> None:
        with _alone(self._lock):
            for job in await unfinished(self._store):
                await self.submit(job)
            with self._guard:
                for line in self._lines.values():
                    line.sort()
                self._wake = asyncio.get_running_loop()
            running: dict[str, asyncio.Task[None]] = {}
            try:
                while True:
                    self._news.clear()
                    for source, job_id in self._next(running):
                        running[source] = asyncio.create_task(do(work, job_id), name=f"job {job_id}")
                        running[source].add_done_callback(lambda _: self._news.set())
                    await self._news.wait()
            finally:
                with self._guard:
                    self._wake = None
                for task in running.values():
                    task.cancel()
                await asyncio.gather(*running.values(), return_exceptions=True)

    @asynccontextmanager
    async def cluster(self, names: Sequence[str]) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            for name in sorted(set(names)):  # always in this order: two that want both never wait for each other
                await held.enter_async_context(self._clusters[name])
            yield

    @asynccontextmanager
    async def leader(self) -> AsyncIterator[None]:
        yield

    def _next(self, running: dict[str, asyncio.Task[None]]) -> list[tuple[str, int]]:
        """The first of each line of which none is being done."""
        with self._guard:
            idle = [source for source, line in self._lines.items() if line]
            return [
                (source, self._lines[source].pop(0))
                for source in idle
                if source not in running or running[source].done()
            ]


async def unfinished(store: Store) -> list[Job]:
    """Jobs that wait to be done, and those that are said to run; oldest first."""
    states: Sequence[JobState] = ("pending", "running")
    found: list[Job] = []
    while page := await store.jobs(states=states, before=found[-1].id if found else None, limit=_PAGE):
        found += page
    return found[::-1]


async def do(work: Work, job: int) -> None:
    try:
        await work(job)
    except Exception:  # a defect in one job must not end all others
        _logger.exception("job %d ended with a defect of Innkeeper", job)


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Stalled: another process works on the same data."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(file, wait=False))
        except BlockingIOError as error:
            raise Stalled(
                f"another Innkeeper works on {file.parent}",
                "stop it, take another data directory, or let both share PostgreSQL with --database",
            ) from error
        yield
