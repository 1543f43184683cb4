"""The queue, in one process and among replicas: a source's jobs in turn, others beside them, nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from innkeeper.control.memory import Store
from innkeeper.control.ports import Queue, Work
from innkeeper.engine.errors import Stalled
from innkeeper.model.jobs import Request
from innkeeper.store import open_queue, open_store


@dataclass
class Worker:
    """Begins what it is given and ends it when told."""

    store: Store
    begun: list[int] = field(default_factory=list)
    states: list[tuple[int, str]] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    gates: dict[int, asyncio.Event] = field(default_factory=dict)

    async def __call__(self, job_id: int) -> None:
        job = await self.store.job(job_id)
        assert job is not None
        self.states.append((job_id, job.state))
        await self.store.update_job(job_id, ("pending",), state="running")
        self.begun.append(job_id)
        try:
            await self.gates.setdefault(job_id, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(job_id)
            raise
        await self.store.update_job(job_id, ("running",), state="succeeded")
        self.ended.append(job_id)

    def end(self, job: int) -> None:
        self.gates.setdefault(job, asyncio.Event()).set()


async def until(ready: Callable[[], object], bound: float = 20) -> None:
    async with asyncio.timeout(bound):
        while not ready():  # noqa: ASYNC110 - the queue tells nobody
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(queue: Queue, work: Work) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(queue.run(work))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def queue(database: str, store: Store) -> Queue:
    return open_queue(database, store)


@pytest.fixture
def work(store: Store) -> Worker:
    return Worker(store)


async def submitted(store: Store, queue: Queue, *sources: str) -> list[int]:
    jobs = [await store.add_job(Request("sync", source)) for source in sources]
    for job in jobs:
        await queue.submit(job)
    return [job.id for job in jobs]


async def test_one_at_a_time_of_a_source_and_others_beside_it(store: Store, queue: Queue, work: Worker) -> None:
    first, second, beside, third = await submitted(store, queue, "x", "x", "y", "x")
    async with running(queue, work):
        await until(lambda: len(work.begun) == 2)
        assert sorted(work.begun) == [first, beside]
        work.end(first)
        await until(lambda: second in work.begun)
        assert third not in work.begun
        work.end(second)
        await until(lambda: third in work.begun)
        late = (await submitted(store, queue, "z"))[0]
        await until(lambda: late in work.begun)


async def test_a_job_in_line_stands_there_once(store: Store, queue: Queue, work: Worker) -> None:
    first, second = await submitted(store, queue, "x", "x")
    job = await store.job(second)
    assert job is not None
    await queue.submit(job)
    async with running(queue, work):
        await queue.submit(job)
        work.end(first)
        work.end(second)
        [last] = await submitted(store, queue, "x")
        await until(lambda: last in work.begun)
    assert work.begun == [first, second, last]


async def test_cancelling_ends_what_runs_and_begins_nothing(store: Store, queue: Queue, work: Worker) -> None:
    first, second, beside = await submitted(store, queue, "x", "x", "y")
    async with running(queue, work):
        await until(lambda: len(work.begun) == 2)
    assert sorted(work.cancelled) == sorted(work.begun) == [first, beside]
    assert second not in work.begun


async def test_what_was_left_is_taken_up_by_the_next_process(database: str, store: Store, work: Worker) -> None:
    first, second = await submitted(store, open_queue(database, store), "x", "x")
    async with running(open_queue(database, store), work):
        await until(lambda: work.begun == [first])
    unqueued = (await store.add_job(Request("sync", "y"))).id
    for job in (first, second, unqueued):
        work.end(job)
    async with running(open_queue(database, store), work):
        await until(lambda: len(work.ended) == 3)
    assert work.states[0] == (first, "pending")
    assert (first, "running") in work.states, "it can be seen that it was interrupted"
    assert sorted(work.begun) == sorted([first, first, second, unqueued])


async def test_a_defect_in_one_job_does_not_end_the_others(
    store: Store, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[int] = []

    async def work(job: int) -> None:
        await store.update_job(job, ("pending",), state="failed")
        if not done:
            done.append(0)
            raise RuntimeError("a defect")
        done.append(job)

    broken, good = await submitted(store, queue, "x", "x")
    async with running(queue, work):
        await until(lambda: done == [0, good])
    assert f"job {broken} ended with a defect" in caplog.text


async def test_one_writer_per_cluster(queue: Queue) -> None:
    inside: list[str] = []
    most = 0

    async def change(*clusters: str) -> None:
        nonlocal most
        async with queue.cluster(clusters):
            inside.extend(set(clusters))
            assert len(inside) == len(set(inside)), "two on one cluster"
            most = max(most, len(inside))
            await asyncio.sleep(0.05)
            for name in set(clusters):
                inside.remove(name)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for clusters in (("a",), ("b", "a"), ("a", "b"), ("b",), ("c", "c"), ("a", "c")) * 2:
            group.create_task(change(*clusters))
    assert most > 1, "other clusters are not held up"


async def test_a_lock_goes_when_its_holder_is_cancelled_or_fails(queue: Queue) -> None:
    async def hold() -> None:
        async with queue.cluster(["a"]):
            await asyncio.Event().wait()

    holding, waiting = asyncio.create_task(hold()), asyncio.create_task(hold())
    await asyncio.sleep(0.2)
    for task in (waiting, holding):
        task.cancel()
    await asyncio.gather(holding, waiting, return_exceptions=True)
    with pytest.raises(ZeroDivisionError):
        async with queue.cluster(["a"]):
            raise ZeroDivisionError
    async with asyncio.timeout(5), queue.cluster(["a"]), queue.leader():
        pass


async def test_one_process_works_on_a_data_directory(tmp_path: Path) -> None:
    store, _ = await open_store(tmp_path)

    async def work(job: int) -> None: ...

    async with running(open_queue(tmp_path, store), work):
        await asyncio.sleep(0.1)
        with pytest.raises(Stalled, match="another Innkeeper works on"):
            await open_queue(tmp_path, store).run(work)
    async with running(open_queue(tmp_path, store), work) as again:
        await asyncio.sleep(0.1)
        assert not again.done()
    await store.close()


async def test_jobs_are_submitted_from_another_thread(database: str, store: Store, queue: Queue, work: Worker) -> None:
    def page() -> list[int]:
        async def submit() -> list[int]:
            mine, _ = await open_store(database)
            try:
                return await submitted(mine, queue, "x")
            finally:
                await mine.close()

        return asyncio.run(submit())

    async with running(queue, work):
        await asyncio.sleep(0.2)
        [job] = await asyncio.to_thread(page)
        await until(lambda: work.begun == [job])
