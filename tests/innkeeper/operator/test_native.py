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
    plane.kubectl("delete", "container/web", "virtualmachine/db", "--timeout=40s")
    rows = world.sim.call("GET", "/cluster/resources", {"type": "vm"}).data
    assert [row["vmid"] for row in rows] == [900]


def bare(name: str, **spec: Any) -> dict[str, Any]:
    root = {"storage": "tank", "size": "4Gi"}
    return native("Container", name, **({"cluster": "lab", "template": "debian-12", "rootDisk": root} | spec))


def test_what_it_needs_comes_first(world: World) -> None:
    plane = world.plane
    plane.apply(secret(), cluster(world.sim))
    chain = [bare("c", needs=["Container/b"]), bare("b", needs=["Container/a"]), bare("a", needs=["VirtualMachine/z"])]
    plane.apply(*chain)
    world.operator()
    assert (
        "VirtualMachine default/z, which does not exist" in world.reason("a", "WaitingForNeeds", "container")["message"]
    )
    world.reason("c", "WaitingForNeeds", "container")
    disks = [{"slot": "scsi0", "storage": "tank", "size": "1Gi"}]
    plane.apply(native("VirtualMachine", "z", cluster="lab", memory="1Gi", disks=disks))
    for name in ("a", "b", "c"):
        world.reason(name, "Stopped", "container")
    kinds = {"z": "virtualmachine"}
    order = [plane.get(kinds.get(name, "container"), name)["status"]["vmid"] for name in ("z", "a", "b", "c")]
    assert world.made() == order

    # One that cannot be had holds up what needs it, and nothing else.
    plane.apply(bare("broken", template="debian-13"), bare("after", needs=["Container/broken"]), bare("free"))
    world.reason("broken", "UnknownTemplate", "container")
    found = world.reason("after", "WaitingForNeeds", "container")
    assert "default/broken" in found["message"]
    world.reason("free", "Stopped", "container")
    plane.kubectl("patch", "container/broken", "--type=merge", "-p", '{"spec": {"template": "debian-12"}}')
    world.reason("after", "Stopped", "container")

    plane.apply(bare("one", needs=["Container/two"]), bare("two", needs=["Container/one"]))
    assert "default/one needs Container default/two" in world.reason("one", "NeedsCycle", "container")["message"]
    assert "tomorrow" in plane.refused(bare("x", needs=["tomorrow"]))


def _rows(world: World) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = world.sim.call("GET", "/cluster/resources", {"type": "vm"}).data
    return rows


def test_what_means_a_machine_has_no_place_in_an_object(world: World) -> None:
    """Who writes an object learns nothing of the operator's machine, and runs nothing on it."""
    plane = world.plane
    plane.apply(secret(), cluster(world.sim))
    wrong = {
        "roles": ({"roles": [{"role": "roles/mine"}]}, "UnknownRole", "come with Innkeeper"),
        "local": (
            {"roles": [{"role": "web", "vars": {"ansible_connection": "local"}}]},
            "NotAllowed",
            "ansible_connection",
        ),
        "bundle": (
            {"roles": [{"role": "app_setup", "vars": {"app_setup_bundle": "/etc/passwd"}}]},
            "NotAllowed",
            "bundle",
        ),
        "keys": ({"roles": [{"role": "innkeeper"}]}, "NotAllowed", "the keys of who runs it"),
        "files": ({"roles": [{"role": "web", "vars": {"web_index": {"fileRef": "a"}}}]}, "BadFileRef", "is not there"),
        "recipe": (
            {"roles": [{"role": "recipe", "vars": {"recipe_cookbook": "/root"}}]},
            "NotAllowed",
            "recipe_cookbook",
        ),
    }
    for name, (configure, _, _) in wrong.items():
        plane.apply(bare(name, configure=configure))
    nic = [{"name": "eth0", "bridge": "vmbr0", "ip": "169.254.169.254/16"}]
    plane.apply(bare("metadata", network=nic, health=[{"http": {"port": 80}}]))
    ref = {"secretRef": {"name": "none", "key": "word"}}
    plane.apply(bare("secretless", configure={"roles": [{"role": "web", "vars": {"web_index": ref}}]}))
    ref = {"secretRef": {"name": "innkeeper-operator-keys", "key": "fingerprint.key"}}
    plane.apply(bare("thief", configure={"roles": [{"role": "web", "vars": {"web_index": ref}}]}))
    world.operator()
    for name, (_, reason, words) in wrong.items():
        assert words in world.reason(name, reason, "container")["message"]
    assert "169.254.169.254" in world.reason("metadata", "NotAllowed", "container")["message"]
    assert "Secret default/none does not exist" in world.reason("secretless", "MissingSecret", "container")["message"]
    assert "operator's own" in world.reason("thief", "MissingSecret", "container")["message"]
    assert [row["vmid"] for row in _rows(world)] == [900], "nothing is made that could not be finished"
