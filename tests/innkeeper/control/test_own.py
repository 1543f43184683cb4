"""The server's own guest, guests of others, and bursts: what nobody may bring about by accident."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from innkeeper.engine.errors import Waiting
from innkeeper.model.jobs import Request
from innkeeper.model.objects import Ref
from tests.innkeeper.control.home import ADA, container, home
from tests.innkeeper.control.test_jobs import Hinted

OWN = """---
apiVersion: innkeeper.dev/v1alpha1
kind: Server
metadata: {name: innkeeper}
spec: {ownGuest: {cluster: lab, vmid: 101}}
"""


async def test_its_own_guest_is_deleted_by_nobody_but_a_person(tmp_path: Path) -> None:
    async with home(tmp_path, "prune: true", more=OWN) as house:
        house.upstream.push(own=container("own", 101), web=container("web", 102), db=container("db", 103))
        assert (await house.sync()).state == "succeeded"
        house.upstream.push(own=None, web=None)
        job = await house.sync()
        assert job.state == "waiting", job.error
        assert 101 in house.guests
        done = await house.done(await house.commands.approve(ADA, job.id, job.digest, names=("own", "web")))
        assert done.state == "succeeded", done.error
        assert set(house.guests) == {103}


async def test_its_own_guest_is_restarted_by_nobody_but_a_person(tmp_path: Path) -> None:
    nested = {"running": "true", "restart": "whenNeeded"}
    async with home(tmp_path, more=OWN) as house:
        both = {"own": container("own", 101, **nested), "web": container("web", 102, **nested)}
        house.upstream.push(**both)
        assert (await house.sync()).state == "succeeded"
        house.upstream.push(**{name: f"{text}  features: {{nesting: true}}\n" for name, text in both.items()})
        house.calls.clear()
        job = await house.sync()
        assert job.state == "waiting"
        assert "features" in house.config(102)
        assert "features" not in house.config(101)
        assert not [path for path in house.writes if "/101/" in path]


async def test_its_own_guest_is_not_stopped_or_restored_from_here(tmp_path: Path) -> None:
    async with home(tmp_path, more=OWN) as house:
        both = {"own": container("own", 101, running="true"), "web": container("web", 102, running="true")}
        house.upstream.push(**both)
        assert (await house.sync()).state == "succeeded"
        own, web = Ref("Container", "own"), Ref("Container", "web")
        for action in ("stop", "reboot"):
            job = await house.done(await house.commands.power(ADA, "home", own, action))
            assert (job.state, "this server runs in" in job.error) == ("failed", True)
        await house.done(await house.commands.snapshot(ADA, "home", own, "today"))
        job = await house.done(await house.commands.restore(ADA, "home", own, "today"))
        assert (job.state, "this server runs in" in job.error) == ("failed", True)
        assert house.guests[101].running is not None
        assert (await house.done(await house.commands.power(ADA, "home", web, "stop"))).state == "succeeded"


async def test_a_guest_of_somebody_else_is_not_taken_over_without_leave(tmp_path: Path) -> None:
    adopting = container("web", 101).replace(
        "metadata: {name: web}", 'metadata: {name: web, annotations: {innkeeper.dev/adopt: "true"}}'
    )
    async with home(tmp_path) as house:
        house.upstream.push(web=container("web", 101))
        assert (await house.sync()).state == "succeeded"
        await house.by_hand("PUT", "{101}/config", description="", tags="")
        house.calls.clear()
        house.upstream.push(web=adopting)
        job = await house.sync()
        assert job.state == "failed"
        assert "somebody else made, which this source may not" in job.error
        assert house.writes == []


async def test_a_burst_of_wishes_is_one_job(tmp_path: Path) -> None:
    async with home(tmp_path, keep_queue=False) as house:
        house.upstream.push(web=container("web", 101))
        hints = [house.commands.webhook("home", Hinted(delivery=str(number))) for number in range(40)]
        jobs = {job.id for job, _ in await asyncio.gather(*hints) if job is not None}
        assert len(jobs) == 1
        assert len(await house.house.store.jobs()) == 1


async def test_a_webhook_that_could_not_be_kept_is_heard_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with home(tmp_path, keep_queue=False) as house:
        house.upstream.push(web=container("web", 101))
        store = house.house.store

        class Full:
            """The store, on a disk that has no room for a job at this moment."""

            def __getattr__(self, name: str) -> object:
                return getattr(store, name)

            async def add_job(self, request: Request, *, retry_of: int | None = None) -> object:
                raise Waiting("the disk is full")

        full = replace(house.commands, house=replace(house.house, store=Full()))  # type: ignore[arg-type]
        with pytest.raises(Waiting):
            await full.webhook("home", Hinted(delivery="one"))
        job, said = await house.commands.webhook("home", Hinted(delivery="one"))
        assert (job is not None, said) == (True, "accepted")
        assert (await house.commands.webhook("home", Hinted(delivery="one")))[1] == "this delivery was received before"
