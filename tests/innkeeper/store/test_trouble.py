"""A database that is full, gone, broken, locked, or of another time: said clearly, and mended where that can be."""

import asyncio
import os
import sqlite3
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text

from innkeeper.control.memory import Store
from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.jobs import Request
from innkeeper.store import database as database_module
from innkeeper.store import open_store, place
from innkeeper.store.tables import metadata

SYNC = Request("sync", "home")


@contextmanager
def connected(database: str) -> Iterator[Connection]:
    """Past the store."""
    plain = database.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(plain if "://" in database else f"sqlite:///{database}/innkeeper.db")
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Store]:
    store, _ = await open_store(tmp_path)
    yield store
    await store.close()


def test_the_migrations_make_the_tables(database: str) -> None:
    asyncio.run(_open_and_close(database))

    def ours(_: object, name: str | None, kind: str, *__: object) -> bool:
        return not (kind == "table" and name is not None and name.startswith("procrastinate"))

    with connected(database) as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours})
        assert compare_metadata(context, metadata) == []


async def _open_and_close(database: str | Path) -> None:
    store, _ = await open_store(database)
    await store.close()


async def test_many_that_start_at_once_migrate_once(fresh: str, tmp_path: Path) -> None:
    for database in (str(tmp_path), fresh):
        stores = [store for store, _ in await asyncio.gather(*(open_store(database) for _ in range(6)))]
        jobs = await asyncio.gather(*(store.add_job(SYNC) for store in stores))
        assert sorted(job.id for job in jobs) == [1, 2, 3, 4, 5, 6], database
        for store in stores:
            await store.close()


async def test_a_newer_schema_is_left_alone(fresh: str, tmp_path: Path) -> None:
    for database in (str(tmp_path), fresh):
        await _open_and_close(database)
        with connected(database) as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(Stalled, match=r"schema 9999, which is newer than this program .* start the version"):
            await open_store(database)
        with connected(database) as connection:
            assert connection.execute(text("SELECT count(*) FROM jobs")).scalar() == 0


async def test_a_newer_queue_is_left_alone(fresh: str) -> None:
    await _open_and_close(fresh)
    with connected(fresh) as connection:
        connection.execute(text("INSERT INTO procrastinate_steps VALUES ('99.00.00_01_pre_unknown.sql')"))
    with pytest.raises(Stalled, match=r"99\.00\.00_01_pre_unknown\.sql, which is newer"):
        await open_store(fresh)


async def test_the_queue_of_an_older_procrastinate_is_brought_up(fresh: str) -> None:
    await _open_and_close(fresh)
    with connected(fresh) as connection:
        connection.execute(text("DROP FUNCTION procrastinate_fetch_job_v2"))
        connection.execute(text("DELETE FROM procrastinate_steps WHERE name LIKE '03.03.00_01_pre%'"))
    await _open_and_close(fresh)
    with connected(fresh) as connection:
        there = connection.execute(text("SELECT count(*) FROM pg_proc WHERE proname = 'procrastinate_fetch_job_v2'"))
        assert there.scalar() == 1


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


def set_aside(directory: Path) -> list[Path]:
    return list(directory.glob("innkeeper.db.broken-*"))


async def test_only_the_owner_reads_the_file(opened: Store, tmp_path: Path) -> None:
    await opened.add_job(SYNC)
    assert set(modes(tmp_path).values()) == {0o600}, modes(tmp_path)
    await _open_and_close(tmp_path / "data")
    assert modes(tmp_path)["data"] == 0o700


async def test_a_broken_file_is_set_aside_at_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "innkeeper.db"
    file.write_bytes(b"this is no database " * 1000)
    store, _ = await open_store(tmp_path)
    assert (await store.add_job(SYNC)).id == 1
    await store.close()
    [aside] = set_aside(tmp_path)
    assert aside.read_bytes().startswith(b"this is no database")
    assert f"{file} is broken and was set aside as {aside}; history begins anew, guests are untouched" in caplog.text


async def test_a_file_with_broken_pages_is_set_aside_at_start(tmp_path: Path) -> None:
    store, _ = await open_store(tmp_path)
    for _ in range(50):
        await store.add_job(SYNC)
    await store.close()
    file = tmp_path / "innkeeper.db"
    content = bytearray(file.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    file.write_bytes(content)
    store, _ = await open_store(tmp_path)
    assert await store.jobs() == ()
    await store.close()
    assert len(set_aside(tmp_path)) == 1


async def test_a_file_that_vanishes_is_made_anew(tmp_path: Path) -> None:
    stores = [(await open_store(tmp_path))[0] for _ in range(2)]
    await stores[0].add_job(SYNC)
    await stores[1].jobs()
    (tmp_path / "innkeeper.db").unlink()
    assert await stores[0].jobs() == ()
    await asyncio.gather(*(store.add_job(SYNC) for store in stores))
    for store in stores:
        assert len(await store.jobs()) == 2
        await store.writable()
        await store.close()
    with closing(sqlite3.connect(tmp_path / "innkeeper.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_file_that_breaks_while_it_is_used_is_set_aside(opened: Store, tmp_path: Path) -> None:
    for _ in range(20):
        await opened.add_job(SYNC)
    file = tmp_path / "innkeeper.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with file.open("r+b") as content:
        content.write(os.urandom(file.stat().st_size))
    seen: list[str] = []
    async with asyncio.timeout(20):
        while True:
            try:
                await opened.add_job(SYNC)
                break
            except Waiting as error:
                seen.append(str(error))
    assert all("is broken" in text for text in seen)
    assert len(await opened.jobs()) == 1
    assert set_aside(tmp_path)


async def test_a_lock_that_is_held_too_long_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (database_module, place):
        monkeypatch.setattr(module, "BUSY", 0.2)
    store, _ = await open_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / "innkeeper.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Waiting, match="is locked: database is locked — another program holds it"):
            await store.writable()
        assert await store.jobs() == (), "it can still be read"
        other.execute("ROLLBACK")
    await store.writable()
    await store.close()


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"needs: the right to mount ({done.stderr.decode().strip()})")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


async def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as disk:
        store, accounts = await open_store(disk)
        ada = await accounts.add_user("ada", "admin")
        cookie = await accounts.open_session(ada.id, 3600)
        job = await store.add_job(SYNC)
        ballast = disk / "ballast"
        with pytest.raises(OSError, match="No space left"), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        with pytest.raises(Waiting, match=r"cannot be written: .* make room on its disk"):
            for _ in range(100):  # what the log of the database still has room for
                await store.log(job.id, "info", "x" * 20_000)
        with pytest.raises(Waiting, match="cannot be written"):
            await store.put_value("big", "x" * 100_000)
        assert await store.job(job.id) == job, "it can still be read"
        assert await accounts.session(cookie) is not None, "and people can still look"
        ballast.unlink()
        await store.put_value("big", "x" * 100_000)
        await store.writable()
        await store.close()


async def test_a_directory_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises((Stalled, Waiting), match="data"):
        await open_store(tmp_path / "data" / "deeper")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://me:hunter2@host/x", "mysql is no database that Innkeeper can use"),
        ("postgresql://me:hunter2@host:port/x", "cannot be read"),
    ],
)
async def test_other_databases_are_refused_without_telling_the_password(url: str, why: str) -> None:
    with pytest.raises(Stalled, match=why) as refused:
        await open_store(url)
    assert "hunter2" not in str(refused.value)


async def test_a_server_that_refuses_is_named_without_its_password() -> None:
    with pytest.raises(Waiting, match=r"PostgreSQL 127\.0\.0\.1/inn\) does not answer: connection failed") as refused:
        await open_store("postgresql://me:hunter2@127.0.0.1:1/inn")
    assert "hunter2" not in str(refused.value)
