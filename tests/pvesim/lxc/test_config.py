"""Changing settings: digests, what is applied at once and what waits, mount points, the words of refusals."""

from typing import Any

import pytest

from .conftest import Api

CONFIG = "/nodes/pve/lxc/101/config"


async def running(api: Api, **params: Any) -> None:
    assert await api.create(net0="name=eth0,bridge=vmbr0,ip=10.0.0.5/24", **params) == "OK"
    assert await api.run("POST", "/nodes/pve/lxc/101/status/start") == "OK"


async def rows(api: Api) -> dict[str, dict[str, Any]]:
    return {row.pop("key"): row for row in await api.get("/nodes/pve/lxc/101/pending")}


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({}, "500 no options specified"),
        ({"delete": "bogus"}, "400 Parameter verification failed. {'delete': \"unknown option 'bogus'\"}"),
        ({"revert": "bogus"}, "400 Parameter verification failed. {'revert': \"unknown option 'bogus'\"}"),
        ({"delete": "rootfs"}, "500 unable to delete required option 'rootfs'"),
        ({"delete": "memory"}, "500 unable to delete required option 'memory'"),
        ({"delete": "ostype"}, "500 unable to delete required option 'ostype'"),
        ({"delete": "unprivileged"}, "500 unable to delete read-only option: 'unprivileged'"),
        ({"unprivileged": 0}, "500 unable to modify read-only option: 'unprivileged'"),
        ({"mp0": "iso:1,mp=/x"}, "500 storage 'iso' does not allow content type 'rootdir' (Container)"),
        ({"mp0": "nostore:1,mp=/x"}, "500 storage 'nostore' does not exist"),
        (
            {"delete": "hostname", "hostname": "x"},
            "400 Parameter verification failed. "
            "{'delete': \"you can't use '-hostname' and -delete hostname' at the same time\"}",
        ),
        (
            {"digest": "0" * 40, "cores": 1},
            "500 detected modified configuration - file changed by other user? Try again.",
        ),
        ({"delete": "searchdomain"}, "200"),
    ],
)
async def test_answers(api: Api, params: dict[str, Any], answer: str) -> None:
    assert await api.create() == "OK"
    before = await api.get(CONFIG)
    assert await api.put(CONFIG, **params) == answer
    assert await api.get(CONFIG) == before


async def test_a_digest_protects_every_write(api: Api) -> None:
    assert await api.create() == "OK"
    digest = (await api.get(CONFIG))["digest"]
    assert await api.put(CONFIG, cores=2, digest=digest) == "200"
    changed = await api.get(CONFIG)
    assert changed["digest"] != digest
    assert (await api.put(CONFIG, cores=3, digest=digest)).startswith("500 detected modified configuration")
    assert await api.put(CONFIG, cores=2, digest=changed["digest"]) == "200"
    assert (await api.get(CONFIG))["digest"] == changed["digest"]


async def test_some_settings_of_a_running_container_wait_for_a_restart(api: Api) -> None:
    await running(api)
    assert await api.put(CONFIG, memory=1024, cores=3, onboot=1, cpulimit=1.5, nameserver="9.9.9.9") == "200"
    waiting = await rows(api)
    assert waiting["nameserver"] == {"pending": "9.9.9.9"}
    assert {name for name, row in waiting.items() if "pending" in row} == {"nameserver"}
    assert (waiting["memory"], waiting["cpulimit"]) == ({"value": 1024}, {"value": "1.5"})
    assert (await api.get(CONFIG))["nameserver"] == "9.9.9.9"
    assert "nameserver" not in await api.get(CONFIG, current=1)
    assert await api.run("POST", "/nodes/pve/lxc/101/status/reboot") == "OK"
    assert (await rows(api))["nameserver"] == {"value": "9.9.9.9"}


async def test_a_change_that_waits_can_be_taken_back(api: Api) -> None:
    await running(api)
    assert await api.put(CONFIG, tty=4, arch="i386") == "200"
    assert await api.put(CONFIG, delete="features") == "200"
    assert (await rows(api))["features"] == {"value": "nesting=1", "delete": 1}
    assert await api.put(CONFIG, revert="tty,features") == "200"
    left = await rows(api)
    assert {name for name, row in left.items() if row.keys() - {"value"}} == {"arch"}


async def test_a_network_without_hwaddr_gets_a_new_one_each_time(api: Api) -> None:
    await running(api)
    first = (await api.get(CONFIG))["net0"]
    assert await api.put(CONFIG, net0="name=eth0,bridge=vmbr0,ip=10.0.0.5/24") == "200"
    assert (await api.get(CONFIG))["net0"] != first
    assert await api.put(CONFIG, net0=first) == "200"
    assert (await api.get(CONFIG))["net0"] == first


async def test_what_cannot_be_plugged_in_changes_nothing(api: Api) -> None:
    await running(api)
    before = await api.get(CONFIG)
    answer = await api.put(CONFIG, net1="name=eth1,bridge=nobr", hostname="new")
    assert answer == (
        "400 Parameter verification failed. {'net1': \"unable to hotplug net1: bridge 'nobr' does not exist\\n\"}"
    )
    assert await api.get(CONFIG) == before


async def test_a_mount_point_comes_at_once_and_goes_with_a_restart(api: Api) -> None:
    await running(api)
    assert await api.put(CONFIG, mp0="btr:1,mp=/data") == "200"
    assert (await api.get(CONFIG, current=1))["mp0"] == "btr:101/vm-101-disk-1.raw,mp=/data,size=1G"
    assert await api.put(CONFIG, delete="mp0") == "200"
    assert (await rows(api))["mp0"]["delete"] == 1
    assert await api.run("POST", "/nodes/pve/lxc/101/status/reboot") == "OK"
    assert (await api.get(CONFIG))["unused0"] == "btr:101/vm-101-disk-1.raw"
    assert await api.put(CONFIG, delete="unused0") == "200"
    assert [row["volid"] for row in await api.get("/nodes/pve/storage/btr/content")] == ["btr:101/vm-101-disk-0.raw"]


async def test_a_mount_point_of_a_stopped_container_leaves_its_volume_unused(api: Api) -> None:
    assert await api.create(mp0="btr:1,mp=/data") == "OK"
    assert await api.put(CONFIG, mp0="btr:2,mp=/data") == "200"
    config = await api.get(CONFIG)
    assert (config["mp0"], config["unused0"]) == (
        "btr:101/vm-101-disk-2.raw,mp=/data,size=2G",
        "btr:101/vm-101-disk-1.raw",
    )
    assert await api.put(CONFIG, mp1="btr:101/vm-101-disk-1.raw,mp=/old") == "200"
    config = await api.get(CONFIG)
    assert config["mp1"] == "btr:101/vm-101-disk-1.raw,mp=/old,size=1G"
    assert "unused0" not in config


async def test_a_protected_container_keeps_its_volumes(api: Api) -> None:
    assert await api.create(mp0="btr:1,mp=/data", protection=1) == "OK"
    assert await api.put(CONFIG, delete="mp0") == "500 can't remove CT 101 drive 'mp0' - protection mode enabled"
    assert await api.put(CONFIG, mp0="btr:2,mp=/d") == "500 can't update CT 101 drive 'mp0' - protection mode enabled"
    assert await api.run("DELETE", "/nodes/pve/lxc/101") == "500 can't remove CT 101 - protection mode enabled"


async def test_a_locked_container_is_left_alone(api: Api) -> None:
    assert await api.create() == "OK"
    api.cluster.guests[101].config["lock"] = "backup"
    assert await api.put(CONFIG, cores=1) == "500 CT is locked (backup)"
    assert await api.run("DELETE", "/nodes/pve/lxc/101") == "500 CT is locked (backup)"
    assert await api.run("POST", "/nodes/pve/lxc/101/status/start") == "CT is locked (backup)"
    assert (await api.get("/nodes/pve/lxc/101/status/current"))["lock"] == "backup"


async def test_empty_texts(api: Api) -> None:
    assert await api.create(tags="a", description="x") == "OK"
    assert await api.put(CONFIG, tags="", description="") == "200"
    config = await api.get(CONFIG)
    assert config["tags"] == " "
    assert "description" not in config


@pytest.mark.parametrize(
    ("params", "privilege"),
    [
        ({"cores": 2}, "VM.Config.CPU"),
        ({"memory": 256}, "VM.Config.Memory"),
        ({"swap": 0}, "VM.Config.Memory"),
        ({"hostname": "x"}, "VM.Config.Network"),
        ({"net1": "name=eth1"}, "VM.Config.Network"),
        ({"onboot": 1}, "VM.Config.Options"),
        ({"description": "x"}, "VM.Config.Options"),
        ({"tags": "x"}, "VM.Config.Options"),
        ({"delete": "cores"}, "VM.Config.CPU"),
        ({"mp0": "btr:101/vm-101-disk-0.raw,mp=/x"}, "VM.Config.Disk"),
    ],
)
async def test_each_setting_needs_its_privilege(api: Api, params: dict[str, Any], privilege: str) -> None:
    assert await api.create() == "OK"
    others = {"VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.Config.Disk"} - {
        privilege
    }
    await api.call("POST", "/access/roles", roleid="Others", privs=",".join(sorted(others)))
    await api.call("POST", "/access/roles", roleid="This", privs=f"{privilege},VM.Config.CDROM")
    await api.put("/access/acl", path="/vms/101", roles="Others", users="alice@pve")
    alice = api.as_user("alice@pve!t")
    assert await alice.put(CONFIG, **params) == f"403 Permission check failed (/vms/101, {privilege})"
    await api.put("/access/acl", path="/vms/101", roles="Others", users="alice@pve", delete=1)
    await api.put("/access/acl", path="/vms/101", roles="This", users="alice@pve")
    assert await alice.put(CONFIG, **params) == "200"
