"""Locks that PostgreSQL keeps: it lets go of them when their holder dies, and the holder notices when it lost them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg

from innkeeper.engine.errors import Waiting
from innkeeper.store.database import SESSION
from innkeeper.store.place import lock_key

LOOK = 1.0
"""Seconds between two looks whether the connection still stands."""
ANSWER = 5.0
"""Seconds for the answer. Both together must be less than what the server takes to give a silent holder up."""
_SERVER = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=20000"

Connection = psycopg.AsyncConnection[tuple[object, ...]]


async def connect(conninfo: str) -> Connection:
    """A connection of its own, beside every pool, without transactions. Waiting: the server does not answer."""
    try:
        return await psycopg.AsyncConnection.connect(conninfo, autocommit=True, options=_SERVER, **SESSION)
    except psycopg.Error as error:
        words = str(error).strip().partition("\n")[0]
        raise Waiting(f"PostgreSQL does not answer: {words}", "see that it runs; Innkeeper tries again", 2) from error


@asynccontextmanager
async def held(conninfo: str, words: Sequence[str]) -> AsyncIterator[None]:
    """The body runs while these locks are held; it waits for them as long as it takes.

    Waiting: the connection was lost, and with it the locks; the body was cancelled.
    """
    async with await connect(conninfo) as connection:
        try:
            for word in sorted(set(words)):  # always in this order: two that want both never wait for each other
                await connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(word)])
        except psycopg.Error as error:
            raise _lost() from error
        async with standing(connection):
            yield


@asynccontextmanager
async def standing(connection: Connection) -> AsyncIterator[None]:
    """The body runs while the connection stands. Waiting: it does not, and the body was cancelled."""
    try:
        async with asyncio.timeout(None) as scope:
            watch = asyncio.create_task(_watch(connection, scope))
            try:
                yield
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
    except TimeoutError as error:
        if scope.expired():
            raise _lost() from error
        raise


async def _watch(connection: Connection, scope: asyncio.Timeout) -> None:
    try:
        while True:
            await asyncio.sleep(LOOK)
            async with asyncio.timeout(ANSWER):
                await connection.execute("SELECT 1")
    except (psycopg.Error, TimeoutError):
        scope.reschedule(asyncio.get_running_loop().time())


def _lost() -> Waiting:
    return Waiting("the connection to PostgreSQL was lost", "Innkeeper connects again and goes on", 2)
