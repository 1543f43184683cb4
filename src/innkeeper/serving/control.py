"""The thread that works: queue, watch and schedules, on a loop of their own, so that a long sync holds up no page."""

import asyncio
import logging
import threading
from concurrent.futures import Future
from contextlib import suppress

from innkeeper.control.house import House
from innkeeper.control.ports import Bus, Queue
from innkeeper.control.scheduling import Schedule
from innkeeper.control.watching import Watch
from innkeeper.control.worker import Worker
from innkeeper.engine.errors import EngineError
from innkeeper.serving.links import Heard, KeptLinks
from innkeeper.serving.settings import Settings
from innkeeper.serving.wiring import house
from innkeeper.store import open_queue, open_store

_PAUSE = 1.0
_logger = logging.getLogger(__name__)


class Control:
    """`start`, then `stop`, or `drain`, after which it ends by itself; `failed` holds why it did so otherwise."""

    def __init__(self, settings: Settings, bus: Bus, url: str, counted: Heard) -> None:
        self._settings, self._bus, self._url, self._counted = settings, bus, url, counted
        self._ready: Future[Queue] = Future()
        self._thread = threading.Thread(target=self._live, name="control")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._drain = asyncio.Event()
        self.failed: Exception | None = None
        self.ended = threading.Event()

    def start(self) -> Queue:
        """Its queue, once it works. Raises what kept it from starting."""
        self._thread.start()
        return self._ready.result()

    def stop(self) -> None:
        """Jobs that run come to a safe point first."""
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()

    def drain(self) -> None:
        """Jobs that run come to their own end, and no other is begun; then it ends. Returns at once."""
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._drain.set)

    def _live(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception as error:  # noqa: BLE001 - whoever waits for this thread is told
            self.failed = error
            if not self._ready.done():
                self._ready.set_exception(error)
        finally:
            self.ended.set()

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        database = self._settings.database or self._settings.data
        store, _ = await open_store(database)
        links = KeptLinks(self._counted)
        try:
            queue = open_queue(database, store)
            mine = house(self._settings, store, queue, self._bus, links, self._url)
            with suppress(asyncio.CancelledError):
                await self._work(mine, links, queue)
        finally:
            await links.close()
            await store.close()

    async def _work(self, mine: House, links: KeptLinks, queue: Queue) -> None:
        worker = Worker(mine)
        tasks = [
            asyncio.create_task(queue.run(worker), name="queue"),
            asyncio.create_task(self._bus.run(), name="bus"),
            asyncio.create_task(_lead(mine, queue), name="leader"),
            asyncio.create_task(self._drained(worker), name="drain"),
        ]
        self._ready.set_result(queue)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await worker.rest()

    async def _drained(self, worker: Worker) -> None:
        await self._drain.wait()
        _logger.info("draining: no job is begun any more, and the server ends with those that run")
        await worker.drain()


async def _lead(mine: House, queue: Queue) -> None:
    """Watch and keep schedules, in the one replica whose turn it is; who loses its turn waits for the next."""
    while True:
        try:
            async with queue.leader(), asyncio.TaskGroup() as group:
                group.create_task(Watch(mine).run())
                group.create_task(Schedule(mine).run())
        except* EngineError as errors:
            _logger.warning("this replica leads no more: %s", errors.exceptions[0])
        await asyncio.sleep(_PAUSE)
