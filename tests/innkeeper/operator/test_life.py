"""A Machine's whole life: Kubernetes' real API on one side, Proxmox on the other, the operator as its own process."""

import json

import pytest

from tests.innkeeper.operator.world import World, cluster, machine, secret, until

pytestmark = pytest.mark.timeout(180)
HELD = {"innkeeper.dev/adopt": "true"}


@pytest.fixture
def lab(world: World) -> World:
    world.plane.apply(secret(), cluster(world.sim))
    return world


def test_created_changed_healed_stopped_restarted_deleted(lab: World) -> None:
    plane = lab.plane
    operator = lab.operator()
    disks = [{"size": "4G", "storage": "tank"}, {"size": "2G", "storage": "tank", "type": "virtio", "cache": "none"}]
    networks = [
        {"bridge": "vmbr0", "vlan": 7, "macAddress": "BC:24:11:00:AA:01"},
        {"bridge": "vmbr1", "model": "e1000"},
    ]
    plane.apply(machine("web", template="debian-12", disks=disks, networks=networks))
    lab.wait("web")
    config = lab.config(10_000)
    assert config["name"] == "web" and config["memory"] == "512"
    assert "size=4G" in config["scsi0"]
    assert "cache=none" in config["virtio0"]
    assert config["net0"].startswith("virtio=BC:24:11:00:AA:01,bridge=vmbr0") and "tag=7" in config["net0"]
    assert config["net1"].startswith("e1000=")
    status = plane.get("machine", "web")["status"]
    assert status["phase"] == "Running" and status["providerID"] == f"proxmox://{status['node']}/10000"
    assert {item["type"] for item in status["conditions"]} == {
        "Ready",
        "VMCreated",
        "ResourcesAllocated",
        "NetworkConfigured",
    }
    assert all(item["reason"] for item in status["conditions"])
    events = plane.kubectl(
        "get", "events", "-o", "jsonpath={range .items[*]}{.involvedObject.name} {.reason}{'\\n'}{end}"
    )
    assert "web Running" in events

    # A change that needs a restart is accepted, and not called done before.
    plane.kubectl("patch", "machine/web", "--type=merge", "-p", '{"spec": {"cpu": {"cores": 2}, "memory": 1073741824}}')
    lab.reason("web", "PendingReboot")
    plane.kubectl("annotate", "machine/web", "innkeeper.dev/restart=whenNeeded")
    lab.wait("web")
    assert lab.config(10_000)["cores"] == 2

    # What somebody changes on Proxmox goes back.
    node = lab.vms()[10_000]["node"]
    lab.sim.do("POST", f"/nodes/{node}/qemu/10000/config", {"name": "somebody-elses"})
    until(lambda: lab.config(10_000)["name"] == "web", "the name goes back")

    # Power.
    plane.kubectl("annotate", "machine/web", "innkeeper.dev/power=stop")
    lab.reason("web", "Stopped")
    assert lab.vms()[10_000]["status"] == "stopped"
    plane.kubectl("annotate", "--overwrite", "machine/web", "innkeeper.dev/power=start")
    lab.wait("web")
    boots = [call for call in lab.sim.calls() if call["path"].endswith("/status/reboot")]
    plane.kubectl("annotate", "--overwrite", "machine/web", "innkeeper.dev/power=restart")
    power = "innkeeper.dev/power"
    until(lambda: plane.get("machine", "web")["metadata"]["annotations"][power] == "start", "restarted")
    assert len([call for call in lab.sim.calls() if call["path"].endswith("/status/reboot")]) == len(boots) + 1

    # Ports.
    assert operator.get("/healthz") == (200, "ok\n") and operator.get("/readyz") == (200, "ok\n")
    metrics = operator.get("/metrics")[1]
    assert f'proxmox_operator_machines_total{{node="{node}",phase="Running"}} 1.0' in metrics
    assert 'proxmox_cluster_connection_status{cluster="default/lab"} 1.0' in metrics
    assert (
        'proxmox_operator_api_requests_total{endpoint="/nodes/*/qemu/*/clone",method="POST",status="200"} 1.0'
        in metrics
    )
    assert 'proxmox_operator_reconciliation_duration_seconds_count{controller="machine"}' in metrics

    # Away, and only what is ours.
    plane.kubectl("delete", "machine/web", "--timeout=30s")
    assert not lab.vms()
    assert "Successfully created VM" in operator.text() and "Successfully deleted VM" in operator.text()
    assert operator.stop() == 0


def test_from_a_template(lab: World) -> None:
    lab.operator()
    lab.plane.apply(machine("copy", template="debian-12", disks=[{"size": "6G", "storage": "tank"}]))
    lab.wait("copy")
    assert "size=6G" in lab.config(10_000)["scsi0"]
    lab.plane.apply(machine("wrong", template="debian-13"))
    found = lab.reason("wrong", "UnknownTemplate")
    assert "debian-12" in found["message"]
    assert lab.condition("wrong", type_="VMCreated")["reason"] == "CreationFailed"


def test_nodes_are_chosen_by_room_and_by_what_is_allowed(lab: World) -> None:
    plane = lab.plane
    for node, most in (("pve1", 1), ("pve2", 2)):
        meta = {"name": node, "namespace": "default"}
        spec = {"cluster": "lab", "nodeName": node, "maxVMs": most}
        plane.apply({"apiVersion": "vitistack.io/v1alpha1", "kind": "ProxmoxNode", "metadata": meta, "spec": spec})
    operator = lab.operator()
    plane.apply(*(machine(f"m{number}") for number in range(4)))
    until(lambda: len(lab.vms()) == 3, "three machines")
    waiting = until(
        lambda: [item["metadata"]["name"] for item in plane.list("machines") if not item["status"].get("vmid")],
        "one left",
    )
    found = lab.reason(waiting[0], "InsufficientResources")
    assert "insufficient resources on node" in found["message"] and "maxVMs" in found["message"]
    places = sorted(row["node"] for row in lab.vms().values())
    assert places == ["pve1", "pve2", "pve2"]
    status = until(lambda: plane.get("proxmoxnode", "pve2").get("status"), "the node's status")
    assert status["ready"] is True and status["resources"]["memory"]["total"] == 1 << 40

    plane.apply(machine("huge", memory=2 << 40), machine("fast", disks=[{"size": "1G", "storage": "fast"}]))
    assert "of memory left" in lab.reason("huge", "InsufficientResources")["message"]
    assert "tank" in lab.reason("fast", "StorageNotAllowed")["message"]
    plane.apply(machine("bridge", networks=[{"bridge": "vmbr9"}]))
    lab.reason("bridge", "UnknownBridge")
    assert lab.condition("bridge", type_="NetworkConfigured")["reason"] == "NetworkError"
    for line in ("Insufficient resources machine=default/machines/huge", "Bridge not found machine="):
        until(lambda: line in operator.text(), line)  # noqa: B023
    assert (
        'proxmox_operator_errors_total{controller="machine",error_type="UnknownBridge"} 1.0'
        in operator.get("/metrics")[1]
    )


def test_only_what_its_cluster_allows_is_used(world: World) -> None:
    world.plane.apply(secret(), cluster(world.sim, nodes=["pve2"], networks=["vmbr0"]))
    world.operator()
    world.plane.apply(*(machine(f"m{number}") for number in range(3)))
    until(lambda: len(world.vms()) == 3, "three machines")
    assert {row["node"] for row in world.vms().values()} == {"pve2"}
    world.plane.apply(machine("elsewhere", node="pve1"), machine("outside", networks=[{"bridge": "vmbr1"}]))
    assert "pve2" in world.reason("elsewhere", "NodeNotAllowed")["message"]
    assert "vmbr0" in world.reason("outside", "BridgeNotAllowed")["message"]
    assert world.condition("outside", type_="NetworkConfigured")["reason"] == "NetworkError"
    assert len(world.vms()) == 3


def test_adopted_by_annotation_and_only_then(lab: World) -> None:
    form = {"vmid": 500, "name": "old", "memory": 512, "cores": 1, "scsi0": "tank:4", "net0": "virtio,bridge=vmbr0"}
    assert lab.sim.do("POST", "/nodes/pve1/qemu", form) == "OK"
    lab.operator()
    lab.plane.apply(machine("old", vmid=500))
    assert "not managed by Innkeeper" in lab.reason("old", "OwnershipConflict")["message"]
    assert "innkeeper" not in lab.config(500).get("tags", "")
    lab.plane.kubectl("annotate", "machine/old", "innkeeper.dev/adopt=true")
    lab.wait("old")
    assert lab.config(500)["tags"] == "innkeeper" and len(lab.vms()) == 1


def test_two_objects_and_git_never_fight(lab: World) -> None:
    lab.operator()
    lab.plane.apply(machine("first", vmid=2000))
    lab.wait("first")
    lab.plane.apply(machine("second", vmid=2000, annotations=HELD))
    assert "Machine default/first" in lab.reason("second", "OwnershipConflict")["message"]
    # As git would own it: a marker of another source.
    marker = json.dumps({"source": "git.example.org/infra", "kind": "VirtualMachine", "name": "third"})
    form = {"vmid": 3000, "name": "third", "tags": "innkeeper", "description": f"<!-- innkeeper {marker} -->"}
    assert lab.sim.do("POST", "/nodes/pve1/qemu", form) == "OK"
    lab.plane.apply(machine("third", vmid=3000, annotations=HELD))
    assert "git.example.org/infra" in lab.reason("third", "OwnershipConflict")["message"]
    lab.plane.kubectl("delete", "machine/second", "machine/third", "--timeout=30s")
    assert {2000, 3000} <= set(lab.vms())


def test_what_may_stay_and_what_must(lab: World) -> None:
    lab.operator()
    lab.plane.apply(machine("kept"), machine("guarded", protection=True))
    lab.wait("kept")
    lab.wait("guarded")
    vmid = lab.plane.get("machine", "kept")["status"]["vmid"]
    lab.plane.kubectl("annotate", "machine/kept", "innkeeper.dev/deletion=orphan")
    lab.plane.kubectl("delete", "machine/kept", "--timeout=30s")
    assert lab.config(vmid).get("tags", " ").strip() == "" and "innkeeper" not in lab.config(vmid).get(
        "description", ""
    )
    lab.plane.kubectl("delete", "machine/guarded", "--wait=false")
    lab.reason("guarded", "Protected")
    assert len(lab.vms()) == 2
    lab.plane.kubectl("patch", "machine/guarded", "--type=merge", "-p", '{"spec": {"protection": false}}')
    lab.plane.kubectl("wait", "--for=delete", "machine/guarded", "--timeout=30s")
    assert list(lab.vms()) == [vmid]
