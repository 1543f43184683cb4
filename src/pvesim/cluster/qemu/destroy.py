"""Removing a virtual machine with its disks (PVE::API2::Qemu, destroy_vm)."""

from __future__ import annotations

from pvesim.cluster import backup, guestlock, ha, storage
from pvesim.cluster.qemu import disks, machine
from pvesim.cluster.qemu.rights import Caller
from pvesim.cluster.state import Cluster, Guest
from pvesim.cluster.tasks import TaskLog
from pvesim.errors import ApiError, TaskFailed


def check(cluster: Cluster, node: str, vmid: int, *, purge: bool) -> Guest:
    """What is refused at once, and again under the lock: protection, HA without `purge`, a VM that runs."""
    guest = machine.find(cluster, node, vmid)
    machine.check_protection(guest, f"can't remove VM {vmid}")
    if not purge and f"vm:{vmid}" in ha.entries(cluster, "resources"):
        raise ApiError(500, f"unable to remove VM {vmid} - used in HA resources and purge parameter not set.")
    if guest.running is not None:
        raise ApiError(500, f"VM {vmid} is running - destroy failed")
    return guest


async def run(
    call: Caller,
    node: str,
    vmid: int,
    log: TaskLog,
    *,
    purge: bool = False,
    unreferenced: bool = False,
    skiplock: bool = False,
) -> None:
    """Free its volumes (`unreferenced`: all that carry its id), then forget it; `purge`: out of jobs and HA too."""
    cluster = call.cluster
    async with cluster.locks.guest(node, "qemu", vmid):
        guest = check(cluster, node, vmid, purge=purge)
        if not skiplock and guest.config.get("lock") != "suspended":
            guestlock.check(guest)
        volumes = [volid for _, volid in disks.images(guest)]
        for volid in volumes if guest.is_template else []:
            if storage.base_in_use(cluster, node, volid):
                raise TaskFailed(f"base volume '{volid}' is still in use by linked cloned")
        cluster.writable(guest)
        for volid in dict.fromkeys(volumes):
            if disks.is_owner(cluster, guest, volid):
                await _free(cluster, node, volid, log)
        for volume in storage.owned(cluster, node, vmid) if unreferenced else []:
            await _free(cluster, node, volume.volid, log)
        await cluster.backend.destroy(guest)
        if purge:
            log(f"purging VM {vmid} from related configurations..")
            backup.leave_out(cluster, vmid)
            if f"vm:{vmid}" in ha.entries(cluster, "resources"):
                ha.forget(cluster, f"vm:{vmid}", purge=True)
                log(f"NOTE: removed VM {vmid} from HA resource configuration.")
        cluster.forget_guest(vmid)


async def _free(cluster: Cluster, node: str, volid: str, log: TaskLog) -> None:
    try:
        await storage.free(cluster, node, volid)
    except ApiError as error:
        log(f"Could not remove disk '{volid}', check manually: {error.message}")
