"""Growing a virtual machine's disks, and moving them to another storage or format (PVE::API2::Qemu)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pvesim.cluster import guestlock, storage
from pvesim.cluster.qemu import disks, drive, machine
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
            storage.resize(cluster, node, one.file, new)
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
    if move.delete and snapshotted(guest, one.file):
        raise ApiError(500, "you can't move a disk with snapshots and delete the source")
    return guest, one


def snapshotted(guest: Guest, volid: str) -> bool:
    """Whether a snapshot needs the volume."""
    return any(drive.uses(snapshot.config, volid) for snapshot in guest.snapshots.values())


async def move_storage(call: Caller, move: Move, log: TaskLog) -> None:
    """Copy the disk and let the slot name the copy."""
    cluster = call.cluster
    async with cluster.locks.guest(move.node, "qemu", move.vmid):
        guest, one = check_move(call, move)
        source = storage.storage_of(one.file)
        log(f"copying volume '{one.file}' from current storage '{source}' to target storage '{move.storage}'")
        if snapshotted(guest, one.file):
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
