"""Handing a disk of one virtual machine to another on the same node (PVE::API2::Qemu, move_vm_disk with a target)."""

from __future__ import annotations

from dataclasses import dataclass

from pvesim.cluster import guestlock, storage
from pvesim.cluster.qemu import drive, machine, options, update
from pvesim.cluster.qemu.moves import MODIFIED, snapshotted
from pvesim.cluster.qemu.rights import Caller
from pvesim.cluster.state import Cluster, Guest
from pvesim.cluster.tasks import TaskLog
from pvesim.errors import ApiError


@dataclass(frozen=True)
class Reassign:
    """The slot of one VM, and the slot of the other that gets its disk."""

    node: str
    vmid: int
    slot: str
    target: int
    target_slot: str
    digest: str | None = None
    target_digest: str | None = None

    @property
    def id(self) -> str:
        """What its task is about."""
        return f"{self.vmid}-{self.slot}>{self.target}-{self.target_slot}"


def check(call: Caller, move: Reassign) -> tuple[Guest, Guest, str]:
    """Both VMs and the volume; what is refused at once and again under the locks."""
    cluster = call.cluster
    source, target = _both(cluster, move)
    if move.slot not in source.config:
        raise ApiError(500, f"Disk '{move.slot}' for VM '{move.vmid}' does not exist")
    if move.target_slot in target.config:
        raise ApiError(500, f"Target disk key '{move.target_slot}' is already in use for VM '{move.target}'")
    one = drive.parse(move.slot, source.config[move.slot])
    if one is None or not one.is_disk:
        raise ApiError(500, "CD drive contents can't be moved to another VM")
    if not one.storage:
        raise ApiError(500, f"Volume '{one.file}' not managed by PVE")
    if snapshotted(source, one.file):
        raise ApiError(500, "Can't move disk used by a snapshot to another VM")
    if not storage.feature(cluster, "rename", one.file):
        raise ApiError(500, "Storage does not support moving of this disk to another VM")
    if source.running is not None and drive.is_drive(move.slot):
        raise ApiError(500, "Cannot move disk to another VM while the source VM is running - detach first")
    return source, target, one.file


def _both(cluster: Cluster, move: Reassign) -> tuple[Guest, Guest]:
    for vmid, word in ((move.vmid, "VM"), (move.target, "target VM")):
        if vmid not in cluster.guests:
            raise ApiError(500, f"could not find {word} {vmid}")
    nodes = [cluster.guests[vmid].node for vmid in (move.vmid, move.target)]
    if nodes[0] != nodes[1]:
        raise ApiError(500, f"Both VMs need to be on the same node ({nodes[0]} != {nodes[1]})")
    source, target = (machine.find(cluster, move.node, vmid) for vmid in (move.vmid, move.target))
    for guest in (source, target):
        guestlock.check(guest)
    if source.is_template or target.is_template:
        raise ApiError(500, "Can't move disks from or to template VMs")
    for guest, digest in ((source, move.digest), (target, move.target_digest)):
        if digest and digest != cluster.digest(guest):
            raise ApiError(500, f"VM {guest.vmid}: {MODIFIED}")
    return source, target


async def run(call: Caller, move: Reassign, log: TaskLog) -> None:
    """Rename the volume for the other VM and let its slot name it."""
    cluster = call.cluster
    async with cluster.locks.guest(move.node, "qemu", move.vmid):
        source, target, volid = check(call, move)
        cluster.writable(source)
        where = f"as '{move.target_slot}' to VM '{move.target}'"
        log(f"reassign disk '{move.slot}' from VM '{move.vmid}' {where}")
        new = await storage.reassign(cluster, move.node, volid, move.target)
        order = options.boot_order(source.config)
        if move.slot in order:
            log(f"removing disk '{move.slot}' from boot order config")
            order.remove(move.slot)
            source.config["boot"] = options.print_boot_order(order)
        text = source.config.pop(move.slot)
        log(f"removing disk '{move.slot}' from VM '{move.vmid}' config")
        machine.save(cluster, source)
    if not drive.is_drive(move.target_slot):
        target.config[move.target_slot] = new
        machine.save(cluster, target)
        return
    one = drive.parse(move.target_slot, text)
    value = one.with_file(new, one.size).text() if one else new
    params = {"node": move.node, "vmid": move.target, move.target_slot: value}
    await update.run_task(call, update.prepare(call, params), log)
