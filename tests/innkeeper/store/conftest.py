"""Every contract holds on SQLite and on a real PostgreSQL."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from innkeeper.control.memory import Accounts, Store
from innkeeper.store import open_store
from tests.innkeeper.store.servers import Postgres, binaries, postgres

_numbers = itertools.count(1)


@dataclass
class Clock:
    now: datetime = field(default_factory=lambda: datetime(2026, 5, 4, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    found = binaries()
    if found is None:
        pytest.skip("needs: postgresql (initdb and postgres)")
    with postgres(found) as running:
        yield running


@pytest.fixture(scope="session")
def migrated(server: Postgres) -> str:
    database = server.database("shared")

    async def migrate() -> None:
        store, _ = await open_store(database)
        await store.close()

    asyncio.run(migrate())
    return database


@pytest.fixture
def shared(server: Postgres, migrated: str) -> str:
    """An empty PostgreSQL database."""
    server.empty(migrated)
    return migrated


@pytest.fixture
def fresh(server: Postgres) -> str:
    """A PostgreSQL database that nobody has seen."""
    return server.database(f"fresh{next(_numbers)}")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty one of each kind; of SQLite's even the file is missing."""
    return str(tmp_path) if request.param == "sqlite" else str(request.getfixturevalue("shared"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def memory(database: str, clock: Clock) -> AsyncIterator[tuple[Store, Accounts]]:
    opened = await open_store(database, clock)
    yield opened
    await opened[0].close()


@pytest.fixture
def store(memory: tuple[Store, Accounts]) -> Store:
    return memory[0]


@pytest.fixture
def accounts(memory: tuple[Store, Accounts]) -> Accounts:
    return memory[1]
