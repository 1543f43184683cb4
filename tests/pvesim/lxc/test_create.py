"""Making containers: what is refused and how, what a new one looks like, what is left after a failure."""

from typing import Any

import pytest

from .conftest import TEMPLATE, Api

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvZ1dYGj0uYw1v1t2v3w4x5y6z7A8B9C0D1E2F3G4H5 me@x"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"ostemplate": "nostore:vztmpl/x.tar.zst"}, "500 storage 'nostore' does not exist"),
    ({"ostemplate": "iso:iso/x.iso"}, "500 unable to use volume iso:iso/x.iso - content type needs to be 'vztmpl'"),
    ({"pool": "nopool"}, "403 Permission check failed (pool 'nopool' does not exist)"),
    ({"ssh-public-keys": "garbage"}, "500 SSH public key validation error"),
    ({"ssh-public-keys": "ssh-ed25519 AAAAB3NzaC1yc2E= me"}, "500 SSH public key validation error"),
    ({"rootfs": None, "storage": "nostore"}, "500 storage 'nostore' does not exist"),
    ({"rootfs": None, "mp0": "btr:1,mp=/data"}, "500 mount points configured, but 'rootfs' not set - aborting"),
    (
        {"rootfs": "iso:1"},
        "400 Parameter verification failed. {'storage': \"storage 'iso' does not support container directories\"}",
    ),
    ({"rootfs": "/dev/sda"}, "403 Permission check failed (mount point type device is only allowed for root@pam)"),
    ({"mp0": "/srv,mp=/srv"}, "403 Permission check failed (mount point type bind is only allowed for root@pam)"),
    ({"dev0": "/dev/f"}, "403 Permission check failed (configuring device passthrough is only allowed for root@pam)"),
    (
        {"features": "nesting=1,keyctl=1"},
        "403 Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)",
    ),
    (
        {"unprivileged": 0},
        "403 Permission check failed (changing feature flags for privileged container is only allowed for root@pam)",
    ),
    ({"net0": "name=eth0,bridge=nobr,mtu=1400"}, "500 bridge 'nobr' does not exist"),
    ({"net0": "name=eth0,bridge=vmbr0,mtu=9000"}, "500 net0: MTU size '9000' is bigger than bridge MTU '1500'"),
    (
        {"nameserver": "1.1.1"},
        "400 Parameter verification failed. "
        "{'nameserver': 'invalid format - value does not look like a valid IP address\\n'}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("params", "answer"), REFUSED)
async def test_what_is_wrong_is_refused_before_the_id_is_taken(api: Api, params: dict[str, Any], answer: str) -> None:
    assert await api.create(**params) == answer
    assert await api.get("/nodes/pve/lxc") == []


async def test_a_new_container_has_the_defaults_and_what_was_found_inside(api: Api) -> None:
    assert await api.run("POST", "/nodes/pve/lxc", vmid=101, ostemplate=TEMPLATE) == "WARNINGS: 1"
    config = await api.get("/nodes/pve/lxc/101/config")
    assert config.pop("digest")
    assert config == {
        "arch": "amd64",
        "hostname": "CT101",
        "memory": 512,
        "ostype": "debian",
        "rootfs": "local:101/vm-101-disk-0.raw,size=4G",
        "swap": 512,
        "unprivileged": 1,
    }


async def test_a_given_mac_keeps_its_case_and_a_missing_one_is_made_up(api: Api) -> None:
    nets = {"net0": "bridge=vmbr0,name=eth0,firewall=1", "net1": "name=eth1,bridge=vmbr0,hwaddr=bc:24:11:aa:bb:cc"}
    assert await api.create(**nets) == "OK"
    config = await api.get("/nodes/pve/lxc/101/config")
    assert config["net0"].startswith("name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:")
    assert config["net0"].endswith(",type=veth")
    assert config["net1"] == "name=eth1,bridge=vmbr0,hwaddr=bc:24:11:aa:bb:cc,type=veth"


async def test_volumes_are_named_by_the_rules_of_their_storage(api: Api) -> None:
    assert await api.create(mp0="zfs:2,mp=/a,backup=1", mp1="local:0.5,mp=/b") == "OK"
    config = await api.get("/nodes/pve/lxc/101/config")
    assert config["rootfs"] == "btr:101/vm-101-disk-0.raw,size=1G"
    assert config["mp0"] == "zfs:subvol-101-disk-0,mp=/a,backup=1,size=2G"
    assert config["mp1"] == "local:101/vm-101-disk-0.raw,mp=/b,size=512M"


async def test_texts_are_stored_as_proxmox_stores_them(api: Api) -> None:
    assert await api.create(tags="Prod,web web;db", description="a\nb\n\n", nameserver="1.1.1.1,8.8.8.8") == "OK"
    config = await api.get("/nodes/pve/lxc/101/config")
    assert (config["tags"], config["description"], config["nameserver"]) == ("db;prod;web", "a\nb\n", "1.1.1.1 8.8.8.8")


async def test_a_missing_template_fails_in_the_task_and_leaves_nothing(api: Api) -> None:
    ended = await api.create(ostemplate="local:vztmpl/nosuch.tar.zst")
    assert ended == "unable to create CT 101 - volume 'local:vztmpl/nosuch.tar.zst' does not exist"
    assert await api.get("/nodes/pve/lxc") == []
    assert await api.get("/nodes/pve/storage/btr/content") == []


async def test_an_ostype_that_is_not_inside_fails(api: Api) -> None:
    assert await api.create(ostype="alpine") == "unable to create CT 101 - got unexpected ostype (debian != alpine)"


async def test_an_id_is_taken_once_in_the_whole_cluster(api: Api) -> None:
    assert await api.create() == "OK"
    assert await api.create() == "500 CT 101 already exists on node 'pve'"
    assert await api.create(force=1) == "500 CT 101 already exists on node 'pve'"


async def test_start_is_a_task_of_its_own(api: Api) -> None:
    assert await api.create(start=1, ssh_public_keys=KEY) == "OK"
    tasks = list(api.cluster.tasks.by_upid.values())
    for task in tasks:
        await api.cluster.tasks.settle(task.upid)
    assert [task.type for task in api.cluster.tasks.by_upid.values()] == ["vzcreate", "vzstart"]
    assert (await api.get("/nodes/pve/lxc/101/status/current"))["status"] == "running"


async def test_a_missing_bridge_lets_the_create_succeed_and_the_start_fail(api: Api) -> None:
    assert await api.create(net0="name=eth0,bridge=nobr") == "OK"
    assert await api.run("POST", "/nodes/pve/lxc/101/status/start") == "startup for container '101' failed"


async def test_eight_makes_privileged_containers_unless_told_otherwise(api84: Api) -> None:
    assert await api84.create(features=None) == "OK"
    assert "unprivileged" not in await api84.get("/nodes/pve/lxc/101/config")
    assert await api84.create(102, unprivileged=1) == "OK"
    assert (await api84.get("/nodes/pve/lxc/102/config"))["unprivileged"] == 1


async def test_eight_does_not_know_what_came_with_nine(api84: Api) -> None:
    status, _, errors = await api84.call(
        "POST", "/nodes/pve/lxc", vmid=101, ostemplate=TEMPLATE, entrypoint="/sbin/init"
    )
    assert status == 400
    assert list(errors) == ["entrypoint"]


@pytest.mark.parametrize(
    ("acl", "answer"),
    [
        ([], "403 Permission check failed"),
        ([("/vms", "PVEVMAdmin")], "403 Permission check failed (/storage/btr, Datastore.AllocateSpace)"),
        (
            [("/vms", "PVEVMAdmin"), ("/storage/btr", "PVEDatastoreUser")],
            "403 Permission check failed (/storage/local, Datastore.AllocateSpace|Datastore.Audit)",
        ),
        ([("/vms", "PVEVMAdmin"), ("/storage", "PVEDatastoreUser")], "OK"),
        ([("/pool/apps", "PVEVMAdmin"), ("/storage", "PVEDatastoreUser")], "OK"),
        ([("/vms", "PVEVMUser"), ("/storage", "PVEDatastoreUser")], "403 Permission check failed"),
    ],
)
async def test_a_user_needs_the_guest_its_storages_and_the_template(
    api: Api, acl: list[tuple[str, str]], answer: str
) -> None:
    await api.call("POST", "/pools", poolid="apps")
    for path, role in acl:
        assert await api.put("/access/acl", path=path, roles=role, users="alice@pve") == "200"
    params = {"pool": "apps"} if any(path.startswith("/pool") for path, _ in acl) else {}
    assert await api.as_user("alice@pve!t").create(**params) == answer


async def test_a_user_needs_the_bridge(api: Api) -> None:
    for path, role in (("/vms", "PVEVMAdmin"), ("/storage", "PVEDatastoreUser")):
        await api.put("/access/acl", path=path, roles=role, users="alice@pve")
    alice = api.as_user("alice@pve!t")
    tagged = "name=eth0,bridge=vmbr0,tag=20"
    assert await alice.create(net0=tagged) == "403 Permission check failed (/sdn/zones/localnetwork/vmbr0/20, SDN.Use)"
    await api.put("/access/acl", path="/sdn/zones/localnetwork/vmbr0/20", roles="PVESDNUser", users="alice@pve")
    assert await alice.create(net0=tagged) == "OK"


async def test_privileged_containers_need_sys_modify(api: Api) -> None:
    for path, role in (("/vms", "PVEVMAdmin"), ("/storage", "PVEDatastoreUser")):
        await api.put("/access/acl", path=path, roles=role, users="alice@pve")
    answer = await api.as_user("alice@pve!t").create(unprivileged=0, features=None)
    assert answer == "403 Permission check failed (/, Sys.Modify)"
    assert await api.create(unprivileged=0, features=None) == "OK"
