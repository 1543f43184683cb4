"""What each type of storage can hold, how it names volumes, and what can be done with them.

Facts of the storage plugins (PVE::Storage::*Plugin: plugindata, parse_volname, alloc_image, volume_has_feature). Pure:
no state, so that naming and ability can be tested as tables. A volume name is the part of a volume id after the colon.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from pvesim.errors import ApiError

IMAGE_FORMATS = ("raw", "qcow2", "vmdk", "subvol")
BACKUP_NAME = re.compile(r"(?P<name>vzdump-(?P<kind>lxc|openvz|qemu)-(?P<vmid>\d+)-.+)")
BACKUP_EXT = r"(tgz|(?:tar|vma)(?:\.(?:gz|lzo|zst|bz2))?)"
FILE_CONTENT = {  # content type → (directory in the volume name, directory on disk, names that belong there)
    "iso": ("iso", "template/iso", re.compile(r"[^/]+\.(?:iso|img)", re.IGNORECASE)),
    "vztmpl": ("vztmpl", "template/cache", re.compile(r"[^/]+\.tar\.(?:gz|xz|zst|bz2)", re.IGNORECASE)),
    "backup": ("backup", "dump", re.compile(rf"[^/]+\.{BACKUP_EXT}")),
    "snippets": ("snippets", "snippets", re.compile(r"[^/]+")),
    "import": ("import", "import", re.compile(r"[^/]+\.(?:ova|ovf|qcow2|raw|vmdk)")),
}
_ALL = ("raw", "qcow2", "vmdk", "subvol")
_FILES = ("raw", "qcow2", "vmdk")
_ANY = ("raw", "subvol")
Features = dict[str, dict[str, Collection[str]]]  # feature → state (base, current, snap) → formats


@dataclass(frozen=True)
class StorageType:
    """One plugin: `content` it may hold, `default_content`, disk image `formats` (the first is the default)."""

    name: str
    content: tuple[str, ...]
    default_content: tuple[str, ...]
    formats: tuple[str, ...] = ("raw",)
    files: bool = False  # disk images are files below a path: names carry the guest's directory and an extension
    shared: bool = False  # the plugin is shared by nature
    fixed: tuple[str, ...] = ()  # options that `create` needs and `update` must not touch
    options: tuple[str, ...] = ()  # options of this type besides the common ones
    features: Features = field(default_factory=dict)


_DIR_FEATURES: Features = {
    "snapshot": {"current": ("qcow2",), "snap": ("qcow2",)},
    "clone": {"base": _FILES},
    "template": {"current": _ALL},
    "copy": {"base": _FILES, "current": _FILES, "snap": ("qcow2",)},
    "sparseinit": {"base": _FILES, "current": _FILES},
    "rename": {"current": _FILES},
}
_BTRFS_FEATURES: Features = {
    "snapshot": {"current": ("qcow2", "raw", "subvol"), "snap": ("qcow2", "raw", "subvol")},
    "clone": {"base": _ALL, "current": ("raw",), "snap": ("raw",)},
    "template": {"current": _ALL},
    "copy": {"base": _ALL, "current": _ALL, "snap": ("qcow2", "raw", "subvol")},
    "sparseinit": {"base": _FILES, "current": _FILES},
    "rename": {"current": _FILES},
}
_ZFS_FEATURES: Features = {
    "snapshot": {"current": _ANY, "snap": _ANY},
    "clone": {"base": _ANY},
    "template": {"current": _ANY},
    "copy": {"base": _ANY, "current": _ANY},
    "sparseinit": {"base": _ANY, "current": _ANY},
    "replicate": {"base": _ANY, "current": _ANY},
    "rename": {"current": _ANY},
}
_THIN_FEATURES: Features = {
    "snapshot": {"current": ("raw",)},
    "clone": {"base": ("raw",), "snap": ("raw",)},
    "template": {"current": ("raw",)},
    "copy": {"base": ("raw",), "current": ("raw",), "snap": ("raw",)},
    "sparseinit": {"base": ("raw",), "current": ("raw",)},
    "rename": {"current": ("raw",)},
}
_RBD_FEATURES: Features = {**_THIN_FEATURES, "snapshot": {"current": ("raw",), "snap": ("raw",)}}
_LVM_FEATURES: Features = {
    "copy": {"base": ("raw",), "current": ("raw",)},
    "rename": {"current": ("raw",)},
}
_FILE_CONTENTS = ("images", "rootdir", "vztmpl", "iso", "backup", "snippets", "none", "import")
_PATH_OPTIONS = (
    *("maxfiles", "prune-backups", "max-protected-backups", "content", "format", "mkdir", "create-base-path"),
    *("create-subdirs", "bwlimit", "preallocation", "content-dirs", "snapshot-as-volume-chain"),
)
_DIR_OPTIONS = (*_PATH_OPTIONS, "shared", "is_mountpoint")
_NET_OPTIONS = (*_PATH_OPTIONS, "options")


def _type(name: str, content: Iterable[str], default: Iterable[str], **more: object) -> StorageType:
    return StorageType(name, tuple(content), tuple(default), **more)  # type: ignore[arg-type]


TYPES: dict[str, StorageType] = {
    kind.name: kind
    for kind in (
        _type(
            "dir",
            _FILE_CONTENTS,
            ("images",),
            formats=_ALL,
            files=True,
            fixed=("path",),
            options=_DIR_OPTIONS,
            features=_DIR_FEATURES,
        ),
        _type(
            "btrfs",
            _FILE_CONTENTS,
            ("images", "rootdir"),
            formats=_ANY,
            files=True,
            fixed=("path",),
            options=(*_DIR_OPTIONS, "nocow"),
            features=_BTRFS_FEATURES,
        ),
        _type(
            "nfs",
            _FILE_CONTENTS,
            ("images",),
            formats=_ALL,
            files=True,
            shared=True,
            fixed=("server", "export"),
            options=("path", *_NET_OPTIONS),
            features=_DIR_FEATURES,
        ),
        _type(
            "cifs",
            _FILE_CONTENTS,
            ("images",),
            formats=_ALL,
            files=True,
            shared=True,
            fixed=("server", "share"),
            options=("path", *_NET_OPTIONS, "username", "password", "domain", "smbversion", "subdir"),
            features=_DIR_FEATURES,
        ),
        _type(
            "cephfs",
            ("vztmpl", "iso", "backup", "snippets", "import"),
            ("backup",),
            files=True,
            shared=True,
            options=("path", *_NET_OPTIONS, "monhost", "username", "keyring", "subdir", "fuse", "fs-name"),
        ),
        _type(
            "zfspool",
            ("images", "rootdir"),
            ("images", "rootdir"),
            formats=_ANY,
            fixed=("pool",),
            options=("blocksize", "sparse", "content", "bwlimit", "mountpoint"),
            features=_ZFS_FEATURES,
        ),
        _type(
            "lvmthin",
            ("images", "rootdir"),
            ("images", "rootdir"),
            fixed=("vgname", "thinpool"),
            options=("content", "bwlimit"),
            features=_THIN_FEATURES,
        ),
        _type(
            "lvm",
            ("images", "rootdir"),
            ("images",),
            fixed=("vgname",),
            options=(
                *("shared", "content", "base", "bwlimit", "saferemove", "saferemove_throughput", "saferemove-stepsize"),
                *("tagged_only", "snapshot-as-volume-chain"),
            ),
            features=_LVM_FEATURES,
        ),
        _type(
            "rbd",
            ("images", "rootdir"),
            ("images",),
            shared=True,
            options=(
                *("content", "monhost", "pool", "data-pool", "namespace", "username", "krbd", "keyring", "bwlimit"),
                "authsupported",
            ),
            features=_RBD_FEATURES,
        ),
        _type(
            "pbs",
            ("backup", "none"),
            ("backup",),
            shared=True,
            fixed=("server", "datastore"),
            options=(
                *("namespace", "port", "username", "password", "encryption-key", "master-pubkey", "fingerprint"),
                *("maxfiles", "prune-backups", "max-protected-backups", "content", "skip-cert-verification"),
            ),
        ),
        _type("iscsi", ("images", "none"), ("images",), shared=True, fixed=("portal", "target"), options=("content",)),
        _type("iscsidirect", ("images",), ("images",), shared=True, fixed=("portal", "target"), options=("content",)),
        _type(
            "zfs",
            ("images",),
            ("images",),
            shared=True,
            fixed=("portal", "target", "pool", "blocksize", "iscsiprovider"),
            options=("nowritecache", "sparse", "comstar_hg", "comstar_tg", "lio_tpg", "content", "bwlimit"),
            features={**_ZFS_FEATURES, "replicate": {}},
        ),
        _type(
            "esxi",
            ("import",),
            ("import",),
            shared=True,
            fixed=("server", "username"),
            options=("password", "skip-cert-verification", "port", "content"),
        ),
        _type(
            "glusterfs",
            ("images", "vztmpl", "iso", "backup", "snippets", "import"),
            ("images",),
            formats=_FILES,
            files=True,
            shared=True,
            fixed=("volume",),
            options=("path", "server", "server2", "transport", *_NET_OPTIONS),
            features=_DIR_FEATURES,
        ),
    )
}


@dataclass(frozen=True)
class VolName:
    """A volume name taken apart: `base`: a template's image; `basename` and `basevmid`: what it is linked to."""

    content: str
    name: str
    vmid: int | None = None
    basename: str | None = None
    basevmid: int | None = None
    base: bool = False
    format: str = "raw"


def split_volid(volid: str) -> tuple[str, str]:
    """`storage:name` → both parts; 500 as PVE::Storage::Plugin::parse_volume_id says it."""
    found = re.fullmatch(r"([a-z][a-z0-9\-_.]*[a-z0-9]):(.+)", volid, re.IGNORECASE | re.DOTALL)
    if not found:
        raise ApiError(500, f"unable to parse volume ID '{volid}'")
    return found[1], found[2]


def is_volid(text: str) -> bool:
    """Whether this has the form of a volume id (and is no path)."""
    return re.fullmatch(r"[a-z][a-z0-9\-_.]*[a-z0-9]:.+", text, re.IGNORECASE | re.DOTALL) is not None


def parse_volname(kind: StorageType, volname: str) -> VolName:
    """Take a volume name apart as the plugin's parse_volname does; 500 with its text where it cannot."""
    return _parse_file(volname) if kind.files else _parse_block(kind, volname)


def _parse_image_file(name: str) -> tuple[str, bool]:
    found = re.fullmatch(r"(vm-|base-|subvol-)(\d+)-[^/\s]+\.(raw|qcow2|vmdk|subvol)", name)
    if not found:
        raise ApiError(500, f"unable to parse volume filename '{name}'")
    return found[3], found[1] == "base-"


def _parse_file(volname: str) -> VolName:
    if found := re.fullmatch(r"(\d+)/(\S+)/(\d+)/(\S+)", volname):
        _parse_image_file(found[2])
        form, base = _parse_image_file(found[4])
        return VolName("images", found[4], int(found[3]), found[2], int(found[1]), base, form)
    if found := re.fullmatch(r"(\d+)/(\S+)", volname):
        form, base = _parse_image_file(found[2])
        return VolName("images", found[2], int(found[1]), base=base, format=form)
    folder, _, name = volname.partition("/")
    for content, (prefix, _, names) in FILE_CONTENT.items():
        if folder == prefix and names.fullmatch(name):
            owner = BACKUP_NAME.fullmatch(name) if content == "backup" else None
            form = name.rpartition(".")[2] if content == "import" else "raw"
            return VolName(content, name, int(owner["vmid"]) if owner else None, format=form)
    raise ApiError(500, f"unable to parse directory volume name '{volname}'")


def _parse_block(kind: StorageType, volname: str) -> VolName:
    if kind.name in ("zfspool", "zfs"):
        shape = r"(?:((?:base|basevol)-(\d+)-\S+)/)?((base|basevol|vm|subvol)-(\d+)-\S+)"
        label = "zfs"
    elif kind.name == "rbd":
        shape = r"(?:(base-(\d+)-\S+)/)?((base|vm)-(\d+)-\S+)"
        label = "rbd"
    elif kind.name == "pbs":
        found = re.fullmatch(r"backup/(vm|ct)/(\d+)/\S+", volname)
        if not found:
            raise ApiError(500, f"unable to parse PBS volume name '{volname}'")
        return VolName("backup", volname, int(found[2]), format=f"pbs-{found[1]}")
    else:
        shape = r"()()((vm|base)-(\d+)-\S+)"
        label = "lvm"
    found = re.fullmatch(shape, volname)
    if not found:
        raise ApiError(500, f"unable to parse {label} volume name '{volname}'")
    basename, basevmid, name, prefix, vmid = found.groups()
    form = "subvol" if prefix in ("subvol", "basevol") else "raw"
    base = prefix in ("base", "basevol")
    return VolName("images", name, int(vmid), basename or None, int(basevmid) if basevmid else None, base, form)


def image_volname(kind: StorageType, vmid: int, name: str, linked_to: VolName | None = None) -> str:
    """The volume name of a disk image called `name` of guest `vmid`, linked to a base image or standing alone.

    Only directories, ZFS and RBD carry the base in the name; btrfs and LVM-thin do not (clone_image of each plugin).
    """
    own = f"{vmid}/{name}" if kind.files else name
    if linked_to is None or kind.name in ("btrfs", "lvmthin"):
        return own
    return f"{linked_to.vmid}/{linked_to.name}/{own}" if kind.files else f"{linked_to.name}/{own}"


def free_disk_name(kind: StorageType, taken: Iterable[str], vmid: int, form: str) -> str:
    """The first free `vm-VMID-disk-N` (PVE::Storage::Plugin::get_next_vm_diskname): N counts over all prefixes."""
    own = re.compile(rf"(?:vm|base|subvol|basevol)-{vmid}-disk-(\d+)(?:\.\w+)?")
    used = {int(found[1]) for name in taken if (found := own.fullmatch(name))}
    number = next(n for n in range(len(used) + 1) if n not in used)
    prefix = "subvol" if form == "subvol" else "vm"
    return f"{prefix}-{vmid}-disk-{number}" + (f".{form}" if kind.files else "")


def base_name(kind: StorageType, name: str) -> str:
    """The name that a disk image gets when its guest becomes a template (create_base of the plugins)."""
    if name.startswith("subvol-") and not kind.files:
        return "basevol-" + name.removeprefix("subvol-")
    return "base-" + name.removeprefix("vm-") if name.startswith("vm-") else name


def has_feature(
    kind: StorageType, feature: str, volume: VolName, *, snapshot: bool = False, targets: Collection[str] | None = None
) -> bool:
    """Whether snapshot, clone (linked), copy (full clone), template or rename is possible (volume_has_feature).

    `targets` are the formats that a caller of clone can work with: a directory's linked clone is always qcow2.
    """
    if feature == "clone" and targets is not None and kind.features is _DIR_FEATURES and "qcow2" not in targets:
        return False
    state = "snap" if snapshot else "base" if volume.base else "current"
    return volume.format in kind.features.get(feature, {}).get(state, ())


def parse_size_suffix(text: str) -> int | None:
    """`512`, `20M`, `4G` (KiB without suffix, as the volume API reads it) → KiB; None where it is no such text."""
    found = re.fullmatch(r"(\d+)([MG]?)", text)
    return int(found[1]) * {"": 1, "M": 1024, "G": 1024**2}[found[2]] if found else None
