"""Copies of guests: what a clone takes from its source, and the copying of its volumes.

PVE::API2::LXC (clone_vm) and PVE::API2::Qemu (clone_vm). A container's source keeps `lock: disk` while it is copied;
a machine's source is held by its lock file instead, for as long as it takes (shared when it is stopped), as is the
new machine.
"""

from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pvesim.cluster import disks, guestlock, snapshots
from pvesim.cluster import storage as storages
from pvesim.cluster.disks import Disk
from pvesim.cluster.lxc import options
from pvesim.cluster.lxc.properties import random_mac
from pvesim.errors import ApiError, TaskFailed, died, param_error

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, Config, Guest, Kind
    from pvesim.cluster.tasks import TaskLog

LOCK_TIMEOUT = 1  # of a machine's source and target
_MAC = re.compile(r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])")
_SNAPSHOT_KEYS = frozenset({"parent", "snaptime", "snapstate", "vmstate", "runningmachine", "runningcpu", "digest"})
CLOUDINIT_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Wish:
    """What the caller asks for; `full` None: full unless the source is a template."""

    node: str
    kind: Kind
    vmid: int
    newid: int
    full: bool | None = None
    storage: str | None = None
    format: str | None = None
    target: str | None = None  # another node, on which the storage is shared
    snapname: str | None = None
    name: str | None = None
    description: str | None = None
    pool: str | None = None


@dataclass
class Plan:
    """What the new guest will be: settings as they are, and the volumes to copy (`full`) or to link."""

    config: Config = field(default_factory=dict)
    raw_lxc: list[list[str]] = field(default_factory=list)
    volumes: list[Disk] = field(default_factory=list)
    full: bool = True
    running: bool = False


Allowed = Callable[..., None]  # Call.check
Bridges = Callable[[str], None]  # checks the bridge in the text of a network device


def check_request(cluster: Cluster, wish: Wish) -> None:
    """ApiError for a missing pool, node or storage, one that cannot be used or does not reach the target."""
    if wish.pool is not None and wish.pool not in cluster.pools:
        raise ApiError(403, f"Permission check failed (pool '{wish.pool}' does not exist)")
    if wish.target and wish.target not in cluster.nodes:
        raise ApiError(500, f"no such cluster node '{wish.target}'")
    if wish.storage:
        storage = storages.usable(cluster, wish.storage, wish.node)
        if wish.kind == "qemu" and "images" not in storages.content_of(storage):
            raise param_error(storage=f"storage '{wish.storage}' does not support vm images")
        if wish.target:
            storages.usable(cluster, wish.storage, wish.target)
            if not storage.shared:
                raise ApiError(500, f"can't clone to non-shared storage '{wish.storage}'")
    cluster.check_quorum()


def _source(guest: Guest, wish: Wish) -> tuple[Config, list[list[str]], bool]:
    """The section to copy and whether to copy it fully."""
    full = wish.full if wish.full is not None else not guest.is_template
    if guest.kind == "lxc" and wish.storage and not full:
        raise ApiError(500, "parameter 'storage' not allowed for linked clones")
    if wish.snapname and wish.snapname not in guest.snapshots:
        raise ApiError(500, f"snapshot '{wish.snapname}' does not exist")
    for option in ("storage", "format"):
        if getattr(wish, option) and not full:
            raise ApiError(500, f"parameter '{option}' not allowed for linked clones")
    if not wish.snapname:
        return guest.config, guest.raw_lxc, full
    snap = snapshots.existing(guest, wish.snapname)
    return snap.as_config(), snap.raw_lxc, full


def plan_container(cluster: Cluster, guest: Guest, wish: Wish, check: Allowed, check_bridge: Bridges) -> Plan:
    """Go through the settings in order of their keys, and refuse what cannot be copied."""
    config, raw, full = _source(guest, wish)
    plan = Plan(raw_lxc=copy.deepcopy(raw), full=full, running=guest.running is not None)
    shared = True
    for key in sorted(config):
        value = config[key]
        if key.startswith("unused"):
            continue
        if re.fullmatch(r"rootfs|mp\d+", key):
            disk = disks.parse(key, value)
            if disk.type != "volume":
                raise ApiError(500, f"unable to clone mountpoint '{key}' (type {disk.type})")
            where = wish.storage or storages.storage_of(disk.file)
            shared = shared and storages.lookup(cluster, where).shared
            check(f"/storage/{where}", "Datastore.AllocateSpace")
            _check_mountpoint(cluster, plan, disk, wish)
            plan.volumes.append(disk)
        elif re.fullmatch(r"net\d+", key):
            plan.config[key] = _MAC.sub(random_mac(cluster), value)
            check_bridge(plan.config[key])
        elif key not in _SNAPSHOT_KEYS and key not in ("template", "lock"):
            plan.config[key] = value
    plan.volumes.sort(key=lambda disk: disk.key != "rootfs")
    if wish.target and not shared:
        raise ApiError(500, f"can't clone CT to node '{wish.target}' (CT uses local storage)")
    plan.config |= {"hostname": wish.name} if wish.name else {}
    plan.config |= {"description": options.description(wish.description)} if wish.description else {}
    return plan


def _check_mountpoint(cluster: Cluster, plan: Plan, disk: Disk, wish: Wish) -> None:
    if plan.full:
        if plan.running and wish.snapname is None:
            raise ApiError(500, "Full clone of a running container is only possible from a snapshot")
    elif not storages.feature(
        cluster, "clone", disk.file, snapshot=wish.snapname is not None, targets=disks.MOUNTPOINT_FORMATS
    ):
        raise ApiError(500, f"Linked clone feature for '{disk.file}' is not available")


def plan_machine(cluster: Cluster, guest: Guest, wish: Wish, check: Allowed, check_bridge: Bridges) -> Plan:
    """The same for a virtual machine; called before the task starts and again under the locks."""
    guestlock.check(guest)
    config, _, full = _source(guest, wish)
    plan = Plan(full=full, running=guest.running is not None)
    shared = _check_storages(cluster, config, wish, check)
    for key in sorted(config):
        if re.fullmatch(r"net\d+", key):
            check_bridge(config[key])
    if wish.target and not shared:
        raise ApiError(500, f"can't clone VM to node '{wish.target}' (VM uses local storage)")
    other = cluster.guests.get(wish.newid)
    if other and other.kind == "qemu" and other.node == wish.node:
        raise ApiError(500, f"unable to create VM {wish.newid}: config file already exists")
    drives = {disk.key: disk for disk in disks.disks("qemu", config)}
    for key in sorted(config):
        value = config[key]
        if key.startswith("unused") or key in _SNAPSHOT_KEYS or key in ("template", "lock"):
            continue
        if key in drives and not (drives[key].is_cdrom and not drives[key].is_cloudinit):
            _check_drive(cluster, plan, drives[key], wish)
            plan.volumes.append(drives[key])
        else:
            plan.config[key] = _MAC.sub(random_mac(cluster), value) if re.fullmatch(r"net\d+", key) else value
    _new_identity(plan.config, wish, config)
    return plan


def _check_storages(cluster: Cluster, config: Config, wish: Wish, check: Allowed) -> bool:
    shared = True
    for disk in disks.disks("qemu", config):
        if disk.is_cdrom and disk.file == "cdrom":
            check("/", "Sys.Console")
        elif disk.is_volume:
            where = storages.storage_of(disk.file)
            shared = shared and storages.lookup(cluster, where).shared
            if not disk.is_cdrom:
                check(f"/storage/{wish.storage or where}", "Datastore.AllocateSpace")
    if "vmstatestorage" in config:
        check(f"/storage/{config['vmstatestorage']}", "Datastore.AllocateSpace")
    return shared


def _check_drive(cluster: Cluster, plan: Plan, disk: Disk, wish: Wish) -> None:
    from_snapshot = wish.snapname is not None
    if plan.full and plan.running and not from_snapshot and disk.key == "tpmstate0":
        raise ApiError(500, "cannot clone TPM state while VM is running")
    full = plan.full or _always_copied(disk)
    if not storages.feature(cluster, "copy" if full else "clone", disk.file, snapshot=from_snapshot):
        kind, what = "Full" if full else "Linked", "a snapshot of " if from_snapshot else ""
        raise ApiError(500, f"{kind} clone feature is not supported for {what}'{disk.file}' ({disk.key})")


def _always_copied(disk: Disk) -> bool:
    return disk.is_cloudinit or disk.key == "tpmstate0"


def _new_identity(config: Config, wish: Wish, old: Config) -> None:
    rest = [part for part in config.get("smbios1", "").split(",") if part and not part.startswith("uuid=")]
    config["smbios1"] = ",".join([f"uuid={uuid.uuid4()}", *rest])
    if config.get("vmgenid"):
        config["vmgenid"] = str(uuid.uuid4())
    config["name"] = wish.name or f"Copy-of-VM-{old.get('name', wish.vmid)}"
    if wish.description:
        config["description"] = wish.description


async def copy_volumes(cluster: Cluster, guest: Guest, plan: Plan, wish: Wish, log: TaskLog) -> None:
    """Copy or link every volume into `guest`; on an error what was made goes again: TaskFailed `clone failed: …`."""
    made: list[str] = []
    try:
        for disk in plan.volumes:
            if guest.kind == "lxc":
                new, size = await _copy_mountpoint(cluster, disk, plan, wish, log)
            else:
                new, size = await _copy_drive(cluster, disk, plan, wish, log)
            made.append(new)
            changes = {"format": None} if guest.kind == "qemu" else {}
            sized = disks.parse(disk.key, disk.text(new, **changes))
            guest.config[disk.key] = sized.text(size=_printed(size)) if size else sized.text()
    except (ApiError, TaskFailed) as error:
        for volid in made:
            await storages.free(cluster, wish.node, volid)
        raise TaskFailed(f"clone failed: {died(error)}") from error


async def _copy_mountpoint(
    cluster: Cluster, disk: Disk, plan: Plan, wish: Wish, log: TaskLog
) -> tuple[str, int | None]:
    if not plan.full:
        log(f"create linked clone of mount point {disk.key} ({disk.file})")
        return await storages.clone_linked(cluster, wish.node, disk.file, wish.newid, snapname=wish.snapname), None
    log(f"create full clone of mountpoint {disk.key} ({disk.file})")
    where = wish.storage or storages.storage_of(disk.file)
    size = disk.size or 0
    new = await disks.alloc_mountpoint(cluster, where, wish.node, wish.newid, size, log)
    await storages.copy_data(cluster, wish.node, disk.file, new, snapname=wish.snapname)
    return new, None


async def _copy_drive(cluster: Cluster, disk: Disk, plan: Plan, wish: Wish, log: TaskLog) -> tuple[str, int | None]:
    source = storages.get(cluster, wish.node, disk.file)
    size = source.snapshots[wish.snapname] if wish.snapname and wish.snapname in source.snapshots else source.size
    if not plan.full and not _always_copied(disk):
        log(f"create linked clone of drive {disk.key} ({disk.file})")
        return await storages.clone_linked(cluster, wish.node, disk.file, wish.newid, snapname=wish.snapname), size
    log(f"create full clone of drive {disk.key} ({disk.file})")
    where = wish.storage or storages.storage_of(disk.file)
    kind = storages.type_of(storages.lookup(cluster, where))
    form = wish.format or source.format
    form = form if form in kind.formats else storages.default_format(storages.lookup(cluster, where))
    name = None
    if disk.is_cloudinit:
        name = f"vm-{wish.newid}-cloudinit" + (f".{form}" if kind.files else "")
    new = await storages.alloc(cluster, where, wish.node, wish.newid, size, form, name=name, log=log)
    await storages.copy_data(cluster, wish.node, disk.file, new)
    storages.get(cluster, wish.node, new).extra = dict(source.extra)
    return new, size


def _printed(size: int) -> str:
    unit = next((unit for unit in "TGMK" if size % disks.UNITS[unit] == 0), "")
    return f"{size // disks.UNITS[unit]}{unit}"


async def settle(cluster: Cluster, guest: Guest, wish: Wish, given_back: Sequence[str]) -> None:
    """The new guest is done: into its pool, without its locks, to the node where it belongs."""
    for key in given_back:
        guest.config.pop(key, None)
    if wish.target:
        guest.node = wish.target
    if wish.pool:
        cluster.pools[wish.pool].vms.add(guest.vmid)
