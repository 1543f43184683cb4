"""What the text of a disk or mount says: its volume, storage, format, kind; and how a new one is asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from innkeeper.model.units import GiB
from innkeeper.settings import propstring

_VOLUME = re.compile(r"([A-Za-z][A-Za-z0-9._-]*):(.+)")
_CLOUD_INIT = re.compile(r"[:/](?:vm-\d+-)?cloudinit(?:\.(?:raw|qcow2|vmdk))?$")
_FORMATS = ("raw", "qcow2", "vmdk", "qcow", "qed", "cloop")

FIXED_SIZE = frozenset({"efidisk0", "tpmstate0"})
"""Proxmox decides how large these are; a size in the request is ignored."""

ROOT_DISK = 4 * GiB
"""What Proxmox gives a container that names no size (PVE::API2::LXC, create_vm)."""

EXTENT = 4 << 20
"""LVM hands out whole extents of this many bytes, so that a volume may be that much larger than asked for."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk or mount. `slot` is None for a mount that pairs by its path or takes the lowest free slot.

    `storage` is what the manifest names (a new volume without one goes to `Desired.storage`); `size` in bytes; `parts`
    are further sub-keys (`backup`, `cache`); `source` is a bind mount's directory; `import_from` counts at creation
    only; `cloud_init` makes it the cloud-init drive, wherever that is attached unless `pinned`.
    """

    slot: str | None
    path: str = ""
    storage: str | None = None
    size: int | None = None
    parts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    format: str | None = None
    source: str | None = None
    import_from: str | None = None
    cloud_init: bool = False
    pinned: bool = True
    where: str = ""
    """Where it stands in the manifest (`mounts.0`), for diagnostics."""


def storage_of(volume: str) -> str | None:
    """The storage of a volume id; None for a path, `none`, `cdrom`."""
    match = _VOLUME.fullmatch(volume)
    return match[1] if match else None


def is_cloud_init(volume: str) -> bool:
    return _CLOUD_INIT.search(volume) is not None


def is_cd(parts: Mapping[str, str]) -> bool:
    """A CD drive (a cloud-init drive is one, too)."""
    return parts.get("media") == "cdrom" or parts.get("file") in ("none", "cdrom")


def disk_format(parts: Mapping[str, str]) -> str:
    """`format`, else what the volume's name ends with, else raw (block storages know nothing else)."""
    ending = parts.get("file", "").rpartition(".")[2]
    return parts.get("format") or (ending if ending in _FORMATS else "raw")


def gib(size: int) -> str:
    """Bytes in the unit that a request for a new volume takes: GiB, with as many decimals as it needs."""
    return f"{(Decimal(size) / GiB).normalize():f}"


def natural(name: str) -> tuple[str, int]:
    """Sort key that puts net2 before net10."""
    match = re.fullmatch(r"(.*?)(\d*)", name)
    assert match
    return match[1], int(match[2] or -1)


def missing(volume: Volume, default: str | None) -> tuple[str, str, str] | None:
    """(code, summary, advice) when a new volume cannot be asked for; None: it can."""
    what = volume.path or volume.slot or "the volume"
    if volume.source is None and not (volume.storage or default):
        return "NeedsStorage", f"{what} needs a storage", "name storage, or defaults.storage of the Cluster"
    sized = volume.source or volume.size or volume.import_from or volume.cloud_init
    sized = sized or volume.slot in FIXED_SIZE or volume.slot == "rootfs"
    return None if sized else ("NeedsSize", f"{what} needs a size", "write size: 8Gi")


def request(kind: str, volume: Volume, slot: str, default: str | None) -> str:
    """The value that makes a new volume (`STORAGE:GiB,…`); call it where `missing` says nothing.

    A new EFI disk is a 4m one and a new TPM is 2.0, as what is installed today expects; both are unchangeable later.
    """
    storage = volume.storage or default
    if volume.cloud_init:
        return f"{storage}:cloudinit"
    parts = dict(volume.parts)
    if kind == "Container":
        new = f"{storage}:{gib(volume.size or ROOT_DISK)}"
        return propstring.render({**parts, "volume": volume.source or new}, "volume")
    size = "1" if slot in FIXED_SIZE else gib(volume.size or 0)
    if volume.import_from:
        size, parts["import-from"] = "0", volume.import_from
    if volume.format:
        parts["format"] = volume.format
    if slot in FIXED_SIZE:
        parts |= {"efitype": "4m", "pre-enrolled-keys": "0"} if slot == "efidisk0" else {"version": "v2.0"}
    return propstring.render({**parts, "file": f"{storage}:{size}"}, "file")
