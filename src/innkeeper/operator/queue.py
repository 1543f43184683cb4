"""Which objects want work, and when: each key at most once at a time, failures ever more seldom.

Level-triggered: a key says only *look at this*, never what happened to it. What comes in while a key is worked on is
one more look afterwards.
"""

import asyncio
from collections.abc import Callable, Iterable

from innkeeper.operator.objects import Key

LONGEST = 300.0
_SETTLE = 0.05
"""Seconds in which more may come: a hundred objects applied together are one look at the cluster."""


def backoff(failures: int) -> float:
    """Seconds before the next attempt: 1, 2, 4, 8, then doubling to at most five minutes."""
    return min(LONGEST, 2.0 ** min(failures - 1, 16))


class Queue:
    """Keys by the moment they are due; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or asyncio.get_running_loop().time
        self._due: dict[Key, float] = {}
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due) + len(self._busy)

    def add(self, keys: Iterable[Key], after: float = 0.0) -> None:
        """Look at these `after` seconds from now, or sooner if that was said before."""
        due = self._clock() + after
        for key in keys:
            self._due[key] = min(due, self._due.get(key, due))
        self._news.set()

    def waits(self, key: Key) -> bool:
        """Whether its next look is set already."""
        return key in self._due

    def fresh(self, key: Key) -> None:
        """The object changed: its former failures say nothing any more."""
        self._failures.pop(key, None)
        self.add([key])

    def failed(self, key: Key) -> None:
        """Look again, later than the last time."""
        self._failures[key] = self._failures.get(key, 0) + 1
        self.add([key], backoff(self._failures[key]))

    def succeeded(self, key: Key) -> None:
        self._failures.pop(key, None)

    def drop(self, key: Key) -> None:
        self._failures.pop(key, None)
        self._due.pop(key, None)

    async def take(self) -> list[Key]:
        """All keys that are due and that nobody works on, busy from now on; waits until there is one."""
        while not self._ready():
            self._news.clear()
            waiting = [due for key, due in self._due.items() if key not in self._busy]
            patience = max(0.0, min(waiting) - self._clock()) if waiting else None
            try:
                async with asyncio.timeout(patience):
                    await self._news.wait()
            except TimeoutError:
                pass
        await asyncio.sleep(_SETTLE)
        found = self._ready()
        for key in found:
            del self._due[key]
        self._busy.update(found)
        return found

    def done(self, keys: Iterable[Key]) -> None:
        """Nobody works on these any more."""
        self._busy.difference_update(keys)
        self._news.set()

    def _ready(self) -> list[Key]:
        now = self._clock()
        return sorted(key for key, due in self._due.items() if due <= now and key not in self._busy)
