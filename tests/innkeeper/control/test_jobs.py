"""A job's life beside its work: cancelled, tried again, hinted at, told of."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from innkeeper.control.ports import Notice
from innkeeper.control.scheduling import Schedule
from innkeeper.control.watching import Watch
from innkeeper.engine.errors import Conflict
from innkeeper.engine.errors import Waiting as Later
from innkeeper.model.objects import Ref
from tests.innkeeper.control.home import ADA, container, home, until


@dataclass(frozen=True)
class Hinted:
    delivery: str = "1"
    branch: str = "main"
    after: str = ""
    deleted: bool = False
    pull: int | None = None
    head: str = ""
    ref: str = ""
    fork: bool = False
    closed: bool = False


class Ears:
    """A notifier that remembers; `deaf`: it cannot deliver."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.heard: list[Notice] = []
        self.deaf = deaf

    async def notify(self, notice: Notice) -> None:
        self.heard.append(notice)
        if self.deaf:
            raise Later("nobody is there")


async def test_a_job_that_runs_stops_at_a_safe_point(tmp_path: Path) -> None:
    async with home(tmp_path, real=True) as house:
        house.upstream.push(**{f"c{vmid}": container(f"c{vmid}", vmid) for vmid in range(1000, 1016)})
        job = await house.commands.sync(ADA, "home")

        async def begun() -> bool:
            return len(house.writes) > 1

        await until(begun)
        await house.commands.cancel(ADA, job.id)
        done = await house.done(job)
        assert (done.state, done.summary) == ("cancelled", "cancelled by ada")
        assert not any(guest.config.get("lock") for guest in house.guests.values())
        made = len(house.guests)
        assert 0 < made < 16
        with pytest.raises(Conflict, match="ended already"):
            await house.commands.cancel(ADA, job.id)
        again = await house.done(await house.commands.retry(ADA, job.id))
        assert (again.state, again.retry_of, len(house.guests)) == ("succeeded", job.id, 16)


async def test_a_server_that_drains_ends_what_runs_and_begins_nothing(tmp_path: Path) -> None:
    async with home(tmp_path, real=True) as house:
        house.upstream.push(**{f"c{vmid}": container(f"c{vmid}", vmid) for vmid in range(1000, 1016)})
        job = await house.commands.sync(ADA, "home")

        async def begun() -> bool:
            return len(house.writes) > 1

        await until(begun)
        drained = asyncio.create_task(house.worker.drain())
        house.upstream.push(db=container("db", 102))
        later = await house.commands.sync(ADA, "home")
        await asyncio.sleep(0)
        assert not drained.done()
        await asyncio.wait_for(drained, 60)
        assert (await house.commands.job(job.id)).state == "succeeded"
        await house.worker(later.id)
        assert (await house.commands.job(later.id)).state == "pending", "whoever works next finds it"
        assert set(house.guests) == set(range(1000, 1016))


async def test_a_job_that_waits_is_cancelled_at_once(tmp_path: Path) -> None:
    async with home(tmp_path, "sync: manual") as house:
        house.upstream.push(web=container("web", 101))
        job = await house.sync()
        done = await house.commands.cancel(ADA, job.id)
        assert done.state == "cancelled"
        with pytest.raises(Conflict, match="does not wait"):
            await house.commands.approve(ADA, job.id, job.digest)
        assert house.writes == []


async def test_webhooks_are_hints(tmp_path: Path) -> None:
    async with home(tmp_path, keep_queue=False) as house:
        newest = house.upstream.push(web=container("web", 101))
        job, said = await house.commands.webhook("home", Hinted(after="f" * 40))
        assert job is not None
        assert (job.request.trigger, job.request.actor, job.request.revision, said) == (
            "webhook", "webhook:1", "", "accepted")  # fmt: skip
        assert (await house.commands.webhook("home", Hinted()))[1] == "this delivery was received before"
        same, _ = await house.commands.webhook("home", Hinted(delivery="2"))
        assert same is not None
        assert same.id == job.id, "a burst is one job"
        for hint, reason in (
            (Hinted("3", branch="other"), "not what source"),
            (Hinted("4", deleted=True), "deleted"),
            (Hinted("5", pull=7, head="a" * 40), "names no forge"),
        ):
            found, said = await house.commands.webhook("home", hint)
            assert found is None
            assert reason in said
        await house.worker(job.id)
        assert (await house.commands.job(job.id)).revision == newest, "what is there counts, not what was said"
        assert (await house.commands.webhook("home", Hinted("6", after=newest)))[0] is None


async def test_a_branch_that_goes_back_is_followed_though_its_webhooks_have_no_name(tmp_path: Path) -> None:
    async with home(tmp_path, keep_queue=False) as house:
        first = house.upstream.push(web=container("web", 101))
        second = house.upstream.push(web=container("web", 101, memory="1Gi"))
        for revision, memory in ((first, "512"), (second, "1024"), (first, "512"), (second, "1024")):
            house.upstream.git("push", "-q", "--force", "origin", f"{revision}:main")
            job, said = await house.commands.webhook("home", Hinted("", after=revision))
            assert job is not None, said
            await house.worker(job.id)
            assert house.guests[101].config["memory"] == memory
        assert (await house.commands.webhook("home", Hinted("", after=second)))[0] is None, "nothing new"


async def test_going_back_while_another_revision_is_under_way_is_heard(tmp_path: Path) -> None:
    async with home(tmp_path, keep_queue=False) as house:
        first = house.upstream.push(web=container("web", 101))
        await house.worker((await house.commands.sync(ADA, "home")).id)
        second = house.upstream.push(web=container("web", 101, memory="1Gi"))
        running, _ = await house.commands.webhook("home", Hinted("", after=second))
        assert running is not None
        await house.house.store.update_job(running.id, ("pending",), state="running")
        house.upstream.git("push", "-q", "--force", "origin", f"{first}:main")
        job, said = await house.commands.webhook("home", Hinted("", after=first))
        assert job is not None, said


async def test_a_plan_that_waits_is_of_the_past_when_its_branch_goes_back(tmp_path: Path) -> None:
    async with home(tmp_path, "interval: 1s") as house:
        first = house.upstream.push(web=container("web", 101))
        await house.sync()
        house.upstream.push(web=container("web", 111))
        waiting = await house.sync()
        assert waiting.state == "waiting"
        house.upstream.git("push", "-q", "--force", "origin", f"{first}:main")
        clock = asyncio.create_task(Schedule(house.house).run())

        async def gone() -> bool:
            return (await house.commands.job(waiting.id)).state == "cancelled"

        await until(gone)
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)


async def test_trouble_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        ears = Ears()
        object.__setattr__(house.house, "notifiers", (Ears(deaf=True), ears))
        house.upstream.push(web=container("web", 101, memory="512"))
        for _ in range(3):
            assert (await house.sync()).state == "failed"
        house.upstream.push(web=container("web", 101))
        assert (await house.sync()).state == "succeeded"

        async def told() -> bool:
            return len(ears.heard) >= 2

        await until(told)
        await asyncio.sleep(0.2)
        assert [(item.kind, item.key) for item in ears.heard] == [("failure", "sync/home"), ("recovery", "sync/home")]
        assert ears.heard[0].url.startswith("http://portal.example/jobs/")


async def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101))
        job = await house.done(await house.commands.plan(ADA, "home"))
        assert (job.state, job.summary, house.writes) == ("succeeded", "1 to create", [])
        steps = job.result["steps"]
        assert isinstance(steps, list)
        assert [(step["action"], step["file"], step["line"]) for step in steps if isinstance(step, dict)] == [
            ("create", "web.yaml", 1)
        ]


async def test_a_published_service_goes_with_its_guest(tmp_path: Path) -> None:
    class Told:
        name = "told"

        def __init__(self) -> None:
            self.services: list[tuple[str, str]] = []

        async def publish(self, services: object) -> tuple[str, ...]:
            self.services = [(str(item.expose.domain), item.address) for item in services]  # type: ignore[attr-defined]
            return ("written",)

    async with home(tmp_path, "prune: true") as house:
        told = Told()
        object.__setattr__(house.house, "publishers", (told,))
        fields = {
            "running": "true",
            "network": "[{name: eth0, ip: 10.0.0.30/24, gateway: 10.0.0.1}]",
            "expose": "{domain: www.example.org, port: 8080}",
        }
        house.upstream.push(web=container("web", 101, **fields), db=container("db", 102))
        await house.sync()
        assert told.services == [("www.example.org", "10.0.0.30")]
        house.upstream.push(web=None)
        await house.sync()
        assert told.services == []


async def test_a_snapshot_is_taken_before_a_risky_change(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101))
        await house.sync()
        house.upstream.push(web=container("web", 101, memory="1Gi"))
        job = await house.sync(snapshot=True)
        assert job.state == "succeeded", job.error
        assert list(house.guests[101].snapshots) == [f"innkeeper-before-{job.id}"]


async def test_a_newer_plan_takes_the_place_of_one_that_waits(tmp_path: Path) -> None:
    async with home(tmp_path, "sync: manual") as house:
        house.upstream.push(web=container("web", 101))
        first = await house.sync()
        house.upstream.push(db=container("db", 102))
        second = await house.sync()

        async def superseded() -> bool:
            return (await house.commands.job(first.id)).state == "cancelled"

        await until(superseded)
        assert (await house.commands.job(first.id)).summary == f"job {second.id} took its place"
        assert (second.state, second.summary) == ("waiting", "2 to create")


async def test_snapshots_by_the_clock_are_thinned(tmp_path: Path) -> None:
    async with home(tmp_path, "snapshots: {every: 1s, keep: 2}", "interval: 1h") as house:
        house.upstream.push(web=container("web", 101))
        await house.sync()
        await house.done(await house.commands.snapshot(ADA, "home", Ref("Container", "web"), "mine"))
        clock = asyncio.create_task(Schedule(house.house).run())
        seen: set[str] = set()

        async def taken() -> bool:
            seen.update(house.guests[101].snapshots)
            return len(seen) >= 5

        await until(taken)
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)
        jobs = [job for job in await house.house.store.jobs() if job.request.trigger == "schedule"]
        await asyncio.gather(*map(house.done, jobs))
        left = sorted(house.guests[101].snapshots)
        assert left[-1] == "mine", "a person's own stay"
        assert len(left) == 3
        assert all(name.startswith("innkeeper-auto-") for name in left[:2])


async def test_a_lease_is_told_once_it_is_there(tmp_path: Path) -> None:
    """The address of a guest without a static one comes from its cluster; what is published waits for it."""

    class Told:
        name = "told"
        services: tuple[str, ...] = ()

        async def publish(self, services: object) -> tuple[str, ...]:
            self.services = tuple(item.address for item in services)  # type: ignore[attr-defined]
            return ()

    async with home(tmp_path) as house:
        told = Told()
        object.__setattr__(house.house, "publishers", (told,))
        fields = {"running": "true", "network": "[{name: eth0, ip: dhcp}]", "expose": "{domain: www.example.org}"}
        house.upstream.push(web=container("web", 101, **fields))
        await house.sync()
        watch = asyncio.create_task(Watch(house.house, 0.2).run())

        async def known() -> bool:
            return bool((await house.record("web")).address)

        await until(known)

        async def published() -> bool:
            return told.services == ((await house.record("web")).address,)

        await until(published)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
