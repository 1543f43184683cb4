"""The `lock:` in a guest's config: what an operation that outlasts the file lock leaves for others to see.

PVE::AbstractConfig: check_lock, set_lock, remove_lock, create_and_lock_config; PVE::Cluster: check_vmid_unused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvesim.errors import ApiError

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, Guest, Kind

WORD = {"lxc": "CT", "qemu": "VM"}


def check(guest: Guest) -> None:
    """ApiError 500 while an operation holds the guest."""
    if lock := guest.config.get("lock"):
        raise ApiError(500, f"{WORD[guest.kind]} is locked ({lock})")


async def take(cluster: Cluster, node: str, kind: Kind, vmid: int, lock: str) -> Guest:
    """Write `lock: …` into the config; ApiError 500 where another one is there."""
    async with cluster.locks.guest(node, kind, vmid):
        guest = cluster.guest(node, kind, vmid)
        check(guest)
        cluster.writable(guest)
        guest.config["lock"] = lock
    return guest


async def give_back(cluster: Cluster, node: str, kind: Kind, vmid: int, lock: str) -> None:
    """Remove our `lock: …`; ApiError 500 where it is gone or another one."""
    async with cluster.locks.guest(node, kind, vmid):
        guest = cluster.guest(node, kind, vmid)
        held = guest.config.get("lock")
        if not held:
            raise ApiError(500, f"no lock found trying to remove '{lock}'  lock")
        if held != lock:
            raise ApiError(500, f"found lock '{held}' trying to remove '{lock}' lock")
        cluster.writable(guest)
        del guest.config["lock"]


def check_unused(cluster: Cluster, vmid: int) -> None:
    """ApiError 500 where any guest of the cluster has this id."""
    if other := cluster.guests.get(vmid):
        raise ApiError(500, f"{WORD[other.kind]} {vmid} already exists on node '{other.node}'")


async def create(cluster: Cluster, node: str, kind: Kind, vmid: int, lock: str = "create") -> Guest:
    """Reserve an id: a config that holds nothing but its lock (waits 5 s for the file lock)."""
    from pvesim.cluster.state import Guest

    async with cluster.locks.guest(node, kind, vmid, 5):
        check_unused(cluster, vmid)
        guest = Guest(vmid, kind, node, config={"lock": lock}, created_at=cluster.clock.now())
        cluster.writable(guest)
        cluster.guests[vmid] = guest
    return guest
