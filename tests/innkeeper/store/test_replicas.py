"""Three processes on one PostgreSQL, of which one is killed in the middle of its job; and a database that goes away."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from innkeeper.control.memory import Store
from innkeeper.engine.errors import Waiting
from innkeeper.model.jobs import Request
from innkeeper.store import open_queue, open_store
from innkeeper.store.replicas import SWEEP
from tests.innkeeper.store.servers import Postgres, binaries, postgres

HERE = Path(__file__).parents[3]


@asynccontextmanager
async def replicas(database: str, record: Path, seconds: float) -> AsyncIterator[dict[str, asyncio.subprocess.Process]]:
    program = (sys.executable, "-m", "tests.innkeeper.store.replica", database)
    running = {
        name: await asyncio.create_subprocess_exec(*program, name, str(seconds), str(record), cwd=HERE)
        for name in ("a", "b", "c")
    }
    try:
        yield running
    finally:
        for process in running.values():
            if process.returncode is None:
                process.kill()
        await asyncio.gather(*(process.wait() for process in running.values()))


async def until(ready: Callable[[], object], bound: float = 40) -> None:
    async with asyncio.timeout(bound):
        while not ready():  # noqa: ASYNC110 - other processes tell nobody
            await asyncio.sleep(0.05)


async def ended(store: Store, count: int) -> None:
    async with asyncio.timeout(60):
        while (await store.counts()).jobs.get("succeeded", 0) < count:  # noqa: ASYNC110 - nor does the database
            await asyncio.sleep(0.1)


def lines(record: Path) -> list[tuple[str, ...]]:
    return [tuple(line.split()) for line in record.read_text().splitlines()] if record.exists() else []


@pytest.fixture
async def opened(shared: str) -> AsyncIterator[Store]:
    store, _ = await open_store(shared)
    yield store
    await store.close()


async def test_what_a_killed_replica_did_is_taken_over_and_nothing_is_done_twice(
    shared: str, opened: Store, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    queue = open_queue(shared, opened)
    jobs = [await opened.add_job(Request("sync", source)) for source in ("x", "y", "x", "z", "x")]

    def begun(*, besides: str = "") -> list[tuple[str, ...]]:
        return [line for line in lines(record) if line[1] == "begins" and line[0] != besides]

    async with replicas(shared, record, 0.5) as running:
        for job in jobs:
            await queue.submit(job)
        await until(begun)
        killed, _, halfway = begun()[0]
        os.kill(running[killed].pid, signal.SIGKILL)
        at = time.monotonic()
        await until(lambda: halfway in [line[2] for line in begun(besides=killed)])
        assert time.monotonic() - at < 30
        await ended(opened, len(jobs))
    done = lines(record)
    assert ("takes", halfway, "running") in [line[1:] for line in done], "its state tells that it was interrupted"
    assert sorted(line[2] for line in done if line[1] == "ends") == sorted(str(job.id) for job in jobs), "each once"
    on_cluster = [line[1] for line in done if line[1] in ("begins", "ends")]
    assert on_cluster == ["begins"] + ["begins", "ends"] * len(jobs), "one writer at a time, and one never ended"
    of_x = [str(job.id) for job in jobs if job.request.source == "x"]
    assert [line[2] for line in done if line[1] == "ends" and line[2] in of_x] == of_x, "in their order"


async def test_a_replica_that_is_only_busy_keeps_its_job(shared: str, opened: Store, tmp_path: Path) -> None:
    record = tmp_path / "record"
    job = await opened.add_job(Request("sync", "busy"))
    async with replicas(shared, record, 3 * SWEEP):
        await open_queue(shared, opened).submit(job)
        await ended(opened, 1)
    assert [line[1] for line in lines(record) if line[1] != "leads"] == ["takes", "begins", "ends"]


async def test_another_replica_leads_when_the_leader_is_killed(shared: str, opened: Store, tmp_path: Path) -> None:
    record = tmp_path / "record"
    async with replicas(shared, record, 0) as running:
        await until(lambda: lines(record))
        await asyncio.sleep(1)
        assert len(lines(record)) == 1, "one leads"
        running[lines(record)[0][0]].kill()
        await until(lambda: len(lines(record)) == 2, 30)


async def test_a_job_that_was_recorded_but_never_queued_is_found(shared: str, opened: Store, tmp_path: Path) -> None:
    await opened.add_job(Request("sync", "x"))  # and the process that would have queued it died
    async with replicas(shared, tmp_path / "record", 0):
        await ended(opened, 1)


async def test_who_loses_its_locks_is_stopped(server: Postgres, shared: str, opened: Store) -> None:
    queue = open_queue(shared, opened)
    stopped = asyncio.Event()

    async def body() -> None:
        async with queue.cluster(["one"]):
            with psycopg.connect(server.url("postgres"), autocommit=True) as admin:
                admin.execute(
                    "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                    "WHERE l.locktype = 'advisory' AND d.datname = 'shared'"
                )
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

    async with asyncio.timeout(10):
        with pytest.raises(Waiting, match="connection to PostgreSQL was lost"):
            await body()
    assert stopped.is_set()
    async with asyncio.timeout(5), queue.cluster(["one"]):
        pass


async def test_everything_goes_on_after_postgresql_was_away(tmp_path: Path) -> None:
    found = binaries()
    if found is None:
        pytest.skip("needs: postgresql (initdb and postgres)")
    with postgres(found) as server:
        database = server.database("inn")
        store, _ = await open_store(database)
        queue = open_queue(database, store)
        done: list[int] = []

        async def work(job: int) -> None:
            # What the database was told of an end may be lost with it: a job that has ended is handed out again.
            if await store.update_job(job, ("pending", "running"), state="succeeded") is not None:
                done.append(job)

        working = asyncio.create_task(queue.run(work))
        first = await store.add_job(Request("sync", "x"))
        await queue.submit(first)
        await until(lambda: done == [first.id])
        await asyncio.to_thread(server.stop)
        for attempt in (store.writable(), queue.submit(first), store.counts()):
            with pytest.raises(Waiting, match="does not answer"):
                await attempt
        with pytest.raises(Waiting, match="does not answer"):
            await open_store(database)
        await asyncio.to_thread(server.start)
        second = await store.add_job(Request("sync", "x"))
        await queue.submit(second)
        await until(lambda: done == [first.id, second.id])
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await store.close()
