"""The volumes that a guest's config refers to, the same way for both kinds.

A container's are `rootfs` and `mpN` (PVE::LXC::Config, foreach_volume), a virtual machine's its drives
(PVE::QemuConfig, foreach_volume); `unusedN` are volumes that nothing uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pvesim.cluster import storage as storages
from pvesim.cluster.storagetypes import is_volid
from pvesim.errors import ApiError

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, Config, Guest, Kind

_KEYS = {
    "lxc": re.compile(r"rootfs|mp\d+"),
    "qemu": re.compile(r"(?:ide|scsi|virtio|sata|efidisk|tpmstate)\d+"),
}
_UNUSED = re.compile(r"unused\d+")
MAX_UNUSED = 256
MOUNTPOINT_FORMATS = ("raw", "subvol")  # what a container can have its file systems in
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class Disk:
    """One slot: `file` is a volume id, a path, `none` or `cdrom`; the rest of the property string in `options`."""

    key: str
    file: str
    options: dict[str, str]

    @property
    def is_volume(self) -> bool:
        return is_volid(self.file)

    @property
    def type(self) -> str:
        """`volume`, `device` or `bind`, as a mount point calls it (PVE::LXC::Config, classify_mountpoint)."""
        return "volume" if self.is_volume else "device" if self.file.startswith("/dev/") else "bind"

    @property
    def is_cdrom(self) -> bool:
        """A cloud-init drive is one too."""
        return self.options.get("media") == "cdrom"

    @property
    def is_cloudinit(self) -> bool:
        return re.search(r"[:/](?:vm-\d+-)?cloudinit(?:\.\w+)?$", self.file) is not None

    @property
    def size(self) -> int | None:
        """Bytes, as far as the config says."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", self.options.get("size", ""))
        return int(float(found[1]) * UNITS[found[2]]) if found else None

    def text(self, file: str | None = None, **changes: str | None) -> str:
        """As it stands in the config file, with another file and some options set or (None) dropped."""
        options = {name: value for name, value in (self.options | changes).items() if value is not None}
        return ",".join([file or self.file, *(f"{name}={value}" for name, value in options.items())])


def parse(key: str, text: str) -> Disk:
    """Take the text of one slot apart; `volume=` and `file=` are the name of the first part."""
    parts = [part.partition("=") for part in text.split(",") if part]
    first = next((i for i, (name, eq, _) in enumerate(parts) if not eq or name in ("file", "volume")), None)
    file = "" if first is None else parts[first][2] or parts[first][0]
    return Disk(key, file, {name: value for i, (name, _, value) in enumerate(parts) if i != first})


def disks(kind: Kind, config: Config, *, unused: bool = False) -> list[Disk]:
    """All slots of a section in the order of their keys; `unused` adds `unusedN`."""
    keys = [key for key in config if _KEYS[kind].fullmatch(key) or (unused and _UNUSED.fullmatch(key))]
    return [parse(key, config[key]) for key in sorted(keys)]


def volumes(kind: Kind, config: Config, *, unused: bool = False) -> list[Disk]:
    """The slots that hold a volume of a storage; CD-ROM images do not count."""
    return [disk for disk in disks(kind, config, unused=unused) if disk.is_volume and not _is_image(disk)]


def _is_image(disk: Disk) -> bool:
    return disk.is_cdrom and not disk.is_cloudinit


def snapshotted(kind: Kind, config: Config) -> list[Disk]:
    """The slots that a snapshot has to do with: of a machine, no CD-ROM and no cloud-init drive."""
    return [disk for disk in disks(kind, config) if not (kind == "qemu" and disk.is_cdrom)]


def can(cluster: Cluster, feature: str, kind: Kind, config: Config, *, snapshot: bool = False) -> bool:
    """Whether every volume of the section has a feature (PVE::LXC::Config and PVE::QemuConfig, has_feature)."""
    targets = MOUNTPOINT_FORMATS if kind == "lxc" and feature in ("copy", "clone") else None
    return all(
        storages.feature(cluster, feature, disk.file, snapshot=snapshot, targets=targets)
        for disk in snapshotted(kind, config)
    )


def used_in_snapshots(guest: Guest, volid: str) -> bool:
    """Whether a snapshot refers to the volume (is_volume_in_use_by_snapshots)."""
    return any(
        disk.file == volid for snap in guest.snapshots.values() for disk in disks(guest.kind, snap.config, unused=True)
    )


def add_unused(guest: Guest, volids: Iterable[str]) -> list[str]:
    """Keep volumes as `unusedN` unless something of the current config has them; returns the keys that are new.

    ApiError 500 when there is no room (PVE::AbstractConfig, add_unused_volume).
    """
    added = []
    held = {disk.file for disk in disks(guest.kind, guest.config, unused=True)}
    for volid in volids:
        if volid in held:
            continue
        free = next((n for n in range(MAX_UNUSED) if f"unused{n}" not in guest.config), None)
        if free is None:
            raise ApiError(500, "Too many unused volumes - please delete them first.")
        guest.config[f"unused{free}"] = volid
        held.add(volid)
        added.append(f"unused{free}")
    return added


def replace_volids(kind: Kind, config: Config, names: dict[str, str]) -> None:
    """Write new volume ids for old ones into a section (PVE::AbstractConfig, update_volume_ids)."""
    for disk in disks(kind, config, unused=True):
        if disk.file in names:
            config[disk.key] = disk.text(names[disk.file])


async def alloc_mountpoint(
    cluster: Cluster, storage: str, node: str, vmid: int, size: int, log: Callable[[str], None] | None = None
) -> str:
    """A volume for a container's file system, formatted by the storage's type (PVE::LXC, alloc_disk); size in bytes.

    Directories and btrfs give an image file, or a directory for size 0; ZFS a data set, block storages a device.
    """
    found = storages.lookup(cluster, storage)
    holds = "rootdir" in storages.content_of(found)
    if found.type == "zfspool" or (holds and storages.type_of(found).files and not size):
        form = "subvol"
    elif holds:
        form = "raw"
    else:
        raise ApiError(500, f"content type 'rootdir' is not available or configured on storage '{storage}'")
    return await storages.alloc(cluster, storage, node, vmid, size, form, log=log)
