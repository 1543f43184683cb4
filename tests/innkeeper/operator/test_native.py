"""Native manifests by `kubectl apply`: the same file that a git repository holds."""

from typing import Any

import pytest

from tests.innkeeper.operator.world import World, cluster, secret, until

pytestmark = pytest.mark.timeout(120)


def native(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "innkeeper.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def test_containers_and_machines_from_native_manifests(world: World) -> None:
    plane = world.plane
    small = native(
        "Profile", "small", defaults={"memory": "256Mi", "tags": ["small"]}, allowed={"cpu.cores": {"max": 2}}
    )
    root, nic = {"storage": "tank", "size": "4Gi"}, [{"bridge": "vmbr0", "ip": "10.0.0.7/24"}]
    web = native("Container", "web", cluster="lab", profile="small", template="debian-12", rootDisk=root, network=nic)
    disks = [{"slot": "scsi0", "storage": "tank", "size": "4Gi"}]
    db = native("VirtualMachine", "db", cluster="lab", memory="1Gi", disks=disks, running=True, startOnBoot=True)
    plane.apply(secret(), cluster(world.sim), small, web | {"spec": web["spec"] | {"running": True}}, db)
    world.operator()
    plane.kubectl("wait", "container/web", "virtualmachine/db", "--for=condition=Ready", "--timeout=40s")
    status = plane.get("container", "web")["status"]
    assert (status["sync"], status["health"]) == ("Synced", "Healthy")
    config = world.sim.call("GET", f"/nodes/{status['node']}/lxc/{status['vmid']}/config").data
    assert config["memory"] == 256 and config["tags"] == "innkeeper;small" and "10.0.0.7/24" in config["net0"]
    assert world.config(plane.get("virtualmachine", "db")["status"]["vmid"])["onboot"] == 1

    # The profile changes, and the guest with it; what it does not allow is refused.
    plane.kubectl("patch", "profile/small", "--type=merge", "-p", '{"spec": {"defaults": {"memory": "512Mi"}}}')

    def memory() -> int:
        found = world.sim.call("GET", f"/nodes/{status['node']}/lxc/{status['vmid']}/config").data
        return int(found["memory"])

    until(lambda: memory() == 512, "the profile's memory")
    plane.kubectl("patch", "container/web", "--type=merge", "-p", '{"spec": {"cpu": {"cores": 3}}}')
    found = until(lambda: (said := world.condition("web", "container")).get("status") == "False" and said, "refused")
    assert found["reason"] == "ProfileRange" and "cpu.cores" in found["message"]
    plane.apply(native("Container", "inside", cluster="lab", configure={"roles": [{"role": "web"}]}))
    assert "does not work inside" in world.reason("inside", "NotSupported", "container")["message"]
    plane.kubectl("delete", "container/web", "container/inside", "virtualmachine/db", "--timeout=40s")
    rows = world.sim.call("GET", "/cluster/resources", {"type": "vm"}).data
    assert [row["vmid"] for row in rows] == [900]
