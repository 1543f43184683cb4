"""The control plane's memory and queue: SQLite in one process, PostgreSQL among replicas."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from innkeeper.control.memory import Accounts, Store
from innkeeper.control.ports import Bus, Queue
from innkeeper.store.accounts import SqlAccounts
from innkeeper.store.bus import LocalBus
from innkeeper.store.database import Database
from innkeeper.store.lines import LocalQueue
from innkeeper.store.place import place_of
from innkeeper.store.sql import SqlStore


def now() -> datetime:
    return datetime.now(UTC)


async def open_store(database: str | Path, clock: Callable[[], datetime] = now) -> tuple[Store, Accounts]:
    """Both on one engine, which `Store.close` ends. Each event loop opens its own on the same database.

    `database`: `postgresql://…`, or the data directory. Waiting: it does not answer now. Stalled: its schema is newer
    than this program, or it may not be used.
    """
    opened = await Database.open(place_of(database))
    return SqlStore(opened, clock), SqlAccounts(opened, clock)


def open_queue(database: str | Path, store: Store) -> Queue:
    """One for the process. `store` belongs to the loop that calls `Queue.run`."""
    place = place_of(database)
    if place.file is not None:
        return LocalQueue(store, place.file.with_suffix(".queue"))
    from innkeeper.store.replicas import SharedQueue  # the extra `postgresql`

    return SharedQueue(store, place.conninfo)


def open_bus(database: str | Path) -> Bus:
    """One for the process; some loop awaits its `run`."""
    place = place_of(database)
    if place.file is not None:
        return LocalBus()
    from innkeeper.store.telling import SharedBus  # the extra `postgresql`

    return SharedBus(place.conninfo)
