"""Volumes on storages: which storage a node may use; making, freeing, growing, copying, snapshotting disk images.

The rules and texts are those of PVE::Storage (storage_check_enabled, vdisk_alloc, vdisk_free, vdisk_clone,
vdisk_create_base, volume_*) and its plugins. Sizes are bytes. A storage that is not shared has volumes per node.
Whatever changes the set of volumes holds the storage's lock as Proxmox does: the node's for a local storage, the
cluster's for a shared one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from pvesim.cluster import access, storagepaths
from pvesim.cluster.storagetypes import (
    TYPES,
    StorageType,
    VolName,
    base_name,
    free_disk_name,
    has_feature,
    image_volname,
    is_volid,
    parse_volname,
    split_volid,
)
from pvesim.errors import ApiError, TaskFailed

if TYPE_CHECKING:
    from pvesim.cluster.access import Auth
    from pvesim.cluster.state import Cluster, Storage, Volume

LOCK_TIMEOUT = 10
ALLOC_SECONDS = 0.1  # what making or removing a disk image takes
COPY_SECONDS = 0.5  # what every copy takes, however small
COPY_BYTES_PER_SECOND = 300 * 2**20
DEFAULT_USED = {"raw": 4096, "qcow2": 401408, "vmdk": 65536, "subvol": 16384}


def lookup(cluster: Cluster, storage: str) -> Storage:
    """The storage, or ApiError 500 (PVE::Storage::storage_config)."""
    if not storage:
        raise ApiError(500, "no storage ID specified")
    found = cluster.storages.get(storage)
    if found is None:
        raise ApiError(500, f"storage '{storage}' does not exist")
    return found


def on_node(cluster: Cluster, storage: str, node: str) -> Storage:
    """The storage where `nodes` lets `node` use it, or ApiError 500 (storage_check_node)."""
    found = lookup(cluster, storage)
    if not found.on(node):
        raise ApiError(500, f"storage '{storage}' is not available on node '{node}'")
    return found


def usable(cluster: Cluster, storage: str, node: str) -> Storage:
    """The storage where it is enabled and available on `node`, or ApiError 500 (storage_check_enabled)."""
    if not lookup(cluster, storage).enabled:
        raise ApiError(500, f"storage '{storage}' is disabled")
    return on_node(cluster, storage, node)


def type_of(storage: Storage) -> StorageType:
    return TYPES[storage.type]


def content_of(storage: Storage) -> frozenset[str]:
    """The content types that are switched on: the configured ones, else the type's default."""
    return storage.content or frozenset(type_of(storage).default_content)


def default_format(storage: Storage) -> str:
    """`raw` unless the storage says otherwise (PVE::Storage::Plugin::default_format)."""
    wanted = str(storage.options.get("format") or "")
    formats = type_of(storage).formats
    return wanted if wanted in formats else formats[0]


def storage_of(volid: str) -> str:
    """The storage's name in a volume id."""
    return split_volid(volid)[0]


def parse(cluster: Cluster, volid: str) -> VolName:
    """The parts of the volume's name by the rules of its storage, or ApiError 500."""
    storage, volname = split_volid(volid)
    return parse_volname(type_of(lookup(cluster, storage)), volname)


def key(cluster: Cluster, node: str, volid: str) -> tuple[str, str]:
    """Where `cluster.volumes` keeps it."""
    storage = cluster.storages.get(volid.partition(":")[0])
    return ("" if storage and storage.shared else node, volid)


def find(cluster: Cluster, node: str, volid: str) -> Volume | None:
    return cluster.volumes.get(key(cluster, node, volid))


def get(cluster: Cluster, node: str, volid: str) -> Volume:
    """The volume, or ApiError 500 as qemu-img and the plugins end when the file is missing."""
    found = find(cluster, node, volid)
    if found is None:
        raise ApiError(500, f"volume '{volid}' does not exist")
    return found


def on_storage(cluster: Cluster, node: str, storage: str) -> list[Volume]:
    """All volumes of that storage as the node sees them."""
    where = "" if lookup(cluster, storage).shared else node
    prefix = f"{storage}:"
    return [volume for (at, volid), volume in cluster.volumes.items() if at == where and volid.startswith(prefix)]


def owned(cluster: Cluster, node: str, vmid: int, storage: str | None = None) -> list[Volume]:
    """The disk images of a guest on all (or one) usable storages, as `vdisk_list` finds them, sorted by id."""
    names = [storage] if storage else [s.storage for s in cluster.storages.values() if s.enabled and s.on(node)]
    found = [
        volume
        for name in names
        for volume in on_storage(cluster, node, name)
        if volume.vmid == vmid and volume.content in ("images", "rootdir")
    ]
    return sorted(found, key=lambda volume: volume.volid.lower())


def check_access(cluster: Cluster, auth: Auth, vmid: int | None, volid: str, content: str | None = None) -> None:
    """ApiError unless the caller may read the volume for guest `vmid` (PVE::Storage::check_volume_access)."""
    if not is_volid(volid):
        if not auth.is_root:
            raise ApiError(500, "Only root can pass arbitrary filesystem paths.")
        return
    volume, where = parse(cluster, volid), f"/storage/{storage_of(volid)}"
    if content and volume.content != content and not (content == "rootdir" and volume.content == "images"):
        raise ApiError(500, f"unable to use volume {volid} - content type needs to be '{content}'")
    if access.allowed(cluster, auth, where, ["Datastore.Allocate"]):
        return
    if volume.content in ("iso", "vztmpl", "import"):
        access.check(cluster, auth, where, ["Datastore.AllocateSpace", "Datastore.Audit"], any_of=True)
    elif volume.vmid is not None and volume.vmid == vmid:
        return
    elif volume.content == "backup" and volume.vmid:
        access.check(cluster, auth, where, ["Datastore.AllocateSpace"])
        access.check(cluster, auth, f"/vms/{volume.vmid}", ["VM.Backup"])
    elif volume.content in ("images", "rootdir") and volume.vmid:
        access.check(cluster, auth, where, ["Datastore.Audit"])
        access.check(cluster, auth, f"/vms/{volume.vmid}", ["VM.Config.Disk"])
    else:
        raise ApiError(500, f"missing privileges to access {volid}")


def locked(cluster: Cluster, storage: Storage, node: str) -> AbstractAsyncContextManager[None]:
    """Hold the storage's lock for allocation (PVE::Storage::Plugin::cluster_lock_storage)."""
    if storage.shared:
        return cluster.locks.cfs(f"storage-{storage.storage}", LOCK_TIMEOUT)
    return cluster.locks.file(node, f"/var/lock/pve-manager/pve-storage-{storage.storage}", LOCK_TIMEOUT)


async def alloc(
    cluster: Cluster,
    storage: str,
    node: str,
    vmid: int,
    size: int,
    format: str | None = None,  # noqa: A002 - Proxmox's word
    *,
    name: str | None = None,
    log: Callable[[str], None] | None = None,
) -> str:
    """Make a disk image of `size` bytes (0 for an unsized subvol) and return its volume id (vdisk_alloc).

    `name` is the file name, default the guest's next free `vm-VMID-disk-N`. Errors: ApiError 500 for a storage that
    is missing, disabled or not on this node, an unsupported format, a name that is taken or wrong, a full LVM group.
    """
    found = usable(cluster, storage, node)
    kind, form = type_of(found), format or default_format(found)
    async with locked(cluster, found, node):
        # btrfs leaves what is not its own to the directory plugin (PVE::Storage::BTRFSPlugin, alloc_image)
        plain_file = kind.name == "btrfs" and form in ("qcow2", "vmdk")
        if form not in kind.formats and not plain_file:
            raise ApiError(500, f"unsupported format '{form}'")
        volname = image_volname(kind, vmid, name or _free_name(cluster, found, node, vmid, form))
        if name:
            _check_name(kind, vmid, name, form)
        volid = f"{storage}:{volname}"
        path = storagepaths.image_path(found, parse_volname(kind, volname))
        if find(cluster, node, volid):
            raise ApiError(500, f"disk image '{path}' already exists")
        if form == "subvol" and size and kind.name == "btrfs":
            raise ApiError(500, "btrfs quotas are currently not supported, use an unsized subvolume or a raw file")
        if form == "subvol" and size and kind.files:
            raise ApiError(500, "storage does not support subvol quotas")
        if kind.name == "lvm":
            free_kib = (storagepaths.usage(cluster, found, node).avail) // 1024
            if free_kib < size // 1024:
                raise ApiError(500, f"not enough free space ({free_kib} < {size // 1024})")
        await cluster.clock.sleep(ALLOC_SECONDS)
        if log and kind.files and kind.name != "btrfs" and form != "subvol":
            extra = "" if form == "raw" else " cluster_size=65536 extended_l2=off"
            how = "off" if form == "raw" else "metadata compression_type=zlib"
            sizes = f"size={size} preallocation={how}" if form == "raw" else f"preallocation={how} size={size}"
            log(f"Formatting '{path}', fmt={form}{extra} {sizes}")
        add(cluster, node, volid, size, form, vmid)
    return volid


def add(
    cluster: Cluster, node: str, volid: str, size: int, form: str, vmid: int | None, *, parent: str | None = None
) -> Volume:
    """Put a disk image into the books, without any check."""
    from pvesim.cluster.state import Volume

    used = size if cluster.storages[storage_of(volid)].type == "lvm" else min(size, DEFAULT_USED.get(form, 4096))
    volume = Volume(volid, key(cluster, node, volid)[0], size, form, "images", vmid, int(cluster.clock.now()), used)
    volume.parent = parent
    cluster.volumes[key(cluster, node, volid)] = volume
    return volume


async def free(cluster: Cluster, node: str, volid: str) -> None:
    """Remove the volume and its snapshots (vdisk_free); a disk image that is missing already is no error.

    Errors: ApiError 500 where a linked clone still needs the base image, or a backup is protected.
    """
    found = usable(cluster, storage_of(volid), node)
    async with locked(cluster, found, node):
        name = parse(cluster, volid)
        if name.base and base_in_use(cluster, node, volid):
            raise ApiError(500, f"base volume '{split_volid(volid)[1]}' is still in use by linked clones")
        volume = find(cluster, node, volid)
        if volume and volume.protected:
            raise ApiError(500, f"cannot remove protected volume '{split_volid(volid)[1]}' on '{found.storage}'")
        await cluster.clock.sleep(ALLOC_SECONDS)
        cluster.volumes.pop(key(cluster, node, volid), None)


def base_in_use(cluster: Cluster, node: str, volid: str) -> bool:
    """Whether a volume is linked to this base image (volume_is_base_and_used; LVM-thin and btrfs never tell)."""
    base = parse(cluster, volid)
    names = (parse(cluster, other.volid) for other in on_storage(cluster, node, storage_of(volid)) if other.vmid)
    return any(name.basename == base.name and name.basevmid == base.vmid for name in names)


def resize(cluster: Cluster, node: str, volid: str, size: int) -> None:
    """Set the size in bytes, rounded up to KiB (volume_resize); snapshots are no hindrance to growing."""
    volume = get(cluster, node, volid)
    volume.size = -(-size // 1024) * 1024


def feature(
    cluster: Cluster, name: str, volid: str, *, snapshot: bool = False, targets: Collection[str] | None = None
) -> bool:
    """Whether the volume can `snapshot`, `clone`, `copy`, `template`, `rename` (volume_has_feature); a path never."""
    if not is_volid(volid):
        return False
    kind = type_of(lookup(cluster, storage_of(volid)))
    return has_feature(kind, name, parse(cluster, volid), snapshot=snapshot, targets=targets)


def snapshot(cluster: Cluster, node: str, volid: str, name: str) -> None:
    """Take a snapshot of one volume (volume_snapshot)."""
    if not feature(cluster, "snapshot", volid):
        raise TaskFailed(f"can't snapshot this image format ({parse(cluster, volid).format})")
    volume = get(cluster, node, volid)
    if name in volume.snapshots:
        raise TaskFailed(f"snapshot '{name}' of volume '{volid}' exists already")
    volume.snapshots[name] = volume.size


def snapshot_delete(cluster: Cluster, node: str, volid: str, name: str) -> None:
    """Drop a snapshot of one volume (volume_snapshot_delete)."""
    volume = get(cluster, node, volid)
    if name not in volume.snapshots:
        raise TaskFailed(f"could not delete snapshot '{name}' of '{volid}': it does not exist")
    del volume.snapshots[name]


def check_rollback(cluster: Cluster, node: str, volid: str, name: str) -> None:
    """TaskFailed where the volume cannot go back: ZFS only to its newest snapshot (volume_rollback_is_possible)."""
    volume = get(cluster, node, volid)
    if name not in volume.snapshots:
        raise TaskFailed(f"can't rollback, snapshot '{name}' does not exist on '{volid}'")
    if lookup(cluster, storage_of(volid)).type in ("zfspool", "zfs") and list(volume.snapshots)[-1] != name:
        raise TaskFailed(f"can't rollback, '{name}' is not most recent snapshot on '{volid}'")


def rollback(cluster: Cluster, node: str, volid: str, name: str) -> None:
    """Take the volume back to a snapshot (volume_snapshot_rollback)."""
    check_rollback(cluster, node, volid, name)
    volume = get(cluster, node, volid)
    volume.size = volume.snapshots[name]


async def clone_linked(cluster: Cluster, node: str, volid: str, vmid: int, *, snapname: str | None = None) -> str:
    """A linked clone for guest `vmid` (vdisk_clone): an own id that, by type, names its base."""
    found = usable(cluster, storage_of(volid), node)
    kind, source, name = type_of(found), get(cluster, node, volid), parse(cluster, volid)
    if not feature(cluster, "clone", volid, snapshot=bool(snapname)):
        raise ApiError(500, "clone_image only works on base images")
    async with locked(cluster, found, node):
        form = "qcow2" if kind.files and kind.name != "btrfs" else source.format
        volname = image_volname(kind, vmid, _free_name(cluster, found, node, vmid, form), name)
        await cluster.clock.sleep(ALLOC_SECONDS)
        linked = f"{found.storage}:{volname}"
        parent = f"../{name.vmid}/{name.name}" if kind.files and kind.name != "btrfs" else None
        size = source.snapshots[snapname] if snapname else source.size
        await cluster.backend.copy(source, add(cluster, node, linked, size, form, vmid, parent=parent), snapname)
    return linked


async def make_base(cluster: Cluster, node: str, volid: str) -> str:
    """Turn a disk image into a base image and return its new id (vdisk_create_base)."""
    found = usable(cluster, storage_of(volid), node)
    name, kind = parse(cluster, volid), type_of(found)
    if name.base:
        raise ApiError(500, "create_base not possible with base image")
    async with locked(cluster, found, node):
        own = base_name(kind, name.name)
        volname = split_volid(volid)[1].removesuffix(name.name) + own
        renamed = f"{found.storage}:{volname}"
        rename(cluster, node, volid, renamed)
    return renamed


def rename(cluster: Cluster, node: str, volid: str, new: str) -> Volume:
    """Give a volume another id on its storage (rename_volume); its owner follows from the new name."""
    volume = cluster.volumes.pop(key(cluster, node, volid))
    volume.volid, volume.vmid = new, parse(cluster, new).vmid
    cluster.volumes[key(cluster, node, new)] = volume
    return volume


async def reassign(cluster: Cluster, node: str, volid: str, vmid: int) -> str:
    """Hand a disk image to another guest under that guest's next free name (rename_volume)."""
    found = usable(cluster, storage_of(volid), node)
    async with locked(cluster, found, node):
        volume = get(cluster, node, volid)
        name = _free_name(cluster, found, node, vmid, volume.format)
        new = f"{found.storage}:{image_volname(type_of(found), vmid, name)}"
        rename(cluster, node, volid, new)
    return new


async def copy_data(
    cluster: Cluster, node: str, source: str, target: str, *, to: str | None = None, snapname: str | None = None
) -> None:
    """Take the time that copying needs, and carry over what the target holds; `to` is the target's node."""
    old, new = get(cluster, node, source), get(cluster, to or node, target)
    await cluster.clock.sleep(COPY_SECONDS + old.used / COPY_BYTES_PER_SECOND)
    new.used = old.used
    await cluster.backend.copy(old, new, snapname)


def _free_name(cluster: Cluster, storage: Storage, node: str, vmid: int, form: str) -> str:
    kind = type_of(storage)
    taken = [parse(cluster, volume.volid).name for volume in owned(cluster, node, vmid, storage.storage)]
    return free_disk_name(kind, taken, vmid, form)


def _check_name(kind: StorageType, vmid: int, name: str, form: str) -> None:
    if kind.files:
        named = parse_volname(kind, f"{vmid}/{name}").format
        if named != form:
            raise ApiError(500, f"illegal name '{name}' - wrong extension for format ('{named} != '{form}')")
    else:
        prefix = "subvol" if form == "subvol" else "vm"
        if not name.startswith(f"{prefix}-{vmid}-"):
            raise ApiError(500, f"illegal name '{name}' - should be '{prefix}-{vmid}-*'")
