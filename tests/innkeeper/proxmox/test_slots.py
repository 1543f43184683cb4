"""Which calls wait for each other."""

import asyncio

import pytest

from innkeeper.proxmox.slots import ON_NODE, ON_SHARED, Slots, places, target

LXC = "/nodes/pve1/lxc"


@pytest.mark.parametrize(
    ("method", "path", "params", "vmid", "where"),
    [
        ("POST", LXC, {"vmid": "101", "rootfs": "local:8", "mp0": "nas:4,mp=/x"}, 101, {"pve1/local", "nas"}),
        ("POST", "/nodes/pve1/qemu", {"vmid": "7", "scsi0": "nas:8,ssd=1", "ide2": "nas:cloudinit"}, 7, {"nas"}),
        ("PUT", f"{LXC}/101/config", {"net0": "name=eth0,hwaddr=BC:24:11:55:9E:12,ip=dhcp"}, 101, set()),
        ("PUT", f"{LXC}/101/config", {"rootfs": "nas:101/vm-101-disk-0.raw,size=8G"}, 101, set()),
        ("POST", "/nodes/pve1/qemu/900/clone", {"newid": "201", "storage": "nas", "target": "pve2"}, 201, {"nas"}),
        ("POST", "/nodes/pve1/qemu/900/clone", {"newid": "201"}, 201, {"pve1/*"}),
        ("DELETE", f"{LXC}/101", {"purge": "1"}, 101, {"pve1/*"}),
        ("PUT", "/pools/apps", {"vms": "101"}, None, set()),
    ],
)
def test_what_a_call_touches(method: str, path: str, params: dict[str, str], vmid: int | None, where: set[str]) -> None:
    assert target(path, params.items()) == vmid
    assert places(method, path, params.items(), {"nas"}) == where


@pytest.mark.parametrize(("storage", "room"), [("nas", ON_SHARED), ("local", ON_NODE)])
async def test_never_two_writes_on_a_guest_and_few_allocations_on_a_storage(storage: str, room: int) -> None:
    slots = Slots()
    slots.shared = frozenset({"nas"})
    inside: list[int] = []
    most = 0

    async def create(vmid: int) -> None:
        nonlocal most
        async with slots.turn("POST", "/nodes/pve1/lxc", [("vmid", str(vmid)), ("rootfs", f"{storage}:1")]):
            assert vmid not in inside
            inside.append(vmid)
            most = max(most, len(inside))
            await asyncio.sleep(0)
            inside.remove(vmid)

    await asyncio.gather(*(create(100 + number % 10) for number in range(60)))
    assert most == room
