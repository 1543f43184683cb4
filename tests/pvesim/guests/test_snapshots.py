"""Snapshots of containers and virtual machines."""

import pytest

from tests.pvesim.running import Sim

from .conftest import CT, VM, container, machine


def names(sim: Sim, guest: str) -> dict[str, str | None]:
    return {row["name"]: row.get("parent") for row in sim.call("GET", f"{guest}/snapshot").data}


def test_a_containers_snapshots_form_a_chain(sim: Sim) -> None:
    container(sim, mp0="btr:1,mp=/data")
    assert sim.do("POST", f"{CT}/snapshot", {"snapname": "one", "description": "first"}) == "OK"
    sim.call("PUT", f"{CT}/config", {"memory": 300})
    assert sim.do("POST", f"{CT}/snapshot", {"snapname": "two"}) == "OK"
    assert names(sim, CT) == {"one": None, "two": "one", "current": "two"}
    rows = {row["name"]: row for row in sim.call("GET", f"{CT}/snapshot").data}
    assert rows["one"]["description"] == "first\n"
    assert rows["current"]["description"] == "You are here!"
    assert set(rows["two"]) == {"name", "snaptime", "description", "parent"}
    assert sim.do("DELETE", f"{CT}/snapshot/one") == "OK"
    assert names(sim, CT) == {"two": None, "current": "two"}


def test_rolling_back_brings_settings_and_volumes_back(sim: Sim) -> None:
    container(sim, memory=256, description="keep me")
    sim.do("POST", f"{CT}/snapshot", {"snapname": "sn"})
    sim.call("PUT", f"{CT}/config", {"memory": 512, "description": "changed", "mp0": "btr:1,mp=/data"})
    sim.do("PUT", f"{CT}/resize", {"disk": "rootfs", "size": "+1G"})
    sim.do("POST", f"{CT}/status/start")
    assert sim.do("POST", f"{CT}/snapshot/sn/rollback") == "OK"
    config = sim.call("GET", f"{CT}/config").data
    assert (config["memory"], config["parent"], config["description"]) == (256, "sn", "changed\n")
    assert "mp0" not in config
    assert config["unused0"] == "btr:101/vm-101-disk-1.raw"
    assert config["rootfs"].endswith("size=1G")
    assert sim.call("GET", f"{CT}/status/current").data["status"] == "stopped"
    assert sim.do("POST", f"{CT}/snapshot/sn/rollback", {"start": 1}) == "OK"
    assert sim.call("GET", f"{CT}/status/current").data["status"] == "running"


@pytest.mark.parametrize(
    ("params", "ending"),
    [
        ({"snapname": "s1"}, "snapshot name 's1' already used"),
        ({"snapname": "s2"}, "OK"),
    ],
)
def test_a_name_is_used_once(sim: Sim, params: dict[str, str], ending: str) -> None:
    container(sim)
    sim.do("POST", f"{CT}/snapshot", {"snapname": "s1"})
    assert sim.do("POST", f"{CT}/snapshot", params) == ending


def test_reserved_and_malformed_names_are_refused_at_once(sim: Sim) -> None:
    container(sim)
    machine(sim)
    assert sim.call("POST", f"{CT}/snapshot", {"snapname": "vzdump"}).message == (
        "unable to use snapshot name 'vzdump' (reserved name)"
    )
    assert sim.call("POST", f"{VM}/snapshot", {"snapname": "pending"}).message == (
        "unable to use snapshot name 'pending' (reserved name)"
    )
    assert set(sim.call("POST", f"{CT}/snapshot", {"snapname": "1x"}).errors) == {"snapname"}
    assert set(sim.call("POST", f"{CT}/snapshot", {}).errors) == {"snapname"}


def test_what_is_missing_shows_in_the_task(sim: Sim) -> None:
    container(sim)
    assert sim.do("DELETE", f"{CT}/snapshot/nope") == "snapshot 'nope' does not exist"
    assert sim.do("POST", f"{CT}/snapshot/nope/rollback") == "snapshot 'nope' does not exist"
    assert sim.call("GET", f"{CT}/snapshot/nope/config").message == "snapshot 'nope' does not exist"
    assert (
        sim.call("PUT", f"{CT}/snapshot/nope/config", {"description": "x"}).message == "snapshot 'nope' does not exist"
    )
    assert sim.call("PUT", f"{CT}/snapshot/nope/config", {}).data is None
    missing = "Configuration file 'nodes/pve/lxc/999.conf' does not exist"
    assert sim.do("POST", "/nodes/pve/lxc/999/snapshot", {"snapname": "sn"}) == missing


def test_storages_that_cannot(sim: Sim) -> None:
    container(sim, rootfs="local:1")
    assert sim.do("POST", f"{CT}/snapshot", {"snapname": "sn"}) == "snapshot feature is not available"
    machine(sim, scsi0="local:1,format=raw")
    assert sim.do("POST", f"{VM}/snapshot", {"snapname": "sn"}) == "snapshot feature is not available"
    assert sim.call("GET", f"{CT}/feature", {"feature": "snapshot"}).data == {"hasFeature": 0}


def test_zfs_goes_back_to_the_newest_only(sim: Sim) -> None:
    container(sim, rootfs="tank:1")
    for name in ("aa", "bb"):
        assert sim.do("POST", f"{CT}/snapshot", {"snapname": name}) == "OK"
    assert "is not most recent snapshot" in sim.do("POST", f"{CT}/snapshot/aa/rollback")
    assert sim.do("POST", f"{CT}/snapshot/bb/rollback") == "OK"


def test_a_snapshots_settings(sim: Sim) -> None:
    container(sim, memory=256)
    sim.do("POST", f"{CT}/snapshot", {"snapname": "sn", "description": "old"})
    assert sim.call("PUT", f"{CT}/snapshot/sn/config", {"description": "new"}).data is None
    config = sim.call("GET", f"{CT}/snapshot/sn/config").data
    assert (config["memory"], config["description"]) == (256, "new\n")
    assert isinstance(config["snaptime"], int)
    assert "digest" not in config
    assert "parent" not in config


def test_a_running_machines_memory_is_a_volume_until_the_snapshot_goes(sim: Sim) -> None:
    machine(sim)
    sim.do("POST", f"{VM}/status/start")
    assert sim.do("POST", f"{VM}/snapshot", {"snapname": "live", "vmstate": 1}) == "OK"
    row = sim.call("GET", f"{VM}/snapshot").data[0]
    assert row["vmstate"] == 1
    volids = {row["volid"] for row in sim.call("GET", "/nodes/pve/storage/local/content", {"vmid": 200}).data}
    assert "local:200/vm-200-state-live.raw" in volids
    sim.do("POST", f"{VM}/status/stop")
    assert sim.do("POST", f"{VM}/snapshot/live/rollback") == "OK"
    assert sim.call("GET", f"{VM}/status/current").data["status"] == "running"
    assert sim.do("DELETE", f"{VM}/snapshot/live") == "OK"
    volids = {row["volid"] for row in sim.call("GET", "/nodes/pve/storage/local/content", {"vmid": 200}).data}
    assert volids == {"local:200/vm-200-disk-0.qcow2"}
