"""Storages as a node sees them, and the cluster's list of them (PVE::API2::Storage::Status, ::Config)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pvesim.api.method import ApiError, Call, method, param_error
from pvesim.cluster import storage as storages
from pvesim.cluster import storagepaths, storageview
from pvesim.cluster.state import Storage
from pvesim.cluster.storagetypes import TYPES, StorageType

SEE = ("Datastore.Audit", "Datastore.AllocateSpace")
COMMON = frozenset({"nodes", "disable", "content"})
MODIFIED = "detected modified configuration - file changed by other user? Try again."


@method("GET", "/nodes/{node}/storage")
def node_storages(call: Call) -> object:
    """The storages that the caller may see; `content` leaves only usable ones that hold one of those types."""
    cluster, node, params = call.cluster, call.node, call.params
    types = set(str(params.get("content") or "").replace(";", ",").replace(" ", ",").split(",")) - {""}
    rows: dict[str, dict[str, Any]] = {}
    for storage in cluster.storages.values():
        row = storageview.status(cluster, storage, node)
        if not types or (types & storages.content_of(storage) and row["enabled"]):
            rows[storage.storage] = row
    wanted = params.get("storage")
    if wanted and wanted not in rows:
        raise param_error(storage="No such storage.")
    target = params.get("target")
    target = None if target in (node, "localhost") else target
    found = []
    for name, row in rows.items():
        storage = cluster.storages[name]
        if not call.allowed(f"/storage/{name}", *SEE, any=True) or wanted not in (None, name):
            continue
        if params.get("enabled") and not storage.enabled:
            continue
        if target and not (storage.shared and storage.on(node) and storage.on(str(target))):
            continue
        if row["total"]:
            row["used_fraction"] = row["used"] / row["total"]
        if params.get("format") and row["enabled"]:
            row |= _formats(storage)
        found.append(row | {"storage": name})
    return found


def _formats(storage: Storage) -> dict[str, Any]:
    kind = storages.type_of(storage)
    if not kind.features:
        return {}
    known: dict[str, Any] = {"format": [dict.fromkeys(kind.formats, 1), kind.formats[0]]}
    return known | ({"select_existing": 1} if storage.type == "iscsi" else {})


@method("GET", "/nodes/{node}/storage/{storage}")
def node_storage_index(call: Call) -> object:
    names = "content download-url file-restore import-metadata prunebackups rrd rrddata status upload"
    return [{"subdir": name} for name in names.split()]


@method("GET", "/nodes/{node}/storage/{storage}/status")
def node_storage_status(call: Call) -> object:
    storage = call.cluster.storages.get(str(call.params["storage"]))
    if storage is None:
        raise param_error(storage="No such storage.")
    return storageview.status(call.cluster, storage, call.node)


@method("GET", "/nodes/{node}/storage/{storage}/rrddata")
def node_storage_rrd(call: Call) -> object:
    """Flat history: 70 points of what is true now."""
    storage = storages.lookup(call.cluster, str(call.params["storage"]))
    step = {"hour": 60, "day": 1800, "week": 10800, "month": 43200, "year": 604800}[str(call.params["timeframe"])]
    usage = storagepaths.usage(call.cluster, storage, call.node)
    end = int(call.cluster.clock.now()) // step * step
    return [{"time": end - step * n, "total": usage.total, "used": usage.used} for n in range(69, -1, -1)]


@method("GET", "/storage")
def list_storages(call: Call) -> object:
    wanted = call.params.get("type")
    return [
        storageview.config(call.cluster, storage)
        for storage in call.cluster.storages.values()
        if call.allowed(f"/storage/{storage.storage}", *SEE, any=True) and wanted in (None, storage.type)
    ]


@method("GET", "/storage/{storage}")
def read_storage(call: Call) -> object:
    return storageview.config(call.cluster, storages.lookup(call.cluster, str(call.params["storage"])))


@method("POST", "/storage")
async def create_storage(call: Call) -> object:
    """Options by the rules of the type: unknown ones, missing required ones, content types that it cannot hold."""
    options = dict(call.params)
    name, kind = str(options.pop("storage")), TYPES[str(options.pop("type"))]
    options = {key: value for key, value in options.items() if not (key == "nodes" and not value)}
    _check(kind, options)
    if missing := next((key for key in kind.fixed if options.get(key) is None), None):
        raise ApiError(500, f"missing value for required option '{missing}'")
    async with _config_lock(call, "create"):
        if name in call.cluster.storages:
            raise ApiError(500, f"storage ID '{name}' already defined")
        call.cluster.storages[name] = Storage(name, kind.name, {key: _stored(value) for key, value in options.items()})
    return {"storage": name, "type": kind.name}


@method("PUT", "/storage/{storage}")
async def update_storage(call: Call) -> object:
    options = dict(call.params)
    name, digest = str(options.pop("storage")), options.pop("digest", None)
    delete = [key for key in str(options.pop("delete", "") or "").replace(";", ",").replace(" ", ",").split(",") if key]
    async with _config_lock(call, "update"):
        if digest and digest != storageview.digest(call.cluster):
            raise ApiError(500, MODIFIED)
        storage = storages.lookup(call.cluster, name)
        kind = storages.type_of(storage)
        _check(kind, options)
        if fixed := next((key for key in options if key in kind.fixed), None):
            raise ApiError(500, f"can't change value of fixed parameter '{fixed}'")
        for key in delete:
            _check_delete(kind, key, options)
        for key in delete:
            storage.options.pop(key, None)
        storage.options |= {key: _stored(value) for key, value in options.items()}
    return {"storage": name, "type": kind.name}


@method("DELETE", "/storage/{storage}")
async def delete_storage(call: Call) -> object:
    """The entry and its ACL go; the volumes stay where they are."""
    name = str(call.params["storage"])
    async with _config_lock(call, "delete"):
        storages.lookup(call.cluster, name)
        if any(str(other.options.get("base", "")).startswith(f"{name}:") for other in call.cluster.storages.values()):
            raise ApiError(500, "can't remove storage - storage is used as base of another storage")
        del call.cluster.storages[name]
        call.cluster.acl = {entry for entry in call.cluster.acl if entry.path != f"/storage/{name}"}
        for pool in call.cluster.pools.values():
            pool.storage.discard(name)
    return None


@asynccontextmanager
async def _config_lock(call: Call, verb: str) -> AsyncIterator[None]:
    """The cluster's lock on storage.cfg; what goes wrong under it says what was tried."""
    try:
        async with call.cluster.locks.cfs("file-storage_cfg"):
            yield
    except ApiError as error:
        raise ApiError(error.status, f"{verb} storage failed: {error}") from error


def _check(kind: StorageType, options: dict[str, Any]) -> None:
    for key, value in options.items():
        if key not in COMMON and key not in kind.options and key not in kind.fixed:
            raise ApiError(500, f"unexpected property '{key}'")
        if key == "content":
            types = {part for part in str(value).replace(";", ",").replace(" ", ",").split(",") if part}
            for one in sorted(types):
                if one not in kind.content and one != "none":
                    raise ApiError(500, f"storage does not support content type '{one}'")
            if "none" in types and len(types) > 1:
                raise ApiError(500, "unable to combine 'none' with other content types")
    path = options.get("path")
    if path is not None and not str(path).startswith("/"):
        raise ApiError(500, f"illegal path for directory storage: {path}")


def _check_delete(kind: StorageType, key: str, options: dict[str, Any]) -> None:
    if key in kind.fixed:
        raise ApiError(500, f"unable to delete required option '{key}'")
    if key not in COMMON and key not in kind.options:
        raise ApiError(500, f"no such option '{key}'")
    if key in options:
        raise ApiError(500, f"cannot set and delete property '{key}' at the same time!")


def _stored(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value
