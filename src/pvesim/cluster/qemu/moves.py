"""Growing a virtual machine's disks and moving them: to another storage or format, or to another machine.

PVE::API2::Qemu: resize_vm, move_vm_disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pvesim.cluster import guestlock, storage
from pvesim.cluster.qemu import disks, drive, machine, options, update
from pvesim.cluster.qemu.rights import Caller
from pvesim.cluster.state import Guest
from pvesim.cluster.tasks import TaskLog
from pvesim.errors import ApiError, TaskFailed, param_error

MODIFIED = "detected modified configuration - file changed by other user? Try again."
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


async def resize(
    call: Caller, node: str, vmid: int, slot: str, size: str, *, digest: str | None = None, skiplock: bool = False
) -> None:
    """Set a disk's size (`20G`) or add to it (`+512M`); TaskFailed for less than it has."""
    cluster = call.cluster
    async with cluster.locks.guest(node, "qemu", vmid):
        guest = machine.find(cluster, node, vmid)
        if digest and digest != cluster.digest(guest):
            raise TaskFailed("checksum mismatch (file change by other user?)")
        if not skiplock:
            guestlock.check(guest)
        one = drive.parse(slot, guest.config.get(slot, ""))
        if one is None:
            raise TaskFailed(f"disk '{slot}' does not exist")
        if one.is_cdrom:
            raise TaskFailed("you can't resize a cdrom")
        call.check(f"/storage/{storage.storage_of(one.file)}", "Datastore.AllocateSpace")
        now = storage.get(cluster, node, one.file).size
        found = re.fullmatch(r"(\+?)(\d+(?:\.\d+)?)([KMGT]?)", size)
        if not found:
            raise TaskFailed("internal error")
        new = int(float(found[2]) * _UNITS[found[3]]) + (now if found[1] else 0)
        if new < now:
            raise TaskFailed("shrinking disks is not supported")
        if new > now:
            cluster.writable(guest)
            storage.resize(cluster, node, one.file, new, running=guest.running is not None)
            guest.config[slot] = one.with_file(one.file, new).text()
            if guest.running is not None:
                guest.running[slot] = guest.config[slot]
            machine.save(cluster, guest)


@dataclass(frozen=True)
class Move:
    """A disk to another storage or format; `delete` removes the old volume, else it stays as `unusedN`."""

    node: str
    vmid: int
    slot: str
    storage: str
    format: str | None = None
    delete: bool = False
    digest: str | None = None


def check_move(call: Caller, move: Move) -> tuple[Guest, drive.Drive]:
    """What is refused at once and again under the lock."""
    cluster, guest = call.cluster, machine.find(call.cluster, move.node, move.vmid)
    guestlock.check(guest)
    if move.digest and move.digest != cluster.digest(guest):
        raise ApiError(500, MODIFIED)
    one = drive.parse(move.slot, guest.config.get(move.slot, ""))
    if one is None:
        raise ApiError(500, f"disk '{move.slot}' does not exist")
    if not one.is_disk:
        raise ApiError(500, "you can't move a cdrom")
    old = storage.storage_of(one.file)
    if old == move.storage and move.format in (None, storage.parse(cluster, one.file).format):
        raise ApiError(500, "you can't move to the same storage with same format")
    if "images" not in storage.content_of(storage.usable(cluster, move.storage, move.node)):
        raise param_error(storage=f"storage '{move.storage}' does not support vm images")
    if move.delete and _snapshotted(guest, one.file):
        raise ApiError(500, "you can't move a disk with snapshots and delete the source")
    return guest, one


def _snapshotted(guest: Guest, volid: str) -> bool:
    return any(drive.uses(snapshot.config, volid) for snapshot in guest.snapshots.values())


async def move_storage(call: Caller, move: Move, log: TaskLog) -> None:
    """Copy the disk and let the slot name the copy."""
    cluster = call.cluster
    async with cluster.locks.guest(move.node, "qemu", move.vmid):
        guest, one = check_move(call, move)
        source = storage.storage_of(one.file)
        log(f"copying volume '{one.file}' from current storage '{source}' to target storage '{move.storage}'")
        if _snapshotted(guest, one.file):
            log("moving disk with snapshots, snapshots will not be moved!")
        cluster.writable(guest)
        volume = storage.get(cluster, move.node, one.file)
        formats = storage.type_of(storage.lookup(cluster, move.storage)).formats
        form = move.format or (volume.format if volume.format in formats else None)
        log(f"create full clone of drive {move.slot} ({one.file})")
        try:
            target = await storage.alloc(
                cluster, move.storage, move.node, move.vmid, volume.size, form if form in formats else None, log=log
            )
            await storage.copy_data(cluster, move.node, one.file, target)
        except ApiError as error:
            raise TaskFailed(f"storage migration failed: {error.message}") from None
        if volume.extra.get("empty"):
            storage.get(cluster, move.node, target).extra["empty"] = True
        log(f"allocated target volume '{target}'")
        disks.log_transfer(log, volume.size)
        if guest.is_template:
            target = await storage.make_base(cluster, move.node, target)
        guest.config[move.slot] = one.with_file(target, volume.size).text()
        if guest.running is not None:
            guest.running[move.slot] = guest.config[move.slot]
        if move.delete:
            log(f"removing source volume '{one.file}' after successful copy")
            await storage.free(cluster, move.node, one.file)
        else:
            key = await disks.keep_unused(cluster, guest, one.file, log)
            log(f"adding source volume '{one.file}' as '{key}' to config")
        machine.save(cluster, guest)


@dataclass(frozen=True)
class Reassign:
    """A disk to a slot of another VM on the same node."""

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


def check_reassign(call: Caller, move: Reassign) -> tuple[Guest, Guest, str]:
    """Both VMs and the volume; what is refused at once and again under the locks."""
    cluster = call.cluster
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
    if move.slot not in source.config:
        raise ApiError(500, f"Disk '{move.slot}' for VM '{move.vmid}' does not exist")
    if move.target_slot in target.config:
        raise ApiError(500, f"Target disk key '{move.target_slot}' is already in use for VM '{move.target}'")
    one = drive.parse(move.slot, source.config[move.slot])
    if one is None or not one.is_disk:
        raise ApiError(500, "CD drive contents can't be moved to another VM")
    if not one.storage:
        raise ApiError(500, f"Volume '{one.file}' not managed by PVE")
    if _snapshotted(source, one.file):
        raise ApiError(500, "Can't move disk used by a snapshot to another VM")
    if not storage.feature(cluster, "rename", one.file):
        raise ApiError(500, "Storage does not support moving of this disk to another VM")
    if source.running is not None and drive.is_drive(move.slot):
        raise ApiError(500, "Cannot move disk to another VM while the source VM is running - detach first")
    return source, target, one.file


async def reassign(call: Caller, move: Reassign, log: TaskLog) -> None:
    """Rename the volume for the other VM and let its slot name it."""
    cluster = call.cluster
    async with cluster.locks.guest(move.node, "qemu", move.vmid):
        source, target, volid = check_reassign(call, move)
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
    params = {
        "node": move.node,
        "vmid": move.target,
        move.target_slot: one.with_file(new, one.size).text() if one else new,
    }
    await update.run_task(call, update.prepare(call, params), log)
