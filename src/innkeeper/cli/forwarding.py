"""Ports of this machine that lead into a guest."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from innkeeper.engine.errors import Stalled

_CHUNK = 64 * 1024


@dataclass(slots=True)
class Destination:
    """Where connections go; the guest may get another address while ports are open."""

    address: str | None


@asynccontextmanager
async def forwarded(ports: Sequence[tuple[int, int]], address: str | None) -> AsyncIterator[Destination]:
    """Listen on 127.0.0.1 at the first port of each pair. Stalled where one is taken."""
    to = Destination(address)
    servers: list[asyncio.Server] = []
    try:
        for here, there in ports:
            try:
                servers.append(await asyncio.start_server(_joined(to, there), "127.0.0.1", here))
            except OSError as error:
                raise Stalled(f"port {here} of this machine: {error.strerror}", "name another: -p HERE:THERE") from None
        yield to
    finally:
        for server in servers:
            server.close()


Join = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _joined(to: Destination, port: int) -> Join:
    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if to.address is None:  # never this machine's own port
            writer.close()
            return
        try:
            other_reader, other_writer = await asyncio.open_connection(to.address, port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copied(reader, other_writer), _copied(other_reader, writer))

    return join


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
