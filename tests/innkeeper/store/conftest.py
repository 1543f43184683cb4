"""Every contract holds on SQLite and on a real PostgreSQL."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from innkeeper.control.ports import Accounts, Store
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
        template = running.database("ready")
        asyncio.run(_migrated(template))
        yield running


async def _migrated(database: str) -> None:
    store, _ = await open_store(database)
    await store.close()


@pytest.fixture
def shared(server: Postgres) -> str:
    """A PostgreSQL database of the test's own."""
    return server.database(f"t{next(_numbers)}", template="ready")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path)
    return str(request.getfixturevalue("shared"))


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
