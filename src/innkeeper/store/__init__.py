"""The control plane's memory and queue: SQLite in one process, PostgreSQL among replicas."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from innkeeper.control.ports import Store
from innkeeper.store.database import Database
from innkeeper.store.place import place_of
from innkeeper.store.sql import SqlStore


def now() -> datetime:
    return datetime.now(UTC)


async def open_store(database: str | Path, clock: Callable[[], datetime] = now) -> Store:
    """`database`: `postgresql://…`, or the data directory. Each event loop opens its own on the same database.

    Waiting: the database does not answer now. Stalled: its schema is newer than this program, or it may not be used.
    """
    return SqlStore(await Database.open(place_of(database)), clock)
