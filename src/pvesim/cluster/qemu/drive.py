"""Drives of a virtual machine: which slots there are, and what one slot's text says (PVE::QemuServer::Drive)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from pvesim.cluster.qemu import properties

SLOTS = {"ide": 4, "scsi": 31, "virtio": 16, "sata": 6}
BOOTABLE = tuple(f"{bus}{number}" for bus, count in SLOTS.items() for number in range(count))
NAMES = (*BOOTABLE, "efidisk0", "tpmstate0")  # the order in which a boot disk is looked for
UNUSED = 256
_NAMES = frozenset(NAMES)
_NEW_DISK = re.compile(r"(?:([^/:\s]+):)?(\d+(?:\.\d+)?)")
_CLOUDINIT = re.compile(r"[:/](?:vm-\d+-)?cloudinit(?:\.(?:raw|qcow2|qcow|qed|vmdk|cloop))?$")
_FLAGS = properties.words("backup detect_zeroes iothread pre-enrolled-keys replicate ro scsiblock shared snapshot ssd")
_ALIASES = {
    "volume": "file",
    "bps_rd_length": "bps_rd_max_length",
    "bps_wr_length": "bps_wr_max_length",
    "iops_rd_length": "iops_rd_max_length",
    "iops_wr_length": "iops_wr_max_length",
}
_NEEDS = {
    "mbps_max": "mbps",
    "mbps_rd_max": "mbps_rd",
    "mbps_wr_max": "mbps_wr",
    "bps_max_length": "mbps_max",
    "bps_rd_max_length": "mbps_rd_max",
    "bps_wr_max_length": "mbps_wr_max",
    "iops_max_length": "iops_max",
    "iops_rd_max_length": "iops_rd_max",
    "iops_wr_max_length": "iops_wr_max",
}
_EXCLUDE = (("mbps", "mbps_rd"), ("mbps", "mbps_wr"), ("iops", "iops_rd"), ("iops", "iops_wr"))


def is_drive(key: str) -> bool:
    """Whether a setting of that name is a drive; `unusedN` is none."""
    return key in _NAMES


@dataclass(frozen=True, slots=True)
class NewDisk:
    """`storage:GiB`, the request for a new volume; `size` in bytes; no storage: the default one."""

    storage: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Drive:
    """One slot: the volume id, path, `none`, `cdrom` or request in `file`; `size` in bytes; the rest in `options`."""

    slot: str
    file: str
    options: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None

    @property
    def is_cloudinit(self) -> bool:
        return _CLOUDINIT.search(self.file) is not None

    @property
    def is_cdrom(self) -> bool:
        """A cloud-init drive counts as one."""
        return self.options.get("media") == "cdrom"

    @property
    def is_disk(self) -> bool:
        """Neither a CD-ROM nor cloud-init: data that must not get lost."""
        return not self.is_cdrom or self.is_cloudinit

    @property
    def storage(self) -> str | None:
        """The storage of a managed volume; None for a path, `none`, `cdrom`."""
        name, colon, _ = self.file.partition(":")
        return name if colon and "/" not in name else None

    @property
    def request(self) -> NewDisk | None:
        found = _NEW_DISK.fullmatch(self.file)
        return NewDisk(found[1], int(float(found[2]) * 2**30)) if found else None

    def with_file(self, file: str, size: int | None) -> Drive:
        return replace(self, file=file, size=size)

    def with_options(self, **options: str | None) -> Drive:
        """Set options, or drop those that are None; `_` in a name stands for `-`."""
        changed = {name.replace("_", "-"): value for name, value in options.items()}
        kept = {name: value for name, value in self.options.items() if name not in changed}
        return replace(self, options=kept | {name: value for name, value in changed.items() if value is not None})

    def text(self) -> str:
        """As it stands in the config file."""
        size = {} if self.size is None else {"size": properties.print_size(self.size)}
        return properties.join({**self.options, **size}, first=[self.file])


def parse(slot: str, text: str) -> Drive | None:
    """The drive, or None where its options contradict each other."""
    parts = properties.split(text, "file")
    options: dict[str, str] = {}
    for raw, value in parts.items():
        name = _ALIASES.get(raw, raw)
        if name in ("bps", "bps_rd", "bps_wr"):
            name, value = f"m{name}", f"{int(value) / 2**20:.3f}"
        options[name] = str(int(properties.flag(value))) if name in _FLAGS else value
    file = options.pop("file", "")
    size_text = options.pop("size", None)
    size = properties.parse_size(size_text) if size_text is not None else None
    if not file or (size_text is not None and size is None) or not _consistent(slot, options):
        return None
    return Drive(slot, file, options, size)


def _consistent(slot: str, options: Mapping[str, str]) -> bool:
    def given(name: str) -> bool:
        return options.get(name, "0") not in ("", "0")

    if any(given(option) and not given(needed) for option, needed in _NEEDS.items()):
        return False
    if any(given(one) and given(other) for one, other in _EXCLUDE):
        return False
    return options.get("media") != "cdrom" or not (
        slot.startswith("virtio") or given("snapshot") or options.get("format")
    )


def drives(config: Mapping[str, str]) -> Iterator[Drive]:
    """All drives of a section, in Proxmox's order; unreadable ones are left out."""
    for slot in NAMES:
        if slot in config and (drive := parse(slot, config[slot])):
            yield drive


def cloudinit_slot(config: Mapping[str, str], besides: str = "") -> str | None:
    """The slot that holds a cloud-init drive (PVE::QemuConfig, has_cloudinit)."""
    return next((drive.slot for drive in drives(config) if drive.is_cloudinit and drive.slot != besides), None)


def unused(config: Mapping[str, str]) -> dict[str, str]:
    """`unusedN` → volume id."""
    return {key: value for key, value in config.items() if re.fullmatch(r"unused\d+", key)}


def uses(config: Mapping[str, str], volid: str, besides: str = "") -> bool:
    """Whether a slot other than `besides` holds this volume (PVE::QemuServer::Drive, is_volume_in_use)."""
    return any(drive.file == volid and not drive.is_cdrom for drive in drives(config) if drive.slot != besides)
