"""Moving a guest to another node: what stands in the way, which volumes have to be copied, and the move itself.

PVE::AbstractMigrate, PVE::LXC::Migrate, PVE::QemuMigrate. A task's errors are lines of its log; the task itself ends
with `migration aborted`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pvesim.cluster import disks, guestlock
from pvesim.cluster import storage as storages
from pvesim.cluster.storagetypes import image_volname, is_volid
from pvesim.errors import ApiError, TaskFailed

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, Guest, Kind
    from pvesim.cluster.tasks import TaskLog

MOVABLE = {
    "lxc": ("dir", "zfspool", "lvmthin", "lvm", "btrfs"),
    "qemu": ("dir", "btrfs", "zfspool", "lvmthin", "lvm"),
}
COPY_BYTES_PER_SECOND = 200 * 2**20


@dataclass(frozen=True)
class StorageMap:
    """Which storage a local volume goes to: by its own, the `default`, or the same one."""

    entries: dict[str, str] = field(default_factory=dict)
    default: str | None = None
    identity: bool = False

    def target(self, storage: str) -> str:
        return self.entries.get(storage) or self.default or storage

    @property
    def named(self) -> list[str]:
        """All target storages that were asked for."""
        return [*self.entries.values(), *([self.default] if self.default else [])]


def parse_map(text: str | None) -> StorageMap:
    """`1`, `fast` or `local:fast,btr:slow` (PVE::JSONSchema, parse_idmap); ValueError says what is wrong."""
    if not text:
        return StorageMap()
    entries: dict[str, str] = {}
    default, identity = None, False
    for part in filter(None, re.split(r"[,; ]+", text)):
        source, colon, target = part.partition(":")
        if colon:
            if source in entries:
                raise ValueError(f"duplicate mapping for source '{source}'")
            entries[source] = target
        elif part == "1":
            identity = True
        elif default is not None:
            raise ValueError("default target ID can only be provided once")
        else:
            default = part
    if identity and (default or entries):
        raise ValueError("identity mapping cannot be combined with other mappings")
    return StorageMap(entries, default, identity)


@dataclass
class Move:
    """One migration; `stop` and `start` are what a container needs for a restart on the way."""

    kind: Kind
    vmid: int
    node: str
    target: str
    online: bool = False
    restart: bool = False
    with_local_disks: bool = False
    storages: StorageMap = field(default_factory=StorageMap)
    stop: Callable[[Guest], Awaitable[None]] | None = None
    start: Callable[[Guest], Awaitable[None]] | None = None
    stopped: bool = False  # it ran, and has to be started again


@dataclass
class _Local:
    """A volume that has to be copied."""

    ref: str
    target: str
    snapshot: bool = False


async def run(cluster: Cluster, move: Move, log: TaskLog) -> None:
    """The worker of the task."""
    began = cluster.clock.now()

    def say(text: str, level: str = "") -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(cluster.clock.now()))
        log(f"{stamp} {level}{text}")

    def lasted() -> str:
        return time.strftime("%H:%M:%S", time.gmtime(cluster.clock.now() - began))

    async with cluster.locks.file(move.node, f"/var/lock/pve-manager/pve-migrate-{move.vmid}", 10):
        try:
            async with cluster.locks.guest(move.node, move.kind, move.vmid):
                await _move(cluster, move, say)
        except (ApiError, TaskFailed) as error:
            if move.stopped and move.start:
                say("start container on source node")
                await move.start(cluster.guests[move.vmid])
            say(f"migration aborted (duration {lasted()}): {error}", "ERROR: ")
            raise TaskFailed("migration aborted") from error
        if move.kind == "lxc":
            say("start final cleanup")
        if move.stopped and move.start:
            say("start container on target node")
            await move.start(cluster.guests[move.vmid])
        say(f"migration finished successfully (duration {lasted()})")


Say = Callable[..., None]


async def _move(cluster: Cluster, move: Move, say: Say) -> None:
    guest = cluster.guest(move.node, move.kind, move.vmid)
    guestlock.check(guest)
    running = guest.running is not None
    _prepare(cluster, guest, move)
    if not cluster.nodes[move.target].online:
        raise TaskFailed("Can't connect to destination address using public key")
    if running and move.kind == "lxc" and move.stop:
        say(f"shutdown CT {move.vmid}")
        await move.stop(guest)
        move.stopped = True
    word, address = guestlock.WORD[move.kind], cluster.nodes[move.target].address
    say(f"starting migration of {word} {move.vmid} to node '{move.target}' ({address})")
    cluster.writable(guest)
    guest.config["lock"] = "migrate"
    try:
        names = await _volumes(cluster, guest, move, say)
    except (ApiError, TaskFailed) as error:
        say(str(error), "ERROR: ")
        say("aborting phase 1 - cleanup resources")
        guest.config.pop("lock", None)
        raise
    disks.replace_volids(move.kind, guest.config, names)
    for snap in guest.snapshots.values():
        disks.replace_volids(move.kind, snap.config, names)
    if guest.running is not None:
        disks.replace_volids(move.kind, guest.running, names)
    cluster.writable(guest)
    del guest.config["lock"]
    guest.node = move.target


def _prepare(cluster: Cluster, guest: Guest, move: Move) -> None:
    """What is refused before anything has happened."""
    if guest.running is not None:
        if move.kind == "lxc" and move.online:
            raise TaskFailed("lxc live migration is currently not implemented")
        if move.kind == "lxc" and not move.restart:
            raise TaskFailed("running container can only be migrated in restart mode")
        if move.kind == "qemu" and not move.online:
            raise TaskFailed("can't migrate running VM without --online")
    if move.kind == "qemu" and (blocking := local_resources(guest)):
        raise TaskFailed(f"can't migrate VM which uses local devices: {', '.join(blocking)}")
    for disk in disks.disks(move.kind, guest.config, unused=True):
        if move.kind == "lxc" and not disk.is_volume:
            if disk.options.get("shared") != "1":
                raise TaskFailed(f"cannot migrate local {disk.type} mount point '{disk.key}'")
        elif disk.is_volume:
            _check_target(cluster, disk.file, move)


def local_resources(guest: Guest) -> list[str]:
    """Settings that tie a machine to its node (PVE::QemuMigrate::Helpers, check_local_resources)."""
    found = []
    for key in sorted(guest.config):
        value = guest.config[key]
        bound = (
            (re.fullmatch(r"usb\d+", key) and not value.startswith("spice") and "mapping=" not in value)
            or (re.fullmatch(r"hostpci\d+", key) and "mapping=" not in value)
            or (re.fullmatch(r"serial\d+", key) and value != "socket")
            or re.fullmatch(r"parallel\d+|ivshmem", key)
        )
        if bound:
            found.append(key)
    return found


def _check_target(cluster: Cluster, volid: str, move: Move) -> None:
    source = storages.usable(cluster, storages.storage_of(volid), move.node)
    name = source.storage if source.shared else move.storages.target(source.storage)
    content = "rootdir" if move.kind == "lxc" else storages.parse(cluster, volid).content
    if move.kind == "lxc" and content not in storages.content_of(source):
        raise TaskFailed(f"content type '{content}' is not available on storage '{source.storage}'")
    target = storages.usable(cluster, name, move.target)
    if content not in storages.content_of(target):
        raise TaskFailed(f"{volid}: content type '{content}' is not available on storage '{name}'")


async def _volumes(cluster: Cluster, guest: Guest, move: Move, say: Say) -> dict[str, str]:
    """Find the local volumes, refuse what cannot move, copy the rest; old ids → new ids."""
    local, troubles = _scan(cluster, guest, move, say)
    _announce(move.kind, local, say)
    word = "volume" if move.kind == "lxc" else "disk"
    for volid in sorted(troubles):
        say(f"can't migrate local {word} '{volid}': {troubles[volid]}", "WARN: ")
    if troubles:
        text = f"can't migrate {guestlock.WORD[move.kind]} - check log"
        raise TaskFailed(text if move.kind == "lxc" else f"Problem found while scanning volumes - {text}")
    if move.kind == "qemu" and local:
        say("copying local disk images")
    names: dict[str, str] = {}
    for volid in sorted(local):
        try:
            names[volid] = await _copy(cluster, move, volid, local[volid].target)
        except (ApiError, TaskFailed) as error:
            for made in names.values():
                cluster.volumes.pop(storages.key(cluster, move.target, made), None)
            where = local[volid].target
            raise TaskFailed(f"storage migration for '{volid}' to storage '{where}' failed - {error}") from error
        say(f"successfully imported '{names[volid]}'")
        say(f"volume '{volid}' is '{names[volid]}' on the target")
    for volid in names:
        cluster.volumes.pop(storages.key(cluster, move.node, volid), None)
    return names


def _scan(cluster: Cluster, guest: Guest, move: Move, say: Say) -> tuple[dict[str, _Local], dict[str, str]]:
    local: dict[str, _Local] = {}
    troubles: dict[str, str] = {}
    if move.kind == "lxc":
        for volume in storages.owned(cluster, move.node, move.vmid):
            storage = storages.lookup(cluster, storages.storage_of(volume.volid))
            if not storage.shared:
                local[volume.volid] = _Local("storage", move.storages.target(storage.storage))
    sections = [(snap.config, snap.vmstate) for snap in guest.snapshots.values()]
    for config, vmstate in sections:
        for volid in [disk.file for disk in disks.volumes(move.kind, config)] + ([vmstate] if vmstate else []):
            _note(cluster, move, volid, "snapshot", local, troubles, running=guest.running is not None)
    for disk in disks.disks(move.kind, guest.config, unused=True):
        if disk.file in ("none", "cdrom") or not disk.file:
            continue
        if disk.is_cdrom and not disk.is_cloudinit:
            if disk.is_volume and not storages.lookup(cluster, storages.storage_of(disk.file)).shared:
                troubles[disk.file] = "local cdrom image"
        elif disk.is_volume:
            ref = "unused" if disk.key.startswith("unused") else "generated" if disk.is_cloudinit else "attached"
            if move.kind == "lxc" and storages.lookup(cluster, storages.storage_of(disk.file)).shared:
                say(f"volume '{disk.file}' is on shared storage '{storages.storage_of(disk.file)}'")
            _note(cluster, move, disk.file, ref, local, troubles, running=guest.running is not None)
    return local, troubles


def _note(
    cluster: Cluster,
    move: Move,
    volid: str,
    ref: str,
    local: dict[str, _Local],
    troubles: dict[str, str],
    *,
    running: bool,
) -> None:
    if not is_volid(volid):
        return
    storage, name = storages.lookup(cluster, storages.storage_of(volid)), storages.parse(cluster, volid)
    if storage.shared:
        return
    was_in_snapshot = volid in local and local[volid].snapshot
    local[volid] = _Local(ref, move.storages.target(storage.storage), snapshot=was_in_snapshot or ref == "snapshot")
    trouble = ""
    if name.vmid != move.vmid:
        trouble = f"owned by other {'guest' if move.kind == 'lxc' else 'VM'} (owner = {name.vmid})"
    elif ref == "snapshot" and not _carries_snapshots(move.kind, storage.type, name.format):
        trouble = "non-migratable snapshot exists"
    elif ref == "snapshot" and move.kind == "qemu" and running and name.content == "images" and "-state-" not in volid:
        trouble = "online storage migration not possible if non-replicated snapshot exists"
    elif storage.type not in MOVABLE[move.kind]:
        trouble = f"storage type '{storage.type}' not supported"
    elif name.basename:
        trouble = f"clone of '{name.basename}'"
    elif name.base and storages.base_in_use(cluster, move.node, volid):
        trouble = "referenced by linked clone(s)"
    elif ref == "attached" and move.kind == "qemu" and running and not move.with_local_disks:
        trouble = "can't live migrate attached local disks without with-local-disks option"
    if trouble:
        troubles.setdefault(volid, trouble)


def _carries_snapshots(kind: Kind, storage_type: str, form: str) -> bool:
    if kind == "lxc":
        return storage_type in ("zfspool", "btrfs")
    return storage_type == "zfspool" or (storage_type == "btrfs" and form == "raw") or form == "qcow2"


def _announce(kind: Kind, local: dict[str, _Local], say: Say) -> None:
    lxc = {"storage": "via storage", "snapshot": "referenced by snapshot(s)"}
    for volid in sorted(local):
        ref = local[volid].ref
        if kind == "lxc":
            say(f"found local volume '{volid}' ({lxc.get(ref, 'in current VM config')})")
        elif ref == "generated":
            say(f"found generated disk '{volid}' (in current VM config)")
        else:
            say(f"found local disk '{volid}' ({'referenced by snapshot(s)' if ref == 'snapshot' else ref})")


async def _copy(cluster: Cluster, move: Move, volid: str, where: str) -> str:
    """Bring one volume to the target node under its own name, or the next free one where that is taken."""
    volume, target = storages.get(cluster, move.node, volid), storages.lookup(cluster, where)
    kind, name = storages.type_of(target), storages.parse(cluster, volid)
    if volume.format not in kind.formats:
        source = storages.lookup(cluster, storages.storage_of(volid))
        raise TaskFailed(f"cannot migrate from storage type '{source.type}' to '{target.type}'")
    stem = name.name.removesuffix(f".{name.format}")
    own = f"{stem}.{volume.format}" if kind.files else stem
    new = f"{where}:{image_volname(kind, move.vmid, own)}"
    await cluster.clock.sleep(storages.COPY_SECONDS + volume.used / COPY_BYTES_PER_SECOND)
    if storages.find(cluster, move.target, new):
        new = await storages.alloc(cluster, where, move.target, move.vmid, volume.size, volume.format)
    copied = storages.add(cluster, move.target, new, volume.size, volume.format, move.vmid)
    copied.used, copied.snapshots, copied.extra = volume.used, dict(volume.snapshots), dict(volume.extra)
    return new
