"""Tells the pages what changed. A message is a hint to look again: a slow page loses the oldest, and is told so."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping

from innkeeper.model.plan import Json

Message = tuple[str, Mapping[str, Json]]
KEPT = 256
"""Messages that wait for one listener."""
MISSED: Message = ("missed", {})
"""Stands where messages were lost: what is shown must be looked up again."""


class LocalBus:
    """Between the threads and loops of one process."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._guard = threading.Lock()

    def tell(self, topic: str, body: Mapping[str, Json]) -> None:
        """From any thread; never waits."""
        with self._guard:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener.hear((topic, body))

    def missed(self) -> None:
        """Something may have been told that nobody here heard."""
        with self._guard:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener.lose()

    async def listen(self, *topics: str) -> AsyncIterator[Message]:
        """Messages of these topics (none named: of all) from the first `anext` on, in the loop that asks."""
        listener = _Listener(frozenset(topics))
        with self._guard:
            self._listeners.add(listener)
        try:
            while True:
                yield await listener.next()
        finally:
            with self._guard:
                self._listeners.discard(listener)

    async def run(self) -> None:
        """In one process there is nobody else to tell."""
        await asyncio.Event().wait()


class _Listener:
    def __init__(self, topics: frozenset[str]) -> None:
        self._topics = topics
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._waiting: deque[Message] = deque()
        self._lost = False
        self._guard = threading.Lock()

    def hear(self, message: Message) -> None:
        if self._topics and message[0] not in self._topics:
            return
        with self._guard:
            if len(self._waiting) == KEPT:
                self._waiting.popleft()
                self._lost = True
            self._waiting.append(message)
        self._wake()

    def lose(self) -> None:
        with self._guard:
            self._lost = True
        self._wake()

    async def next(self) -> Message:
        while True:
            with self._guard:
                if self._lost:
                    self._lost = False
                    return MISSED
                if self._waiting:
                    return self._waiting.popleft()
                self._news.clear()
            await self._news.wait()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:  # the listener's loop has ended; its page is gone
            return
