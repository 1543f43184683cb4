"""Health checks of guests that are as declared, each on its own beat: for a check Proxmox is not asked.

A guest is asked again after the interval; one that is not well sooner, and then ever more seldom.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from innkeeper.model.inside import CheckResult
from innkeeper.operator.objects import Key
from innkeeper.operator.queue import Queue, backoff

_logger = logging.getLogger("innkeeper.operator")
_AT_ONCE = 8

Ask = Callable[[], Awaitable[tuple[CheckResult, ...]]]
Tell = Callable[[tuple[CheckResult, ...]], Awaitable[None]]


@dataclass(slots=True)
class _Watched:
    ask: Ask
    tell: Tell
    failures: int = 0


class Checks:
    """`interval` in seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._queue = Queue()
        self._watched: dict[Key, _Watched] = {}
        self._room = asyncio.Semaphore(_AT_ONCE)

    def watch(self, key: Key, ask: Ask, tell: Tell) -> None:
        """Ask this guest at once, and from now on."""
        self._watched[key] = _Watched(ask, tell)
        self._queue.add([key])

    def forget(self, keys: Iterable[Key]) -> None:
        """These are worked on, or gone: what their checks say means nothing now."""
        for key in keys:
            if self._watched.pop(key, None) is not None:
                self._queue.drop(key)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for key in await self._queue.take():
                    group.create_task(self._one(key))

    async def _one(self, key: Key) -> None:
        watched = self._watched.get(key)
        try:
            if watched is not None:
                async with self._room:
                    await self._look(key, watched)
        except Exception:
            _logger.exception("health checks failed guest=%s", key)
            self._queue.add([key], self._interval)
        finally:
            self._queue.done([key])

    async def _look(self, key: Key, watched: _Watched) -> None:
        results = await watched.ask()
        if self._watched.get(key) is not watched:
            return
        watched.failures = 0 if all(item.ok for item in results) else watched.failures + 1
        pause = min(self._interval, backoff(watched.failures)) if watched.failures else self._interval
        self._queue.add([key], pause)
        await watched.tell(results)
