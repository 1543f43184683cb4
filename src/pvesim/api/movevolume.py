"""Moving a container's volume to another storage or to another container (PVE::API2::LXC, move_volume)."""

from __future__ import annotations

import re

from pvesim.api.guestcall import guest_of
from pvesim.api.method import ApiError, Call, TaskFailed, TaskLog, method, param_error
from pvesim.cluster import disks, guestlock
from pvesim.cluster import storage as storages
from pvesim.cluster.disks import Disk
from pvesim.cluster.lxc import update
from pvesim.cluster.state import Guest

MODIFIED = "detected modified configuration - file changed by other user? Try again."
_UNUSED = re.compile(r"unused\d+")
_MISSING = "property is missing and it is not optional"


@method("POST", "/nodes/{node}/lxc/{vmid}/move_volume")
async def move_volume(call: Call) -> object:
    """A task; to another storage the container keeps `lock: disk` until it is done."""
    storage, target = call.params.get("storage"), call.params.get("target-vmid")
    if storage and target:
        raise ApiError(500, "either set storage or target-vmid, but not both")
    if target:
        if not call.auth.is_root:
            call.check(f"/vms/{target}", "VM.Config.Disk")
        return _reassign(call, int(target))
    if storage:
        call.check(f"/storage/{storage}", "Datastore.AllocateSpace")
        return await _to_storage(call, str(storage))
    text = "both 'storage' and 'target-vmid' missing, either needs to be set"
    raise param_error(**{"target-vmid": text, "storage": text})


async def _to_storage(call: Call, storage: str) -> str:
    cluster, vmid, key = call.cluster, int(call.params["vmid"]), str(call.params["volume"])
    delete = bool(call.params.get("delete"))
    async with cluster.locks.guest(call.node, "lxc", vmid):
        guest = guest_of(call)
        guestlock.check(guest)
        if guest.running is not None:
            raise ApiError(500, "cannot move volumes of a running container")
        if _UNUSED.fullmatch(key):
            raise ApiError(500, f"cannot move volume '{key}', only configured volumes can be moved to another storage")
        if key not in guest.config:
            raise ApiError(500, "format error", dict.fromkeys(("mp", "volume"), _MISSING))
        disk = disks.parse(key, guest.config[key])
        if delete and disks.used_in_snapshots(guest, disk.file):
            raise ApiError(500, "you can't move a volume with snapshots and delete the source")
        _assert_digest(call, guest, "digest")
        cluster.writable(guest)
        guest.config["lock"] = "disk"

    async def work(log: TaskLog) -> None:
        try:
            await _copy(call, guest, disk, storage, delete=delete, log=log)
        finally:
            await guestlock.give_back(cluster, guest.node, "lxc", vmid, "disk")

    return call.fork("move_volume", vmid, work)


async def _copy(call: Call, guest: Guest, disk: Disk, storage: str, *, delete: bool, log: TaskLog) -> None:
    cluster, node = call.cluster, guest.node
    new = await disks.alloc_mountpoint(cluster, storage, node, guest.vmid, disk.size or 0, log)
    try:
        await storages.copy_data(cluster, node, disk.file, new)
        if guest.is_template:
            new = await storages.make_base(cluster, node, new)
    except ApiError:
        await storages.free(cluster, node, new)
        raise
    async with cluster.locks.guest(node, "lxc", guest.vmid):
        cluster.writable(guest)
        guest.config[disk.key] = disk.text(new)
        if not delete:
            disks.add_unused(guest, [disk.file])
    if delete:
        try:
            await storages.free(cluster, node, disk.file)
        except ApiError as error:
            log(str(error))
            disks.add_unused(guest, [disk.file])


def _assert_digest(call: Call, guest: Guest, option: str, prefix: str = "") -> None:
    given = call.params.get(option)
    if given and given != call.cluster.digest(guest):
        raise ApiError(500, f"{prefix}{MODIFIED}")


def _check_reassign(call: Call, target_vmid: int) -> tuple[Guest, Guest, Disk]:
    cluster, vmid, key = call.cluster, int(call.params["vmid"]), str(call.params["volume"])
    target_key = _target_key(call)
    if "rootfs" in (key, target_key):
        raise ApiError(500, "Cannot move to/from 'rootfs'")
    if _UNUSED.fullmatch(key) and not _UNUSED.fullmatch(target_key):
        raise ApiError(500, "Moving an unused volume to a used one is not possible")
    for one in (vmid, target_vmid):
        if one not in cluster.guests:
            raise ApiError(500, f"could not find CT {one}")
    nodes = [cluster.guests[one].node for one in (vmid, target_vmid)]
    if nodes[0] != nodes[1]:
        raise ApiError(500, f"Both containers need to be on the same node ({nodes[0]} != {nodes[1]})")
    source, target = guest_of(call), cluster.guest(call.node, "lxc", target_vmid)
    for guest in (source, target):
        guestlock.check(guest)
    if source.is_template or target.is_template:
        raise ApiError(500, "Can't move volumes from or to template CT")
    _assert_digest(call, source, "digest", f"Container {vmid}: ")
    _assert_digest(call, target, "target-digest", f"Container {target_vmid}: ")
    return source, target, _check_volume(call, source, target, key, target_key)


def _check_volume(call: Call, source: Guest, target: Guest, key: str, target_key: str) -> Disk:
    if key not in source.config:
        raise ApiError(500, f"volume '{key}' for container '{source.vmid}' does not exist")
    if target_key in target.config:
        raise ApiError(500, f"Target volume key '{target_key}' is already in use for container '{target.vmid}'")
    disk = disks.parse(key, source.config[key])
    if disks.used_in_snapshots(source, disk.file):
        raise ApiError(500, "Cannot move volume used by a snapshot to another container")
    if not storages.feature(call.cluster, "rename", disk.file):
        raise ApiError(500, "Storage does not support moving of this disk to another container")
    if disk.type != "volume":
        raise ApiError(500, "Cannot move a bindmount or device mount to another container")
    if source.running is not None and not _UNUSED.fullmatch(key):
        text = "Cannot move in-use volume while the source CT is running - detach or shutdown first"
        raise ApiError(500, text)
    update.check_protection(target, f"cannot assign a volume to target CT {target.vmid}")
    return disk


def _target_key(call: Call) -> str:
    return str(call.params.get("target-volume") or call.params["volume"])


def _reassign(call: Call, target_vmid: int) -> str:
    vmid, key, target_key = int(call.params["vmid"]), str(call.params["volume"]), _target_key(call)
    _, _, disk = _check_reassign(call, target_vmid)
    call.check(f"/storage/{storages.storage_of(disk.file)}", "Datastore.AllocateSpace")
    locks = call.cluster.locks

    async def work(log: TaskLog) -> None:
        if vmid == target_vmid:
            async with locks.guest(call.node, "lxc", vmid):
                await _hand_over(call, target_vmid, log)
            return
        async with locks.guest(call.node, "lxc", vmid), locks.guest(call.node, "lxc", target_vmid):
            await _hand_over(call, target_vmid, log)

    return call.fork("move_volume", f"{vmid}-{key}>{target_vmid}-{target_key}", work)


async def _hand_over(call: Call, target_vmid: int, log: TaskLog) -> None:
    key, target_key = str(call.params["volume"]), _target_key(call)
    source, target, disk = _check_reassign(call, target_vmid)
    log(f"moving volume '{key}' from container '{source.vmid}' to '{target_vmid}'")
    call.cluster.writable(source)
    new = await storages.reassign(call.cluster, call.node, disk.file, target_vmid)
    log(f"removing volume '{key}' from container '{source.vmid}' config")
    del source.config[key]
    if not _UNUSED.fullmatch(target_key) and "mp" not in disk.options:
        raise TaskFailed("format error")
    target.config[target_key] = new if _UNUSED.fullmatch(target_key) else disk.text(new)
    log(f"target container '{target_vmid}' updated with '{target_key}'")
