"""Branches of a container monorepo, each with its role: real git, a simulated cluster, and what would run inside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from innkeeper.configure.roles import Roles
from innkeeper.control.scheduling import Schedule
from innkeeper.engine.errors import Stalled
from innkeeper.engine.inside import Inside, Readiness, Target, Tell
from innkeeper.model.inside import CheckResult
from innkeeper.model.jobs import Job
from innkeeper.model.objects import Declared
from innkeeper.sources.webhooks import Hint
from tests.innkeeper.control.home import ADA, Home, home, until
from tests.innkeeper.formats.trees import written

SPEC = "format: container-monorepo\nbranch: release\nallow: [roles]\ninterval: 1h"


@dataclass
class Insides:
    """Stands for the way into guests, which simulated ones have not: notes the recipes that would run there."""

    ran: list[str] = field(default_factory=list)
    broken: bool = False

    async def prepare(self, items: Sequence[Inside]) -> Readiness:
        hashes = Roles()
        return Readiness(
            {item.ref: "-".join(hashes.digest(role.directory)[:8] for role in item.roles) for item in items}
        )

    async def configure(self, item: Inside, target: Target, tell: Tell) -> None:
        recipe = Path(item.roles[-1].directory) / "recipes/default.rb"
        if self.broken:
            raise Stalled(f"{item.ref}: the recipe failed")
        self.ran.append(f"{item.ref.name}: {recipe.read_text() if recipe.is_file() else 'base'}")

    async def check(self, item: Inside, target: Target) -> tuple[CheckResult, ...]:
        return ()

    async def answering(self, addresses: Sequence[str]) -> frozenset[str]:
        return frozenset()

    def authorized_keys(self, cluster: str) -> tuple[str, ...]:
        return ()

    def forget(self, cluster: str, vmid: int) -> None: ...
    async def close(self) -> None: ...


@dataclass
class Monorepo:
    """`push("main", recipe="v2")` commits on top of what the work tree holds and pushes it to that branch."""

    house: Home
    inside: Insides

    def push(self, *branches: str, recipe: str = "", memory: int = 0, **containers: str) -> str:
        """`db=…` is the `container.env` of libs/db. The new commit."""
        up = self.house.upstream
        changes: dict[str, str | bytes] = {f"libs/{name}/container.env": text for name, text in containers.items()}
        if recipe:
            changes["libs/web/recipes/default.rb"] = recipe
        if memory:
            changes["libs/web/container.env"] = env(142, memory)
        written(up.work, changes)
        up.git("add", "-A")
        up.git("commit", "-q", "--allow-empty", "-m", recipe or "more")
        up.git("push", "-q", "-f", "origin", *(f"HEAD:{branch}" for branch in branches))
        return up.git("rev-parse", "HEAD")

    def set(self, branch: str, to: str) -> None:
        self.house.upstream.git("push", "-q", "-f", "origin", f"{to}:refs/heads/{branch}")

    async def told(self, branch: str, after: str = "", delivery: str = "") -> Job:
        """The job that a webhook of this branch leads to, once it has ended or waits."""
        job, reason = await self.house.commands.webhook("home", Hint(delivery, branch, after))
        assert job is not None, reason
        return await self.house.done(job)

    async def jobs(self) -> list[str]:
        """What was asked for, oldest first."""
        return [f"{job.request.type} {job.state}" for job in reversed(await self.house.house.store.jobs())]

    def snapshots(self, vmid: int = 142) -> list[str]:
        return sorted(self.house.guests[vmid].snapshots)


def env(vmid: int, memory: int = 512) -> str:
    return f"IP=10.0.0.{vmid % 100}\nID={vmid}\nMEMORY={memory}\nDISK=btr:4\n"


@asynccontextmanager
async def monorepo(place: Path, *there: str) -> AsyncIterator[Monorepo]:
    """Released once: the container web with the recipe v1. `there`: branches that stand there already, with v0."""
    async with home(place, SPEC) as house:
        inside = Insides()

        @asynccontextmanager
        async def insides(declared: Declared) -> AsyncIterator[Insides]:
            yield inside

        object.__setattr__(house.house, "insides", insides)
        made = Monorepo(house, inside)
        if there:
            made.push(*there, recipe="v0")
        made.push("release", recipe="v1", memory=512)
        first = await made.told("release")
        assert (first.state, first.error, inside.ran) == ("succeeded", "", ["web: v1"])
        yield made


async def test_main_configures_and_changes_no_machine(tmp_path: Path) -> None:
    async with monorepo(tmp_path) as repo:
        house = repo.house
        head = repo.push("main", recipe="v2", memory=1024, db=env(143))
        writes = len(house.writes)
        job = await repo.told("main", head)
        assert (job.request.type, job.state, job.error, job.revision) == ("configure", "succeeded", "", head)
        assert repo.inside.ran == ["web: v1", "web: v2"]
        assert house.config(142)["memory"] == "512"
        assert sorted(house.guests) == [142]
        assert len(house.writes) == writes + 2, "the marker tells that it is at work, and that it is done"

        # Whatever is healed afterwards leaves the inside as main has it.
        await house.by_hand("PUT", "{142}/config", memory="768")
        healed = await house.sync(only=("web",))
        assert (healed.state, house.config(142)["memory"]) == ("succeeded", "512")
        assert repo.inside.ran == ["web: v1", "web: v2"]
        assert (await repo.told("release")).summary == "no changes"

        # What was done is not done again, and the next release says both again.
        assert (await house.commands.webhook("home", Hint("", "main", head)))[0] is None
        repo.push("release", recipe="v3")
        assert (await repo.told("release")).state == "succeeded"
        assert sorted(repo.inside.ran[2:]) == ["db: base", "web: v3"]
        assert (house.config(142)["memory"], 143 in house.guests) == ("1024", True)


async def test_a_faulty_main_stops_nothing_but_itself(tmp_path: Path) -> None:
    async with monorepo(tmp_path) as repo:
        repo.push("main", web="IP=nowhere\nID=142\n")
        job = await repo.told("main")
        assert (job.state, "container.env:1" in job.error, "Traceback" in job.error) == ("failed", True, False)
        repo.inside.broken = True
        repo.push("main", recipe="v2", memory=512)
        assert (await repo.told("main")).state == "failed"
        repo.inside.broken = False
        assert (await repo.house.sync()).state == "succeeded"
        assert repo.inside.ran == ["web: v1", "web: v1"], "what failed half way is put back by the next sync"


async def test_a_snapshot_of_all_guests_is_called_by_its_commit(tmp_path: Path) -> None:
    async with monorepo(tmp_path) as repo:
        head = repo.push("snapshot")
        job = await repo.told("snapshot", head)
        assert (job.request.type, job.state, job.error) == ("snapshot", "succeeded", "")
        assert repo.snapshots() == [f"innkeeper-at-{head[:12]}"]
        assert f"snapshot innkeeper-at-{head[:12]} of 1 guest" in job.summary
        assert await repo.house.said(job)


async def test_a_snapshot_comes_before_what_is_released_with_it(tmp_path: Path) -> None:
    async with monorepo(tmp_path) as repo:
        repo.push("snapshot")
        assert (await repo.told("snapshot")).state == "succeeded"
        before = len(repo.house.writes)
        head = repo.push("release", "snapshot", recipe="v2", memory=1024)
        job = await repo.told("release")  # the forge told of it first, or of it alone
        assert job.state == "succeeded", job.error
        kinds = [call.rpartition("/")[2] for call in repo.house.writes[before:]]
        assert kinds[0] == "snapshot" and "config" in kinds
        assert f"innkeeper-at-{head[:12]}" in repo.snapshots()
        assert "its snapshot comes first" in await repo.house.said(job)
        assert (await repo.told("snapshot")).state == "succeeded"
        assert len(repo.snapshots()) == 2, "of one commit there is one"


async def test_a_snapshot_that_cannot_be_taken_holds_the_release_up_and_says_how_to_go_on(tmp_path: Path) -> None:
    async with monorepo(tmp_path) as repo:
        repo.push("snapshot")
        await repo.told("snapshot")
        repo.house.faults(
            'rules: [{on: {path: "*/snapshot", method: POST}, times: 0, do: status, status: 500, reason: full}]'
        )
        repo.push("release", "snapshot", memory=1024)
        job = await repo.told("release")
        assert (job.state, repo.house.config(142)["memory"]) == ("failed", "512")
        assert "delete the branch snapshot" in job.error
        repo.house.upstream.git("push", "-q", "origin", ":snapshot")
        assert (await repo.told("release")).state == "succeeded"
        assert repo.house.config(142)["memory"] == "1024"


async def test_rollback_shows_its_plan_and_takes_guests_back_once_their_names_are_typed(tmp_path: Path) -> None:
    async with monorepo(tmp_path) as repo:
        house = repo.house
        kept = house.upstream.git("rev-parse", "HEAD")
        repo.set("snapshot", kept)
        assert (await repo.told("snapshot")).state == "succeeded"
        repo.push("release", recipe="v2", memory=1024)
        await repo.told("release")
        repo.set("rollback", kept)
        writes = len(house.writes)
        job = await repo.told("rollback", kept)
        assert (job.request.type, job.state, job.revision) == ("rollback", "waiting", kept)
        assert f"web back to snapshot innkeeper-at-{kept[:12]}" in job.summary
        assert len(house.writes) == writes, "nothing is changed before a person agrees"
        with pytest.raises(Stalled, match="this takes web back to a snapshot"):
            await house.commands.approve(ADA, job.id, job.digest)
        done = await house.done(await house.commands.approve(ADA, job.id, job.digest, names=["web"]))
        assert (done.state, done.error) == ("succeeded", "")
        assert [call for call in house.writes[writes:] if call.endswith("/rollback")]
        follows = await house.done(await house.commands.job(int(str(done.result["job"]))))
        assert (follows.state, follows.revision) == ("succeeded", kept)
        assert house.config(142)["memory"] == "512"
        assert (await house.house.store.source("home")).pinned == kept

        # Held, until release moves.
        assert (await house.sync()).revision == kept
        assert house.config(142)["memory"] == "512"
        newer = repo.push("release", memory=2048)
        job = await repo.told("release")
        assert (job.state, job.revision) == ("succeeded", newer)
        assert (house.config(142)["memory"], (await house.house.store.source("home")).pinned) == ("2048", "")


async def test_rollback_without_a_snapshot_is_the_plan_of_that_content(tmp_path: Path) -> None:
    async with monorepo(tmp_path) as repo:
        house, old = repo.house, repo.house.upstream.git("rev-parse", "HEAD")
        repo.push("release", recipe="v2", memory=1024)
        await repo.told("release")
        repo.push("rollback", memory=768)
        job = await repo.told("rollback")
        assert (job.state, "snapshot" in job.summary) == ("waiting", False)
        repo.set("rollback", old)
        newer = await repo.told("rollback")
        assert (await house.commands.job(job.id)).state == "cancelled", "the newer plan took its place"
        done = await house.done(await house.commands.approve(ADA, newer.id, newer.digest))
        assert (done.state, house.config(142)["memory"], repo.inside.ran[-1]) == ("succeeded", "512", "web: v1")


async def test_release_set_back_to_what_it_held_before(tmp_path: Path) -> None:
    """The published way back: the branch that held the previous state is set to release."""
    async with monorepo(tmp_path) as repo:
        house, old = repo.house, repo.house.upstream.git("rev-parse", "HEAD")
        repo.push("release", recipe="v2", memory=1024, db=env(143))
        await repo.told("release")
        assert sorted(house.guests) == [142, 143]
        repo.set("release", old)
        job = await repo.told("release", old)
        assert (job.state, job.revision, house.config(142)["memory"]) == ("succeeded", old, "512")
        assert repo.inside.ran[-1] == "web: v1"
        assert sorted(house.guests) == [142, 143], "what is declared no more is left alone"


@pytest.mark.parametrize("told", [True, False], ids=["webhook", "look"])
async def test_release_set_back_after_it_failed_half_way(tmp_path: Path, told: bool) -> None:
    async with monorepo(tmp_path) as repo:
        house, old = repo.house, repo.house.upstream.git("rev-parse", "HEAD")
        repo.inside.broken = True
        repo.push("release", recipe="v2", memory=1024)
        assert (await repo.told("release")).state == "failed"
        repo.inside.broken = False
        repo.set("release", old)
        if told:
            await repo.told("release", old)
        else:
            await Schedule(house.house)._source(house.house.source("home"))

        async def back() -> bool:
            return house.config(142)["memory"] == "512" and repo.inside.ran == ["web: v1", "web: v1"]

        await until(back)


async def test_looks_find_what_no_webhook_told_and_act_in_order(tmp_path: Path) -> None:
    async with monorepo(tmp_path, "main", "snapshot", "rollback") as repo:
        house = repo.house
        await Schedule(house.house)._source(house.house.source("home"))
        assert await repo.jobs() == ["sync succeeded"], "what was there before the first look is only remembered"
        for recipe in ("v2", "v3"):
            repo.push("main", "snapshot", "rollback", recipe=recipe)
        await Schedule(house.house)._source(house.house.source("home"))

        async def over() -> bool:
            return not await house.house.store.jobs(states=("pending", "running"))

        await until(over)
        found = await repo.jobs()
        assert found[1:] == ["snapshot succeeded", "rollback waiting", "configure succeeded"]
        assert repo.inside.ran == ["web: v1", "web: v3"]
        await Schedule(house.house)._source(house.house.source("home"))
        assert await repo.jobs() == found, "nothing moved since"
        for branch in ("snapshot", "rollback", "main"):  # webhooks that are late
            assert "done already" in (await repo.told(branch)).summary
        assert (await house.commands.job(3)).state == "waiting", "and the plan that waits goes on waiting"
        assert len(repo.snapshots()) == 1


async def test_a_burst_is_one_job_for_each_branch(tmp_path: Path) -> None:
    async with home(tmp_path, SPEC, keep_queue=False) as house:
        asked: dict[str, set[int]] = {}
        for branch in ("main", "snapshot", "release", "rollback") * 3:
            job, reason = await house.commands.webhook("home", Hint("", branch))
            assert job is not None, reason
            asked.setdefault(job.request.type, set()).add(job.id)
        assert asked == {"configure": {1}, "snapshot": {2}, "sync": {3}, "rollback": {4}}


async def test_a_suspended_source_does_nothing_by_itself(tmp_path: Path) -> None:
    async with monorepo(tmp_path) as repo:
        house = repo.house
        await Schedule(house.house)._source(house.house.source("home"))
        await house.commands.suspend(ADA, "home", True)
        writes = len(house.writes)
        repo.push("main", "snapshot", "rollback", recipe="v2")
        for branch in ("main", "snapshot", "rollback"):
            assert (await repo.told(branch)).summary.startswith("suspended")
        await Schedule(house.house)._source(house.house.source("home"))
        assert len(house.writes) == writes
        await house.commands.suspend(ADA, "home", False)
        await Schedule(house.house)._source(house.house.source("home"))

        async def configured() -> bool:
            await asyncio.sleep(0)
            return repo.inside.ran == ["web: v1", "web: v2"]

        await until(configured)


async def test_only_a_monorepo_that_follows_release_has_other_branches(tmp_path: Path) -> None:
    async with home(tmp_path, "format: container-monorepo\nsync: manual\nallow: [roles]") as house:
        assert house.house.source("home").spec.beside == ()
        job, reason = await house.commands.webhook("home", Hint("", "snapshot"))
        assert (job, "is not what source home follows (main)" in reason) == (None, True)
