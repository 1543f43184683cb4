"""Storages and volumes as the API shows them (PVE::Storage: storage_info, volume_list; API2::Storage::Config)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pvesim.cluster import storage as storages
from pvesim.cluster import storagepaths
from pvesim.cluster.storagetypes import BACKUP_NAME

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, Storage, Volume

FLAGS = frozenset(  # what the config file has as a number
    (
        *("shared", "disable", "mkdir", "create-base-path", "create-subdirs", "nocow", "sparse", "krbd", "fuse"),
        *("saferemove", "tagged_only", "nowritecache", "skip-cert-verification", "snapshot-as-volume-chain", "port"),
        *("max-protected-backups", "saferemove-stepsize", "maxfiles"),
    )
)
SECRETS = frozenset({"password", "encryption-key", "master-pubkey", "keyring"})


def config(cluster: Cluster, storage: Storage) -> dict[str, Any]:
    """One entry of GET /storage."""
    row = {
        key: _plain(key, value) for key, value in storage.options.items() if key not in SECRETS and value is not None
    }
    row["content"] = ",".join(sorted(storages.content_of(storage)))
    return row | {"storage": storage.storage, "type": storage.type, "digest": digest(cluster)}


def digest(cluster: Cluster) -> str:
    """SHA-1 of storage.cfg."""
    lines = []
    for storage in cluster.storages.values():
        lines.append(f"{storage.type}: {storage.storage}")
        lines += [f"\t{key} {value}" for key, value in sorted(storage.options.items())]
    return hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()


def _plain(key: str, value: Any) -> Any:
    if key in FLAGS and str(value).lstrip("-").isdigit():
        return int(value)
    return ",".join(map(str, value)) if isinstance(value, list | tuple | set) else str(value)


def status(cluster: Cluster, storage: Storage, node: str) -> dict[str, Any]:
    """What GET /nodes/{node}/storage/{storage}/status shows; zeros where the node cannot use it."""
    enabled = storage.enabled and storage.on(node)
    row: dict[str, Any] = {
        "type": storage.type,
        "shared": int(storage.shared),
        "content": ",".join(sorted(storages.content_of(storage))),
        "enabled": int(enabled),
        "active": int(enabled),
        "total": 0,
        "used": 0,
        "avail": 0,
    }
    if enabled:
        usage = storagepaths.usage(cluster, storage, node)
        row |= {"total": usage.total, "used": usage.used, "avail": usage.avail}
    return row


def content(
    cluster: Cluster, storage: Storage, node: str, vmid: int | None = None, only: str | None = None
) -> list[dict[str, Any]]:
    """The volumes of the switched-on content types, as list_volumes gives them, sorted by id."""
    wanted = {only} if only else {"rootdir", "images", "vztmpl", "iso", "backup", "snippets", "import"}
    wanted &= storages.content_of(storage)
    rows = [_row(cluster, storage, volume) for volume in storages.on_storage(cluster, node, storage.storage)]
    rows = [row for row in rows if row["content"] in wanted and _concerns(row, vmid)]
    return sorted(rows, key=lambda row: str(row["volid"]).lower())


def _concerns(row: dict[str, Any], vmid: int | None) -> bool:
    if vmid is None or row["content"] in ("snippets", "import"):
        return True
    return row["content"] in ("images", "rootdir", "backup") and row.get("vmid") == vmid


def _row(cluster: Cluster, storage: Storage, volume: Volume) -> dict[str, Any]:
    row: dict[str, Any] = {
        "volid": volume.volid,
        "format": volume.format,
        "size": volume.size,
        "ctime": volume.ctime,
        "content": volume.content,
    }
    if volume.content in ("images", "rootdir"):
        owner = cluster.guests.get(volume.vmid or 0)
        row["content"] = "rootdir" if owner and owner.kind == "lxc" else "images"
        row["vmid"] = volume.vmid
        if storages.type_of(storage).files:
            row |= {"used": volume.used, "parent": volume.parent}
        elif storage.type in ("zfspool", "zfs"):
            row |= {"name": storages.parse(cluster, volume.volid).name, "parent": volume.parent}
    elif volume.content == "backup":
        row |= _backup(volume)
    return row


def _backup(volume: Volume) -> dict[str, Any]:
    row: dict[str, Any] = {"subtype": "unknown"}
    if found := BACKUP_NAME.fullmatch(volume.volid.rpartition("/")[2]):
        row |= {"subtype": found["kind"], "vmid": int(found["vmid"])}
    if volume.notes is not None:
        row["notes"] = volume.notes.partition("\n")[0]
    if volume.protected:
        row["protected"] = 1
    return row
