"""One way in and out of the database: transactions, and its troubles as the engine's errors."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any, Self

from sqlalchemy import Connection, Table, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from innkeeper.engine.errors import EngineError, Stalled, Waiting
from innkeeper.store.migrate import migrate
from innkeeper.store.place import BUSY, Place, lock_key, prepare

SESSION: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq's parameters that notice a server that is gone within about ten seconds."""
_LIMITS = "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000"


class Database:
    """The engine of one event loop. Another loop opens its own on the same place.

    A SQLite file that vanishes or breaks while it is used is made anew at the next use.
    """

    def __init__(self, place: Place, engine: AsyncEngine) -> None:
        self.place = place
        self._engine = engine
        self._inode = 0
        self._opening = asyncio.Lock()
        self._writing = asyncio.Lock() if place.file else nullcontext()

    @classmethod
    async def open(cls, place: Place) -> Self:
        database = cls(place, _engine(place))
        try:
            await database._ready()
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def shared(self) -> bool:
        """Whether other replicas use it, too."""
        return self.place.file is None

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, which both databases spell alike."""
        return (postgresql.insert if self.shared else sqlite.insert)(table)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        await self._ready()
        with self._troubles():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self, alone: str = "") -> AsyncIterator[AsyncConnection]:
        """A transaction. `alone`: no other transaction with this word runs meanwhile, in any replica."""
        await self._ready()
        async with self._writing:
            with self._troubles():
                async with self._engine.execution_options(writes=True).begin() as connection:
                    if alone and self.shared:
                        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key(alone)})
                    yield connection

    async def close(self) -> None:
        await self._engine.dispose()

    async def _ready(self) -> None:
        if self._inode and (self.place.file is None or self._inode == _inode(self.place)):
            return
        async with self._opening:
            if self._inode and (self.place.file is None or self._inode == _inode(self.place)):
                return
            await self._engine.dispose()
            if self.place.file is not None:
                await asyncio.to_thread(prepare, self.place.file)
            with self._troubles():
                async with self._engine.execution_options(writes=True).begin() as connection:
                    await connection.run_sync(migrate)
            self._inode = _inode(self.place)

    @contextmanager
    def _troubles(self) -> Any:
        try:
            yield
        except IntegrityError:
            raise  # the caller's: a name is taken
        except (DBAPIError, PoolTimeout) as error:
            raise self._trouble(error) from error

    def _trouble(self, error: DBAPIError | PoolTimeout) -> EngineError:
        origin = error.orig if isinstance(error, DBAPIError) else None
        words = str(origin or error).strip().partition("\n")[0]
        code = getattr(origin, "sqlite_errorname", "") or getattr(origin, "sqlstate", "") or ""
        where = f"the database ({self.place.name})"
        if code in ("SQLITE_FULL", "53100") or code.startswith("SQLITE_IOERR"):
            return Waiting(
                f"{where} cannot be written: {words}", "make room on its disk; Innkeeper goes on by itself", 5
            )
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or code == "55P03":
            return Waiting(f"{where} is locked: {words}", "another program holds it; Innkeeper tries again", 2)
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            self._inode = 0
            return Waiting(f"{where} is broken: {words}", "it is set aside and a new one is made", 1)
        if code.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH", "28", "42501")):
            return Stalled(f"{where} refuses: {words}", "give Innkeeper the right to write there")
        if code.startswith(("22", "42")) or (isinstance(origin, Exception) and code == "SQLITE_ERROR"):
            return Stalled(f"{where} did not take a statement: {words}", "this is a defect of Innkeeper: report it")
        return Waiting(f"{where} does not answer: {words}", "see that it runs; Innkeeper tries again", 2)


def _inode(place: Place) -> int:
    if place.file is None:
        return 1
    try:
        return os.stat(place.file).st_ino  # noqa: PTH116 (a Path would be built at every statement)
    except OSError:
        return 0


def _engine(place: Place) -> AsyncEngine:
    if place.file is None:
        return create_async_engine(
            place.url,
            json_serializer=_dumps,
            hide_parameters=True,
            pool_size=4,
            max_overflow=8,
            pool_timeout=10,
            pool_pre_ping=True,
            connect_args={**SESSION, "options": _LIMITS},
        )
    engine = create_async_engine(
        place.url, json_serializer=_dumps, hide_parameters=True, pool_size=4, max_overflow=4, pool_timeout=BUSY
    )
    event.listen(engine.sync_engine, "connect", _configure)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


def _configure(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where _begin says, not where the driver guesses
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {int(BUSY * 1000)}",
        "journal_mode = WAL",
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "cache_size = -20000",  # KiB: the list of 10,000 guests stays in memory
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Writers take their lock at once: a reader that turns writer could not wait for it."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN")


def _dumps(value: object) -> str:
    return json.dumps(value, default=_plain, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
