"""Jobs and their logs: recorded once, changed only from the state that was seen, forgotten in time."""

import asyncio
from datetime import timedelta

import pytest

from innkeeper.control.memory import Store
from innkeeper.model.jobs import Request
from innkeeper.model.objects import Ref
from innkeeper.store import open_store
from tests.innkeeper.store.conftest import Clock

SYNC = Request("sync", "home", "abc", ("web", "Container/db"), "portal", "ada", {"replace": ["web"], "prune": True})


async def test_a_job_comes_back_as_it_was_asked_for(store: Store, clock: Clock) -> None:
    job = await store.add_job(SYNC, retry_of=None)
    assert (job.request, job.state, job.created_at, job.revision) == (SYNC, "pending", clock.now, "abc")
    assert await store.job(job.id) == job
    assert await store.job(job.id + 1) is None
    assert (await store.add_job(SYNC, retry_of=job.id)).retry_of == job.id


async def test_a_change_is_made_only_from_the_expected_state(store: Store, clock: Clock) -> None:
    job = await store.add_job(SYNC)
    began = await store.update_job(job.id, ("pending",), state="running", started_at=clock())
    assert began is not None
    assert (began.state, began.started_at) == ("running", clock.now)
    assert await store.update_job(job.id, ("pending", "waiting"), state="cancelled") is None
    ended = await store.update_job(job.id, ("running",), state="failed", error="no", result={"steps": [{"a": None}]})
    assert ended is not None
    assert ended.result == {"steps": [{"a": None}]}
    assert await store.job(job.id) == ended
    with pytest.raises(TypeError, match="no such field: request"):
        await store.update_job(job.id, ("failed",), request=SYNC)


async def test_of_many_that_take_a_job_one_gets_it(database: str, store: Store) -> None:
    job = await store.add_job(SYNC)
    other, _ = await open_store(database)
    taken = await asyncio.gather(
        *(each.update_job(job.id, ("pending",), state="running") for each in (store, other) for _ in range(10))
    )
    await other.close()
    assert sum(found is not None for found in taken) == 1


async def test_pages_of_jobs_go_from_new_to_old(store: Store) -> None:
    made = [await store.add_job(Request("sync", f"s{number % 2}")) for number in range(9)]
    await store.update_job(made[3].id, ("pending",), state="running")
    ids = [job.id for job in made][::-1]
    first = await store.jobs(limit=4)
    rest = await store.jobs(before=first[-1].id)
    assert [job.id for job in first + rest] == ids
    assert [job.id for job in await store.jobs(source="s1")] == ids[1::2]
    assert [job.id for job in await store.jobs(states=("running",))] == [made[3].id]
    assert [job.id for job in await store.jobs(states=("running", "pending"), source="s0")] == ids[::2]


async def test_a_guest_has_the_jobs_that_name_it_and_those_that_came_to_it(store: Store) -> None:
    named, by_name, whole, other = [
        await store.add_job(Request("sync", "home", only=only))
        for only in (("Container/web",), ("web",), (), ("Container/db",))
    ]
    await store.log(whole.id, "info", "created", guest="Container/web")
    await store.log(whole.id, "info", "started", guest="Container/web")
    await store.log(other.id, "info", "created", guest="VirtualMachine/web")
    found = await store.jobs(ref=Ref("Container", "web"), source="home")
    assert [job.id for job in found] == [whole.id, by_name.id, named.id]


async def test_log_lines_are_numbered_without_gaps_although_many_write(database: str, store: Store) -> None:
    job, beside = await store.add_job(SYNC), await store.add_job(SYNC)
    other, _ = await open_store(database)
    lines = await asyncio.gather(
        *(
            each.log(which.id, "info", f"line {number}", phase="create")
            for number in range(10)
            for each in (store, other)
            for which in (job, beside)
        )
    )
    await other.close()
    assert sorted(line.number for line in lines if line.job == job.id) == list(range(1, 21))
    kept = await store.logs(job.id)
    assert list(kept) == sorted((line for line in lines if line.job == job.id), key=lambda line: line.number)
    assert [line.number for line in await store.logs(job.id, after=4, limit=3)] == [5, 6, 7]


async def test_a_line_for_a_job_that_is_gone_is_no_error(store: Store) -> None:
    assert (await store.log(4711, "info", "still working")).number == 0
    assert await store.logs(4711) == ()


async def test_retention_forgets_old_ended_jobs_with_their_logs_but_keeps_the_newest(
    store: Store, clock: Clock
) -> None:
    jobs = [await store.add_job(Request("sync", "home")) for _ in range(6)]
    for job in jobs[:5]:
        await store.log(job.id, "info", "hello", guest="Container/web")
    for job in jobs[1:]:
        await store.update_job(job.id, ("pending",), state="succeeded", finished_at=clock())
        clock.pass_by(days=1)
    before = clock.now - timedelta(days=2, hours=1)
    assert await store.forget_jobs(before, keep=4) == 1  # the first never ended, the newest four are kept
    assert [job.id for job in await store.jobs()] == [job.id for job in jobs[:1] + jobs[2:]][::-1]
    assert await store.logs(jobs[1].id) == ()
    assert await store.forget_jobs(before, keep=1) == 2
    assert [job.id for job in await store.jobs(ref=Ref("Container", "web"))] == [jobs[4].id, jobs[0].id]
    assert (await store.add_job(SYNC)).id > jobs[5].id, "a number never stands for two jobs"


@pytest.mark.parametrize(
    "text", ["nul \0 byte", "half \ud800 of a pair", "🦄 ünïcode", "'; DROP TABLE jobs; --", "x" * 70_000]
)
async def test_any_text_can_be_logged(store: Store, text: str) -> None:
    job = await store.add_job(Request("sync", "home", payload={"message": text}))
    await store.log(job.id, "error", text)
    [line] = await store.logs(job.id)
    assert line.message == text.replace("\0", "\ufffd").replace("\ud800", "?")
    assert (await store.jobs())[0].request.payload == {"message": text}
