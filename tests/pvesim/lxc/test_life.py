"""Power, growing, deleting, and what a container shows of itself."""

import pytest

from pvesim.cluster.state import Volume

from .conftest import Api

GUEST = "/nodes/pve/lxc/101"


async def test_power(api: Api) -> None:
    assert await api.create() == "OK"
    assert await api.run("POST", f"{GUEST}/status/stop") == "500 CT 101 not running"
    assert await api.run("POST", f"{GUEST}/status/shutdown") == "500 CT 101 not running"
    assert await api.run("POST", f"{GUEST}/status/reboot") == "500 VM 101 not running"
    assert await api.run("POST", f"{GUEST}/status/start") == "OK"
    assert await api.run("POST", f"{GUEST}/status/start") == "500 CT 101 already running"
    assert await api.run("POST", f"{GUEST}/status/resume") == "500 CT 101 already running"
    assert await api.run("POST", f"{GUEST}/status/reboot", timeout=20) == "OK"
    assert await api.run("POST", f"{GUEST}/status/shutdown", timeout=20) == "OK"
    assert (await api.get(f"{GUEST}/status/current"))["status"] == "stopped"


async def test_a_missing_container_fails_in_the_start_task_only(api: Api) -> None:
    missing = "Configuration file 'nodes/pve/lxc/105.conf' does not exist"
    assert await api.run("POST", "/nodes/pve/lxc/105/status/start") == missing
    assert await api.run("POST", "/nodes/pve/lxc/105/status/stop") == "500 CT 105 not running"
    assert await api.run("DELETE", "/nodes/pve/lxc/105") == f"500 {missing}"
    assert await api.get("/nodes/pve/lxc/105/interfaces") is None


async def test_status_numbers(api: Api) -> None:
    assert await api.create(memory=256, swap=0, cores=2, tags="a") == "OK"
    stopped = await api.get(f"{GUEST}/status/current")
    assert (stopped["maxmem"], stopped["maxswap"], stopped["cpus"]) == (256 * 2**20, 0, 2)
    assert (stopped["maxdisk"], stopped["uptime"], stopped["ha"]) == (2**30, 0, {"managed": 0})
    assert "pid" not in stopped
    await api.run("POST", f"{GUEST}/status/start")
    shown = await api.get(f"{GUEST}/status/current")
    assert shown["status"] == "running"
    assert shown["pid"] > 0
    assert isinstance(shown["uptime"], int)


async def test_interfaces_tell_static_addresses_and_leases(api: Api) -> None:
    nets = {
        "net0": "name=eth0,bridge=vmbr0,ip=10.0.0.5/24,hwaddr=BC:24:11:00:00:01",
        "net1": "name=eth1,bridge=vmbr0,ip=dhcp",
    }
    assert await api.create(**nets) == "OK"
    assert await api.get(f"{GUEST}/interfaces") is None
    await api.run("POST", f"{GUEST}/status/start")
    lo, eth0, eth1 = await api.get(f"{GUEST}/interfaces")
    assert (lo["name"], lo["inet"], lo["inet6"]) == ("lo", "127.0.0.1/8", "::1/128")
    assert (eth0["hwaddr"], eth0["inet"], eth0["inet6"]) == (
        "bc:24:11:00:00:01",
        "10.0.0.5/24",
        "fe80::be24:11ff:fe00:1/64",
    )
    assert eth0["ip-addresses"][0] == {"ip-address": "10.0.0.5", "ip-address-type": "inet", "prefix": "24"}
    assert eth1["inet"].startswith("10.65.")


@pytest.mark.parametrize(
    ("params", "answer"),
    [
        ({"disk": "rootfs", "size": "+1G"}, "OK"),
        ({"disk": "rootfs", "size": "512M"}, "500 unable to shrink disk size"),
        ({"disk": "rootfs", "size": "1G"}, "500 disk is already at specified size"),
        (
            {"disk": "rootfs", "size": "big"},
            "400 Parameter verification failed. {'size': 'value does not match the regex pattern'}",
        ),
        (
            {"disk": "rootfs", "size": "+1G", "digest": "0" * 40},
            "500 detected modified configuration - file changed by other user? Try again.",
        ),
    ],
)  # fmt: skip
async def test_volumes_only_grow(api: Api, params: dict[str, str], answer: str) -> None:
    assert await api.create() == "OK"
    assert await api.run("PUT", f"{GUEST}/resize", **params) == answer
    size = "2G" if answer == "OK" else "1G"
    assert (await api.get(f"{GUEST}/config"))["rootfs"] == f"btr:101/vm-101-disk-0.raw,size={size}"


async def test_deleting_takes_volumes_pool_and_rights_along(api: Api) -> None:
    await api.call("POST", "/pools", poolid="apps")
    assert await api.create(pool="apps", mp0="btr:1,mp=/data") == "OK"
    await api.put("/access/acl", path="/vms/101", roles="PVEVMUser", users="alice@pve")
    await api.put(f"{GUEST}/config", delete="mp0")
    assert await api.run("DELETE", GUEST) == "OK"
    assert await api.get("/nodes/pve/storage/btr/content") == []
    assert api.cluster.pools["apps"].vms == set()
    assert not api.cluster.acl
    assert await api.run("DELETE", GUEST) == "500 Configuration file 'nodes/pve/lxc/101.conf' does not exist"


async def test_a_running_container_is_deleted_by_force_only(api: Api) -> None:
    assert await api.create() == "OK"
    await api.run("POST", f"{GUEST}/status/start")
    refusal = "500 unable to destroy CT 101 - container is running"
    assert await api.run("DELETE", GUEST) == refusal
    assert await api.run("DELETE", GUEST, purge=1) == refusal
    assert await api.run("DELETE", GUEST, force=1) == "OK"


async def test_a_backup_comes_back_as_it_was(api: Api) -> None:
    assert (
        await api.create(hostname="web", tags="a;b", mp0="btr:2,mp=/data,backup=1", net0="name=eth0,bridge=vmbr0")
        == "OK"
    )
    before = await api.get(f"{GUEST}/config")
    archive = "local:backup/vzdump-lxc-101-2026_01_01-00_00_00.tar.zst"
    held = {"config": dict(api.cluster.guests[101].config)}
    api.cluster.volumes["pve", archive] = Volume(archive, "pve", 10**8, "tar.zst", "backup", 101, extra=held)
    wanted = {"vmid": 102, "ostemplate": archive, "restore": 1, "storage": "zfs"}
    assert await api.run("POST", "/nodes/pve/lxc", **wanted) == "OK"
    after = await api.get("/nodes/pve/lxc/102/config")
    moved = {"rootfs": "zfs:subvol-102-disk-0,size=1G", "mp0": "zfs:subvol-102-disk-1,mp=/data,backup=1,size=2G"}
    assert after | {"digest": ""} == before | moved | {"digest": ""}
    assert await api.run("POST", "/nodes/pve/lxc", **{**wanted, "vmid": 103, "unique": 1}) == "OK"
    assert (await api.get("/nodes/pve/lxc/103/config"))["net0"] != before["net0"]
    again = {**wanted, "vmid": 101}
    assert await api.run("POST", "/nodes/pve/lxc", **again) == "500 CT 101 already exists on node 'pve'"
    assert await api.run("POST", "/nodes/pve/lxc", **again, force=1, hostname="new") == "OK"
    assert (await api.get(f"{GUEST}/config"))["hostname"] == "new"
