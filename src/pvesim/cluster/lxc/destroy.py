"""Deleting a container with all that refers to it (PVE::API2::LXC, destroy_vm)."""

from __future__ import annotations

from pvesim.cluster import backup, guestlock
from pvesim.cluster.lxc import disks, power
from pvesim.cluster.lxc.update import check_protection
from pvesim.cluster.state import Cluster, Guest
from pvesim.cluster.tasks import TaskLog
from pvesim.errors import ApiError


def check(cluster: Cluster, guest: Guest, *, force: bool, purge: bool) -> None:
    """ApiError 500 unless it may go now; it is asked again with the lock held."""
    check_protection(guest, f"can't remove CT {guest.vmid}")
    guestlock.check(guest)
    if not purge and f"ct:{guest.vmid}" in (cluster.ha.get("resources") or {}):
        raise ApiError(500, f"unable to remove CT {guest.vmid} - used in HA resources and purge parameter not set.")
    if guest.running is not None and not force:
        raise ApiError(500, f"unable to destroy CT {guest.vmid} - container is running")


async def work(
    cluster: Cluster, node: str, vmid: int, log: TaskLog, *, force: bool, purge: bool, unreferenced: bool
) -> None:
    """The task: stop it when forced to, remove its volumes, forget it."""
    async with cluster.locks.guest(node, "lxc", vmid):
        guest = cluster.guest(node, "lxc", vmid)
        check(cluster, guest, force=force, purge=purge)
        if guest.running is not None:
            log(f"forced to stop CT {vmid} before destroying!")
            await power.stop_locked(cluster, guest)
        await disks.remove_of(cluster, guest, guest.config, log)
        await disks.remove_of(cluster, guest, guest.pending, log)
        if unreferenced:
            await disks.remove_unreferenced(cluster, guest, log)
        cluster.writable(guest)
        guest.config, guest.pending, guest.pending_delete, guest.snapshots = {"lock": "destroyed"}, {}, {}, {}
        if purge:
            log(f"purging CT {vmid} from related configurations..")
            _purge(cluster, vmid, log)
        await cluster.backend.destroy(guest)
        cluster.forget_guest(vmid)


def _purge(cluster: Cluster, vmid: int, log: TaskLog) -> None:
    backup.leave_out(cluster, vmid)
    if (cluster.ha.get("resources") or {}).pop(f"ct:{vmid}", None):
        log(f"NOTE: removed CT {vmid} from HA resource configuration.")
