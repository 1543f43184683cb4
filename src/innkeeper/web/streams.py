"""Open pages that hear what changes: bounded in number and length, ended at once when the server stops.

FastAPI writes the events and keeps the line alive (a comment every 15 s). A stream ends by itself after a while, and
the browser comes back: so a session that ended, or a role that was taken away, is noticed.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from innkeeper.control.ports import Bus
from innkeeper.model.plan import Json

MOST = 500
LIFETIME = 900.0
"""Seconds."""


class Streams:
    """All that are open."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._open = 0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End them all; in the loop that serves."""
        self._stopping.set()

    def take(self) -> None:
        if self._open >= MOST:
            raise HTTPException(503, f"{MOST} pages listen already", {"Retry-After": "15"})
        self._open += 1

    def leave(self) -> None:
        self._open -= 1

    async def listen(self, *topics: str, patience: float = LIFETIME) -> AsyncGenerator[tuple[str, Mapping[str, Json]]]:
        """What is told from now on; an empty topic where nothing was for `patience` seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LIFETIME
        stopping = asyncio.ensure_future(self._stopping.wait())
        async with aclosing(self._bus.listen(*topics)) as news:  # type: ignore[type-var]
            coming = asyncio.ensure_future(anext(news))
            try:
                while (left := end - loop.time()) > 0 and not stopping.done():
                    await asyncio.wait({coming, stopping}, timeout=min(patience, left), return_when="FIRST_COMPLETED")
                    if coming.done():
                        yield coming.result()
                        coming = asyncio.ensure_future(anext(news))
                    elif not stopping.done():
                        yield "", {}
            finally:
                stopping.cancel()
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)


async def _seat(request: Request) -> AsyncIterator[Streams]:
    streams: Streams = request.app.state.streams
    streams.take()
    try:
        yield streams
    finally:
        streams.leave()


Seat = Annotated[Streams, Depends(_seat)]
"""A stream may be opened; 503 where too many are."""
