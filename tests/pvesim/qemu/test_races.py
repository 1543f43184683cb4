"""Two callers at the same time, on a machine where work takes its time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.pvesim import running

from .conftest import SEED, Machine


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Machine]:
    started = running.start(tmp_path, SEED, "--speed", "real")
    yield Machine(started, 200)
    started.stop()


def test_one_of_two_creates_wins(slow: Machine) -> None:
    with ThreadPoolExecutor(2) as pool:
        ends = sorted(pool.map(lambda _: slow.create(scsi0="local:1"), range(2)))
    assert ends == ["500 unable to create VM 200 - VM 200 already exists on node 'pve'", "OK"]
    assert slow.config["scsi0"].endswith("vm-200-disk-0.raw,size=1G")


def test_one_of_two_writes_with_the_same_digest_wins(slow: Machine) -> None:
    assert slow.create() == "OK"
    digest = slow.config["digest"]
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda n: slow.put(**{f"scsi{n}": "local:1", "digest": digest}), range(2)))
    assert sorted(end.status for end in ends) == [200, 500]
    assert {end.message for end in ends if end.status == 500} == {"checksum mismatch (file change by other user?)"}
    assert len([key for key in slow.config if key.startswith("scsi")]) == 1


def test_while_it_is_made_only_its_lock_shows(slow: Machine) -> None:
    disks = {f"scsi{n}": "local:1" for n in range(4)}
    upid = slow.sim.call("POST", "/nodes/pve/qemu", {"vmid": 200, "name": "a"} | disks).data
    assert slow.config.keys() == {"lock", "digest"}
    assert slow.put(name="b").message == "VM is locked (create)"
    assert slow.sim.task(upid) == "OK"
    assert slow.config["name"] == "a"
