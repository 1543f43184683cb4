"""Hosts: what they tell, their networks and their tasks."""

from __future__ import annotations

import time

import pytest

from tests.pvesim.conftest import Start
from tests.pvesim.running import ONE_NODE, TEMPLATE, Sim

CREATE = {"ostemplate": TEMPLATE, "storage": "btr", "unprivileged": 1}


def test_every_list_that_needs_nothing_but_a_node_answers(cluster: Sim) -> None:
    paths = ["", "/version", "/time", "/dns", "/hosts", "/services", "/journal", "/syslog", "/disks/list", "/aplinfo"]
    paths += [
        "/network",
        "/tasks",
        "/storage",
        "/lxc",
        "/qemu",
        "/capabilities/qemu/cpu",
        "/capabilities/qemu/machines",
    ]
    for path in paths:
        assert cluster.call("GET", f"/nodes/pve2{path}").status == 200, path
    assert len(cluster.call("GET", "/nodes/pve2/rrddata", {"timeframe": "hour"}).data) == 70
    for path in (
        "",
        "/log",
        "/options",
        "/config",
        "/config/nodes",
        "/config/totem",
        "/config/join",
        "/jobs",
        "/metrics",
    ):
        assert cluster.call("GET", f"/cluster{path}").status == 200, path


def test_localhost_is_the_node_that_serves(cluster: Sim) -> None:
    cluster.call("PUT", "/nodes/localhost/dns", {"search": "two.example", "dns1": "1.1.1.1"}, node="pve2")
    assert cluster.call("GET", "/nodes/pve2/dns").data == {"search": "two.example", "dns1": "1.1.1.1"}
    assert cluster.call("GET", "/nodes/pve1/dns").data["dns1"] != "1.1.1.1"


def test_a_bridge_waits_until_it_is_applied(sim: Sim) -> None:
    path = "/nodes/pve/network"
    assert sim.call("POST", path, {"iface": "vmbr7", "type": "bridge", "cidr": "10.7.0.1/24"}).data is None
    listed = sim.call("GET", path)
    assert "vmbr7" in {row["iface"] for row in listed.data}
    assert "+iface vmbr7" in listed.body["changes"]
    assert sim.call("DELETE", path).data is None
    assert "vmbr7" not in {row["iface"] for row in sim.call("GET", path).data}
    sim.call("POST", path, {"iface": "vmbr8", "type": "bridge", "autostart": 1})
    assert sim.do("PUT", path) == "OK"
    assert sim.call("GET", f"{path}/vmbr8").data["autostart"] == 1
    assert sim.call("POST", path, {"iface": "vmbr8", "type": "bridge"}).errors == {"iface": "interface already exists"}
    assert sim.call("GET", f"{path}/vmbr9").errors == {"iface": "interface does not exist"}


def test_a_downloaded_template_is_there(sim: Sim) -> None:
    name = "debian-13-standard_13.1-2_amd64.tar.zst"
    assert sim.do("POST", "/nodes/pve/aplinfo", {"storage": "local", "template": name}) == "OK"
    found = sim.call("GET", "/nodes/pve/storage/local/content", {"content": "vztmpl"}).data
    assert f"local:vztmpl/{name}" in {row["volid"] for row in found}


def test_the_task_list_is_filtered_counted_and_cut(sim: Sim) -> None:
    for vmid in (101, 102, 103):
        assert sim.do("POST", "/nodes/pve/lxc", {"vmid": vmid, **CREATE}).startswith(("OK", "WARN"))
    sim.do("POST", "/nodes/pve/lxc/101/status/start")
    assert "does not exist" in sim.do(
        "POST", "/nodes/pve/lxc", {"vmid": 104, **CREATE, "ostemplate": "local:vztmpl/no_1.tar.zst"}
    )
    everything = sim.call("GET", "/nodes/pve/tasks")
    assert everything.body["total"] == len(everything.data) == 5
    assert {row["tokenid"] for row in everything.data} == {"full"}
    assert sim.call("GET", "/nodes/pve/tasks", {"limit": 1, "start": 1}).data == everything.data[1:2]
    assert {row["id"] for row in sim.call("GET", "/nodes/pve/tasks", {"vmid": 101}).data} == {"101"}
    assert {row["type"] for row in sim.call("GET", "/nodes/pve/tasks", {"typefilter": "vzstart"}).data} == {"vzstart"}
    assert [row["id"] for row in sim.call("GET", "/nodes/pve/tasks", {"errors": 1}).data] == ["104"]
    assert [row["id"] for row in sim.call("GET", "/nodes/pve/tasks", {"statusfilter": "error"}).data] == ["104"]
    assert sim.call("GET", "/nodes/pve/tasks", {"userfilter": "nobody"}).data == []
    assert sim.call("GET", "/nodes/pve/tasks", {"source": "active"}).data == []
    assert sim.call("GET", "/nodes/pve/tasks", token="alice@pve!nosep").data == []
    assert len(sim.call("GET", "/cluster/tasks").data) == 5


def test_a_task_is_its_owner_s_and_its_node_s(cluster: Sim) -> None:
    upid = cluster.call("POST", "/nodes/pve2/lxc", {"vmid": 101, **CREATE}).data
    path = f"/nodes/pve2/tasks/{upid}"
    status = cluster.call("GET", f"{path}/status").data
    assert (status["node"], status["user"], status["tokenid"], status["type"], status["id"]) == (
        "pve2", "root@pam", "full", "vzcreate", "101",
    )  # fmt: skip
    refused = cluster.call("GET", f"{path}/status", token="alice@pve!nosep")
    assert refused.message == "Permission check failed (/nodes/pve2, Sys.Audit)"
    assert cluster.call("GET", f"/nodes/pve1/tasks/{upid}/status").errors == {"upid": "no such task"}
    assert cluster.call("GET", "/nodes/pve1/tasks/UPID:nonsense/status").errors == {
        "upid": "unable to parse worker upid"
    }
    log = cluster.call("GET", f"{path}/log", {"start": 1, "limit": 1})
    assert [row["n"] for row in log.data] == [2]
    assert log.body["total"] > 2


def test_a_running_task_is_seen_and_can_be_stopped(start: Start) -> None:
    sim = start(ONE_NODE, "--speed", "real")
    upid = sim.call(
        "POST", "/nodes/pve/aplinfo", {"storage": "local", "template": "debian-13-standard_13.1-2_amd64.tar.zst"}
    ).data
    path = f"/nodes/pve/tasks/{upid}"
    assert sim.call("GET", f"{path}/status").data["status"] == "running"
    active = sim.call("GET", "/nodes/pve/tasks", {"source": "active"}).data
    assert [(row["upid"], row["status"], row["user"]) for row in active] == [(upid, "RUNNING", "root@pam!full")]
    assert sim.call("GET", "/nodes/pve/tasks").data == []
    assert "endtime" not in sim.call("GET", "/cluster/tasks").data[0]
    assert sim.call("DELETE", path).data is None
    assert sim.task(upid) == "interrupted by signal"


@pytest.mark.parametrize("wanted", ["150", "99", "101"])
def test_the_next_id(start: Start, wanted: str) -> None:
    sim = start(ONE_NODE | {"guests": [{"vmid": vmid} for vmid in (100, 101)]})
    assert sim.call("GET", "/cluster/nextid").data == "102"
    reply = sim.call("GET", "/cluster/nextid", {"vmid": wanted})
    assert (reply.status, reply.errors) == {
        "150": (200, {}),
        "99": (400, {"vmid": "invalid format - value does not look like a valid VM ID\n"}),
        "101": (400, {"vmid": "VM 101 already exists"}),
    }[wanted]


def test_real_speed_delays_a_refusal_and_knows_new_guests_late(start: Start) -> None:
    sim = start(ONE_NODE | {"guests": [{"vmid": 101, "config": {"hostname": "old"}}]}, "--speed", "real")
    sim.call("POST", "/nodes/pve/qemu", {"vmid": 102, "name": "new"})
    rows = {row["vmid"]: row for row in sim.call("GET", "/cluster/resources", {"type": "vm"}).data}
    assert (rows[101]["name"], rows[101]["status"]) == ("old", "stopped")
    assert (rows[102]["status"], "name" in rows[102]) == ("unknown", False)
    begun = time.monotonic()
    assert sim.call("GET", "/version", token=None).status == 401
    assert time.monotonic() - begun > 2.9


def test_options_of_the_datacenter(sim: Sim) -> None:
    sim.call(
        "PUT", "/cluster/options", {"next-id": "lower=500,upper=600", "description": "home", "registered-tags": "a;b"}
    )
    found = sim.call("GET", "/cluster/options").data
    assert (found["next-id"], found["registered-tags"]) == ({"lower": "500", "upper": "600"}, ["a", "b"])
    assert sim.call("GET", "/cluster/nextid").data == "500"
    sim.call("PUT", "/cluster/options", {"delete": "next-id"})
    assert sim.call("GET", "/cluster/nextid").data == "100"
    assert set(sim.call("GET", "/cluster/options", token="alice@pve!nosep").data) == {"allowed-tags", "registered-tags"}


def test_services_stop_and_start_by_tasks(sim: Sim) -> None:
    path = "/nodes/pve/services/spiceproxy"
    assert sim.call("GET", f"{path}/state").data["state"] == "running"
    assert sim.do("POST", f"{path}/stop") == "OK"
    assert sim.call("GET", f"{path}/state").data["active-state"] == "inactive"
    assert {row["service"] for row in sim.call("GET", "/nodes/pve/services").data if row["state"] == "dead"} == {
        "spiceproxy"
    }
    assert sim.do("POST", f"{path}/restart") == "OK"
    assert sim.call("GET", f"{path}/state").data["state"] == "running"
    assert sim.do("POST", "/nodes/pve/services/pveproxy/stop") == "invalid service cmd 'pveproxy stop'"


def test_a_node_has_settings_of_its_own(sim: Sim) -> None:
    path = "/nodes/pve/config"
    assert sim.call("PUT", path, {"description": "rack 2", "startall-onboot-delay": 10}).data is None
    assert sim.call("GET", path, {"property": "description"}).data["description"] == "rack 2"
    assert sim.call("PUT", path, {"delete": "description", "digest": "0" * 40}).status == 500
    assert sim.call("PUT", path, {"delete": "description"}).data is None
    assert sim.call("GET", path).data.keys() == {"startall-onboot-delay", "digest"}


def test_what_monitors_ask_of_a_node(sim: Sim) -> None:
    for path in ("apt/update", "disks/list", "disks/zfs", "hardware/pci", "replication", "netstat"):
        assert sim.call("GET", f"/nodes/pve/{path}").data == []
    assert sim.call("GET", "/nodes/pve/disks/lvm").data == {"leaf": 0, "children": []}
    assert {row["Package"] for row in sim.call("GET", "/nodes/pve/apt/versions").data} >= {"pve-manager"}
    (certificate,) = sim.call("GET", "/nodes/pve/certificates/info").data
    assert certificate["fingerprint"] == sim.call("GET", "/nodes").data[0]["ssl_fingerprint"]
    assert sim.do("POST", "/nodes/pve/apt/update") == "OK"
    assert sim.call("GET", "/cluster/ceph/status").message == "binary not installed: /usr/bin/ceph-mon"
    assert [row["name"] for row in sim.call("GET", "/nodes/pve/certificates").data] == ["acme", "custom", "info"]
