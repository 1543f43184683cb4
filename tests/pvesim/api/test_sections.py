"""Configs made of sections: hardware under names, replication jobs, metric servers."""

from typing import Any

import pytest

from tests.pvesim.conftest import Start
from tests.pvesim.running import THREE_NODES, Sim

PCI = "/cluster/mapping/pci"
CARD = "id=10de:1db6,node={},path=0000:01:00.0"


def test_hardware_has_names(sim: Sim) -> None:
    lines = [CARD.format("pve"), CARD.format("other")]
    assert sim.call("POST", PCI, {"id": "gpu", "map": lines, "mdev": 1}).data is None
    assert sim.call("POST", PCI, {"id": "gpu", "map": lines}).message == (
        "create hardware mapping failed: pci ID 'gpu' already defined"
    )
    assert set(sim.call("POST", PCI, {"id": "bad", "map": ["node=pve"]}).errors) == {"map[0]"}
    entry = sim.call("GET", f"{PCI}/gpu").data
    assert (entry["mdev"], sorted(entry["map"])) == (1, sorted(lines))
    (row,) = sim.call("GET", PCI, {"check-node": "pve"}).data
    assert (row["id"], row["checks"]) == ("gpu", [])

    assert sim.call("PUT", f"{PCI}/gpu", {"map": lines[1:], "delete": "mdev", "digest": entry["digest"]}).data is None
    assert sim.call("PUT", f"{PCI}/gpu", {"map": lines, "digest": entry["digest"]}).message.endswith("Try again.")
    assert sim.call("PUT", f"{PCI}/none", {"map": lines}).message == (
        "update hardware mapping failed: pci ID 'none' does not exist"
    )
    (row,) = sim.call("GET", PCI, {"check-node": "pve"}).data
    assert row["checks"] == [{"severity": "warning", "message": "No mapping for node pve."}]
    assert "mdev" not in row
    assert sim.call("GET", PCI, token="alice@pve!nosep").data == []
    assert sim.call("GET", f"{PCI}/gpu", token="alice@pve!nosep").status == 403
    assert sim.call("DELETE", f"{PCI}/gpu").data is None
    assert sim.call("GET", f"{PCI}/gpu").message == "mapping 'gpu' not found"


def test_metric_servers(sim: Sim) -> None:
    path = "/cluster/metrics/server/tsdb"
    wanted = {"type": "influxdb", "server": "10.0.0.9", "port": 8086, "token": "secret-token"}
    assert sim.call("POST", path, wanted).data is None
    assert sim.call("POST", path, wanted).message == "Metric server 'tsdb' already exists"
    assert sim.call("GET", "/cluster/metrics/server").data == [
        {"id": "tsdb", "disable": 0, "type": "influxdb", "server": "10.0.0.9", "port": 8086}
    ]
    assert "secret-token" not in str(sim.call("GET", path).data)
    change = {"server": "10.0.0.9", "port": 8086}
    assert sim.call("PUT", path, change | {"mtu": 1400, "disable": 1}).data is None
    assert sim.call("PUT", path, change | {"delete": "port"}).message == "unable to delete required option 'port'"
    assert sim.call("PUT", path, change | {"delete": "mtu"}).data is None
    assert sim.call("GET", path).data["disable"] == 1
    assert sim.call("DELETE", path).data is None
    assert sim.call("GET", path).message == "status server entry 'tsdb' does not exist"


@pytest.fixture
def replicas(start: Start) -> Sim:
    """Three nodes with ZFS on each, and a container on it."""
    tank = {"storage": "tank", "type": "zfspool", "pool": "tank", "content": ["images", "rootdir"]}
    role = {"roleid": "Copier", "privs": ["VM.Audit", "VM.Replicate"]}
    seed: dict[str, Any] = THREE_NODES | {"storages": [*THREE_NODES["storages"], tank], "roles": [role]}
    seed["acl"] = [{"path": "/vms/101", "roleid": "Copier", "ugid": "alice@pve"}]
    sim = start(seed)
    template = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
    for vmid, storage in ((101, "tank"), (102, "local")):
        wanted = {"vmid": vmid, "ostemplate": template, "rootfs": f"{storage}:1", "features": "nesting=1"}
        assert sim.do("POST", "/nodes/pve1/lxc", wanted) == "OK"
    return sim


def test_replication_jobs(replicas: Sim) -> None:
    path = "/cluster/replication"

    def make(job: str, target: str, token: str = "root@pam!full", **more: str) -> str:
        return replicas.call("POST", path, {"id": job, "type": "local", "target": target, **more}, token=token).message

    assert make("101-0", "pve9") == "Target 'pve9' does not exist."
    assert make("101-0", "pve1") == "Source and target must not be identical"
    assert make("101-0", "pve2", source="pve3") == ("Source 'pve3' does not match current node of guest '101' (pve1)")
    assert make("999-0", "pve2") == "Guest '999' does not exist."
    assert make("102-0", "pve2").startswith("missing replicate feature on volume 'local:102/")
    assert make("102-0", "pve2", "alice@pve!nosep") == "Permission check failed (/vms/102, VM.Replicate)"
    assert make("101-0", "pve2", "alice@pve!nosep", schedule="*/30") == ""
    assert make("101-0", "pve3") == "replication job '101-0' already exists"
    (job,) = replicas.call("GET", path).data
    assert (job["id"], job["guest"], job["source"], job["schedule"]) == ("101-0", 101, "pve1", "*/30")
    assert replicas.call("PUT", f"{path}/101-0", {"delete": "schedule", "rate": 10}).data is None
    job = replicas.call("GET", f"{path}/101-0").data
    assert (job["rate"], "schedule" in job) == (10, False)
    (state,) = replicas.call("GET", "/nodes/pve1/replication").data
    assert (state["id"], state["vmtype"], state["fail_count"]) == ("101-0", "lxc", 0)
    assert replicas.call("GET", "/nodes/pve2/replication").data == []
    assert replicas.call("DELETE", f"{path}/101-0").data is None
    assert replicas.call("GET", f"{path}/101-0").message == "no such replication job '101-0'"
