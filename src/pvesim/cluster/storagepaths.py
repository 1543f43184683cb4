"""Where volumes lie on the node and how full a storage is (the plugins' path and status)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvesim.cluster.storagetypes import FILE_CONTENT, VolName

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, Storage

SYSTEM_BYTES = 3 * 2**30  # what a directory storage's file system holds besides volumes
EMPTY_BYTES = 6 * 2**20  # what an empty pool takes for itself


@dataclass(frozen=True)
class Usage:
    """Bytes of a storage on one node."""

    total: int
    used: int
    avail: int


def root(storage: Storage) -> str:
    """The directory of a file based storage."""
    return str(storage.options.get("path") or f"/mnt/pve/{storage.storage}")


def directory(storage: Storage, content: str) -> str:
    """Where a file based storage keeps a content type; `content-dirs` can move it (get_subdir)."""
    moved = dict(
        pair.split("=", 1) for pair in str(storage.options.get("content-dirs") or "").split(",") if "=" in pair
    )
    usual = FILE_CONTENT[content][1] if content in FILE_CONTENT else "images"
    return f"{root(storage)}/{moved.get(content, usual).strip('/')}"


def image_path(storage: Storage, name: VolName) -> str:
    """The path of a volume on its node (PVE::Storage::path)."""
    options = storage.options
    if storage.type in ("zfspool", "zfs"):
        pool = options.get("pool", storage.storage)
        if name.format == "subvol":
            return f"{options.get('mountpoint') or '/' + str(pool)}/{name.name}"
        return f"/dev/zvol/{pool}/{name.name}"
    if storage.type in ("lvm", "lvmthin"):
        return f"/dev/{options.get('vgname', storage.storage)}/{name.name}"
    if storage.type == "rbd":
        return f"rbd:{options.get('pool', 'rbd')}/{name.name}"
    if storage.type == "pbs":
        return f"{options.get('username', 'root@pam')}@{options.get('server')}:{options.get('datastore')}:{name.name}"
    if name.content != "images":
        return f"{directory(storage, name.content)}/{name.name}"
    below = f"{directory(storage, 'images')}/{name.vmid}/{name.name}"
    return below.removesuffix(".raw") + "/disk.raw" if storage.type == "btrfs" and name.format == "raw" else below


def usage(cluster: Cluster, storage: Storage, node: str) -> Usage:
    """Total, used and available bytes: a base that every file system has, and what the volumes occupy."""
    where = "" if storage.shared else node
    prefix = f"{storage.storage}:"
    held = sum(
        max(volume.used, volume.size if volume.content not in ("images", "rootdir") else 0)
        for (at, volid), volume in cluster.volumes.items()
        if at == where and volid.startswith(prefix)
    )
    used = min(storage.total, held + (SYSTEM_BYTES if storage.type == "dir" else EMPTY_BYTES))
    return Usage(storage.total, used, storage.total - used)
