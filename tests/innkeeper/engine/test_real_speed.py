"""Where tasks take their time and the list of guests lags behind: what only shows then."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.innkeeper.engine.lab import Lab, brief, running
from tests.innkeeper.engine.test_life import WEB
from tests.innkeeper.planner.worlds import container, machine


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running(tmp_path, real=True) as made:
        yield made


async def test_a_run_that_dies_while_a_create_runs_makes_no_second_guest(slow: Lab) -> None:
    guests = (container("web", **WEB), container("db", **WEB))
    run = asyncio.create_task(slow.apply(*guests))
    async with asyncio.timeout(30):
        while not _being_made(slow):  # noqa: ASYNC110 - the simulator tells nobody
            await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert _being_made(slow)
    result = await slow.run(slow.proxmox(), *guests, patience=60.0)
    assert result.ok, brief(result)
    assert sorted(slow.guests) == [1000, 1001]
    assert (await slow.apply(*guests)).writes == 0


async def test_a_run_that_dies_while_a_clone_runs_makes_no_second_guest(slow: Lab) -> None:
    golden = machine("golden", vmid=900, disks=[{"slot": "scsi0", "storage": "nas", "size": "1Gi"}])
    assert (await slow.apply(golden)).ok
    slow.guests[900].config["template"] = "1"
    vm = machine("vm", clone={"template": 900}, memory="1Gi")
    run = asyncio.create_task(slow.apply(golden, vm))
    async with asyncio.timeout(30):
        while not _being_made(slow):  # noqa: ASYNC110 - the simulator tells nobody
            await asyncio.sleep(0.01)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert _being_made(slow)
    result = await slow.run(slow.proxmox(), golden, vm, patience=60.0)
    assert result.ok, brief(result)
    assert sorted(slow.guests) == [900, 1000]
    assert slow.guests[1000].config["memory"] == "1024"


def _being_made(lab: Lab) -> bool:
    return any(guest.config.get("lock") in ("create", "clone") for guest in lab.guests.values())


async def test_many_creates_at_once_meet_no_lock(slow: Lab) -> None:
    disk = {"rootDisk": {"storage": "nas", "size": "1Gi"}}
    guests = [container(f"g{at}", **WEB | disk) for at in range(12)]
    result = await slow.run(slow.proxmox(), *guests, parallel=12, patience=60.0)
    assert result.ok, brief(result)
    assert not [event for event in slow.events if event.phase == "waiting"]
    assert result.writes == 12
    assert (await slow.apply(*guests)).writes == 0


async def test_power_that_the_list_does_not_know_yet_is_no_drift(slow: Lab) -> None:
    await slow.apply(container("web", **WEB))
    assert (await slow.apply(container("web", **WEB))).writes == 0
    stopped = container("web", **WEB | {"running": False})
    assert brief(await slow.apply(stopped)) == ["update Container/web 1000 done"]
    assert (await slow.apply(stopped)).writes == 0
