"""Moving guests to another node."""

import pytest

from tests.pvesim.conftest import Start
from tests.pvesim.running import THREE_NODES, Sim

from .conftest import container, machine


@pytest.fixture
def sim(start: Start) -> Sim:
    return start(THREE_NODES)


def lines(sim: Sim, upid: str) -> str:
    sim.task(upid)
    rows = sim.call("GET", f"/nodes/{upid.split(':')[1]}/tasks/{upid}/log", {"limit": 0}).data
    return "\n".join(row["t"] for row in rows)


def test_a_container_takes_its_volumes_and_snapshots_along(sim: Sim) -> None:
    container(sim, node="pve1", mp0="nas:1,mp=/data")
    assert sim.do("POST", "/nodes/pve1/lxc/101/snapshot", {"snapname": "s1"}) == "snapshot feature is not available"
    sim.call("PUT", "/nodes/pve1/lxc/101/config", {"delete": "mp0"})
    sim.do("POST", "/nodes/pve1/lxc/101/snapshot", {"snapname": "s1"})
    assert sim.do("POST", "/nodes/pve1/lxc/101/migrate", {"target": "pve2"}) == "OK"
    assert sim.call("GET", "/nodes/pve2/lxc/101/config").data["parent"] == "s1"
    assert sim.call("GET", "/nodes/pve1/storage/btr/content").data == []
    assert [row["volid"] for row in sim.call("GET", "/nodes/pve2/storage/btr/content").data] == [
        "btr:101/vm-101-disk-0.raw"
    ]
    assert sim.do("POST", "/nodes/pve2/lxc/101/snapshot/s1/rollback") == "OK"


def test_a_running_container_is_restarted_on_the_way(sim: Sim) -> None:
    container(sim, node="pve1")
    sim.do("POST", "/nodes/pve1/lxc/101/status/start")
    path = "/nodes/pve1/lxc/101/migrate"
    assert sim.call("GET", path).data == {
        "running": 1,
        "allowed-nodes": ["pve2", "pve3"],
        "not-allowed-nodes": {},
    }
    assert sim.call("POST", path, {"target": "pve1"}).errors == {"target": "target is local node."}
    assert sim.call("POST", path, {"target": "pve9"}).message == "no such cluster node 'pve9'"
    assert sim.do("POST", path, {"target": "pve2", "online": 1}) == "migration aborted"
    assert sim.do("POST", path, {"target": "pve2", "restart": 1}) == "OK"
    assert sim.call("GET", "/nodes/pve2/lxc/101/status/current").data["status"] == "running"


def test_what_stays_where_it_is(sim: Sim) -> None:
    machine(sim, node="pve1")
    sim.do("POST", "/nodes/pve1/qemu/200/status/start")
    path = "/nodes/pve1/qemu/200/migrate"
    assert sim.call("POST", path, {"target": "pve2"}).message == "can't migrate running VM without --online"
    log = lines(sim, sim.call("POST", path, {"target": "pve2", "online": 1}).data)
    assert "can't live migrate attached local disks without with-local-disks option" in log
    assert "TASK ERROR: migration aborted" in log
    assert "lock" not in sim.call("GET", "/nodes/pve1/qemu/200/config").data
    assert sim.do("POST", path, {"target": "pve2", "online": 1, "with-local-disks": 1}) == "OK"
    assert sim.call("GET", "/nodes/pve2/qemu/200/status/current").data["status"] == "running"


def test_to_another_storage(sim: Sim) -> None:
    container(sim, node="pve1")
    path = "/nodes/pve1/lxc/101/migrate"
    assert set(sim.call("POST", path, {"target": "pve2", "target-storage": "a:b,a:c"}).errors) == {"target-storage"}
    assert sim.call("POST", path, {"target": "pve2", "target-storage": "nope"}).message == (
        "storage 'nope' does not exist"
    )
    assert sim.do("POST", path, {"target": "pve2", "target-storage": "btr:local"}) == "OK"
    assert sim.call("GET", "/nodes/pve2/lxc/101/config").data["rootfs"] == "local:101/vm-101-disk-0.raw,size=1G"


def test_a_machines_preconditions(sim: Sim) -> None:
    machine(sim, node="pve1")
    found = sim.call("GET", "/nodes/pve1/qemu/200/migrate").data
    assert (found["running"], found["allowed_nodes"]) == (0, ["pve2", "pve3"])
    assert [row["volid"] for row in found["local_disks"]] == ["local:200/vm-200-disk-0.qcow2"]
    sim.call("PUT", "/storage/local", {"nodes": "pve1,pve3"})
    found = sim.call("GET", "/nodes/pve1/qemu/200/migrate").data
    assert found["not_allowed_nodes"] == {"pve2": {"unavailable_storages": ["local"]}}
    assert sim.call("POST", "/nodes/pve1/qemu/200/migrate", {"target": "pve2"}).message == (
        "storage 'local' is not available on node 'pve2'"
    )


def test_a_bulk_of_guests(sim: Sim) -> None:
    for vmid in (101, 102):
        container(sim, vmid, node="pve1")
    container(sim, 103, node="pve2")
    assert sim.do("POST", "/cluster/bulk-action/guest/start", {"vms": ["101", "103"]}) == "OK"
    states = {row["vmid"]: row["status"] for row in sim.call("GET", "/cluster/resources", {"type": "vm"}).data}
    assert states == {101: "running", 102: "stopped", 103: "running"}
    assert sim.do("POST", "/cluster/bulk-action/guest/migrate", {"target": "pve2", "online": 1}) == "WARNINGS: 1"
    assert {row["node"] for row in sim.call("GET", "/cluster/resources", {"type": "vm"}).data} == {"pve2"}
    assert sim.do("POST", "/cluster/bulk-action/guest/shutdown") == "WARNINGS: 1"
    assert sim.call("POST", "/cluster/bulk-action/guest/start", token="alice@pve!nosep").message == (
        "Permission check failed (/, VM.PowerMgmt)"
    )
