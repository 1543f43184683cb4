"""Open pages that hear what changes: bounded in number and length, ended at once when the server stops.

FastAPI writes the events and keeps the line alive (a comment every 15 s). A stream ends by itself after a while, and
the browser comes back: so a session that ended, or a role that was taken away, is noticed.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from innkeeper.control.ports import Bus
from innkeeper.model.plan import Json

Message = tuple[str, Mapping[str, Json]]
MOST = 500
_WAITING = 64
LIFETIME = 900.0
"""Seconds."""


class Streams:
    """All that are open."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._open: set[asyncio.Queue[Message | None]] = set()
        self._seats = 0
        self._stopped = False

    def stop(self) -> None:
        """End them all; in the loop that serves."""
        self._stopped = True
        for queue in self._open:
            if not queue.full():
                queue.put_nowait(None)

    @contextmanager
    def seat(self) -> Iterator["Streams"]:
        """HTTPException 503 where too many are open."""
        if self._seats >= MOST:
            raise HTTPException(503, f"{MOST} pages listen already", {"Retry-After": "15"})
        self._seats += 1
        try:
            yield self
        finally:
            self._seats -= 1

    async def listen(self, *topics: str, patience: float = LIFETIME) -> AsyncGenerator[Message]:
        """What is told from now on; an empty topic where nothing was for `patience` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LIFETIME
        queue: asyncio.Queue[Message | None] = asyncio.Queue(_WAITING)
        task = asyncio.create_task(self._pump(queue, topics))
        self._open.add(queue)
        try:
            while not self._stopped and (left := end - loop.time()) > 0:
                try:
                    message = await asyncio.wait_for(queue.get(), min(patience, left))
                except TimeoutError:
                    message = "", {}
                if message is not None:
                    yield message
        finally:
            self._open.discard(queue)
            task.cancel()

    async def _pump(self, queue: asyncio.Queue[Message | None], topics: tuple[str, ...]) -> None:
        async for message in self._bus.listen(*topics):
            await queue.put(message)


async def _seat(request: Request) -> AsyncIterator[Streams]:
    streams: Streams = request.app.state.streams
    with streams.seat():
        yield streams


Seat = Annotated[Streams, Depends(_seat)]
"""A stream may be opened; 503 where too many are."""
