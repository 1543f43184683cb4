"""Several at once, with durations and locks as they are in reality."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .conftest import TEMPLATE, Api, serving

GUEST = "/nodes/pve/lxc/101"


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path, real=True) as client:
        yield client


async def test_one_id_is_given_once(slow: Api) -> None:
    wanted = {"vmid": 101, "ostemplate": TEMPLATE, "features": "nesting=1", "rootfs": "btr:1"}
    answers = await asyncio.gather(*(slow.run("POST", "/nodes/pve/lxc", **wanted) for _ in range(3)))
    assert sorted(answer[:3] for answer in answers) == ["500", "500", "OK"]
    assert len(await slow.get("/nodes/pve/storage/btr/content")) == 1


async def test_a_container_that_is_being_made_shows_its_lock_and_lets_a_write_wait(slow: Api) -> None:
    status, upid, _ = await slow.call("POST", "/nodes/pve/lxc", vmid=101, ostemplate=TEMPLATE, hostname="web")
    assert status == 200
    config = await slow.get(f"{GUEST}/config")
    assert config.keys() == {"lock", "digest"}
    assert (await slow.get("/nodes/pve/lxc"))[0]["name"] == "CT101"
    assert await slow.run("DELETE", GUEST) == "500 CT is locked (create)"
    assert await slow.put(f"{GUEST}/config", cores=2) == "200"
    assert upid not in [task.upid for task in slow.cluster.tasks.running()]
    assert (await slow.get(f"{GUEST}/config"))["cores"] == 2


async def test_a_lock_that_nobody_gives_back_is_waited_for_ten_seconds(api: Api) -> None:
    assert await api.create() == "OK"
    path = "/run/lock/lxc/pve-config-101.lock"
    api.cluster.locks.seize(f"pve:{path}")
    assert await api.put(f"{GUEST}/config", cores=2) == f"500 can't lock file '{path}' - got timeout"
    assert await api.run("POST", f"{GUEST}/status/start") == f"can't lock file '{path}' - got timeout"


async def test_without_quorum_nothing_is_written(api: Api) -> None:
    assert await api.create() == "OK"
    api.cluster.quorum_lost = True
    before = await api.get(f"{GUEST}/config")
    assert (await api.put(f"{GUEST}/config", cores=2)).endswith("- Permission denied")
    assert await api.run("POST", f"{GUEST}/status/start") == "500 cluster not ready - no quorum?"
    assert await api.create(102) == "500 cluster not ready - no quorum?"
    assert await api.get(f"{GUEST}/config") == before
