"""Volumes: list, allocate, look at, annotate, delete, upload, prune (PVE::API2::Storage::Content, PruneBackups)."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from pvesim.api.method import ApiError, Call, TaskLog, method, param_error
from pvesim.cluster import prune, storagepaths, storageview
from pvesim.cluster import storage as storages
from pvesim.cluster.state import Volume
from pvesim.cluster.storagetypes import BACKUP_NAME, FILE_CONTENT, parse_size_suffix, parse_volname, split_volid

DOWNLOAD_BYTES = 100 * 2**20  # what a download is taken to bring


@method("GET", "/nodes/{node}/storage/{storage}/content")
def list_content(call: Call) -> object:
    """The volumes that the caller may read."""
    cluster, params = call.cluster, call.params
    storage = storages.lookup(cluster, str(params["storage"]))
    storages.usable(cluster, storage.storage, call.node)
    rows = storageview.content(cluster, storage, call.node, params.get("vmid"), params.get("content"))
    return [row for row in rows if _readable(call, str(row["volid"]))]


def _readable(call: Call, volid: str) -> bool:
    try:
        storages.check_access(call.cluster, call.auth, None, volid)
    except ApiError:
        return False
    return True


@method("POST", "/nodes/{node}/storage/{storage}/content")
async def allocate(call: Call) -> object:
    """An empty disk image under a given name; `size` in KiB, with M or G in MiB or GiB."""
    params = call.params
    name, form = str(params["filename"]), params.get("format")
    size = parse_size_suffix(str(params["size"]))
    if size is None:
        raise param_error(size=f"unable to parse size '{params['size']}'")
    if found := re.search(r"\.(raw|qcow2|vmdk)$", name):
        if form and form != found[1]:
            raise param_error(format=f"different storage formats ({form} != {found[1]})")
        form = found[1]
    where = str(params["storage"])
    return await storages.alloc(call.cluster, where, call.node, int(params["vmid"]), size * 1024, form, name=name)


def _volid(call: Call) -> str:
    """The volume that the path names: a whole id, or the part after the storage."""
    storage, volume = str(call.params.get("storage") or ""), str(call.params["volume"])
    if ":" not in volume:
        return f"{storage}:{volume}"
    try:
        named = split_volid(volume)[0]
    except ApiError as error:
        raise param_error(volume=str(error)) from error
    if storage and named != storage:
        raise param_error(volume=f"storage ID mismatch ({named} != {storage})")
    return volume


@method("GET", "/nodes/{node}/storage/{storage}/content/{volume}")
def volume_info(call: Call) -> object:
    volid = _volid(call)
    storages.check_access(call.cluster, call.auth, None, volid)
    name = storages.parse(call.cluster, volid)
    path = storagepaths.image_path(storages.lookup(call.cluster, split_volid(volid)[0]), name)
    volume = storages.find(call.cluster, call.node, volid)
    if volume is None:
        raise ApiError(500, f"volume_size_info on '{volid}' failed - no format")
    form = volume.format if name.content in ("images", "rootdir") else "raw"
    row: dict[str, Any] = {"path": path, "size": volume.size, "used": volume.used or volume.size, "format": form}
    if name.content == "backup":
        row |= {"protected": int(volume.protected)} | ({"notes": volume.notes} if volume.notes is not None else {})
    return row


@method("PUT", "/nodes/{node}/storage/{storage}/content/{volume}")
def update_volume(call: Call) -> object:
    volid = _volid(call)
    storages.check_access(call.cluster, call.auth, None, volid)
    for attribute in ("notes", "protected"):
        value = call.params.get(attribute)
        if value is None:
            continue
        if storages.parse(call.cluster, volid).content != "backup":
            raise ApiError(500, f"only backups support attribute '{attribute}'")
        volume = storages.get(call.cluster, call.node, volid)
        if attribute == "notes":
            volume.notes = str(value) or None
        else:
            if value and not volume.protected:
                check_protected_limit(call, volume)
            volume.protected = bool(value)
    return None


def check_protected_limit(call: Call, volume: Volume) -> None:
    """ApiError 500 where a guest has as many protected backups as allowed (get_max_protected_backups)."""
    storage = storages.lookup(call.cluster, split_volid(volume.volid)[0])
    limit = storage.options.get("max-protected-backups")
    if limit is None:
        limit = -1 if call.allowed(f"/storage/{storage.storage}", "Datastore.Allocate") else 5
    others = storages.on_storage(call.cluster, call.node, storage.storage)
    count = sum(other.protected and other.vmid == volume.vmid for other in others if other.content == "backup")
    if -1 < int(limit) <= count:
        raise ApiError(
            500, f"The number of protected backups per guest is limited to {limit} on storage '{storage.storage}'"
        )


@method("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}")
async def delete_volume(call: Call) -> object:
    """A task; with `delay` nothing is returned when it is done within that time."""
    cluster, volid = call.cluster, _volid(call)
    name, storage = storages.parse(cluster, volid), split_volid(volid)[0]
    if name.content == "backup" and name.vmid:
        call.check(f"/storage/{storage}", "Datastore.AllocateSpace")
        call.check(f"/vms/{name.vmid}", "VM.Backup")
    else:
        call.check(f"/storage/{storage}", "Datastore.Allocate")

    async def work(log: TaskLog) -> None:
        found = cluster.storages[storage]
        gone = storages.find(cluster, call.node, volid) is None
        if gone and storages.type_of(found).files and name.format != "subvol":
            log(f"disk image '{storagepaths.image_path(found, name)}' does not exist")
        await storages.free(cluster, call.node, volid)
        log(f"Removed volume '{volid}'")

    upid = call.fork("imgdel", f"{name.vmid}@{storage}" if name.vmid else storage, work)
    if not call.params.get("delay"):
        return upid
    await cluster.tasks.settle(upid)
    status = str(cluster.tasks.by_upid[upid].exitstatus)
    if status != "OK" and not status.startswith("WARNINGS"):
        raise ApiError(500, status)
    return None


def _file_target(call: Call, word: str) -> str:
    """The volume id that an upload or a download will have, or an ApiError."""
    params, cluster = call.params, call.cluster
    storage = storages.usable(cluster, str(params["storage"]), call.node)
    if not storages.type_of(storage).files:
        extra = "" if word == "upload" else ", not a file based storage!"
        raise ApiError(500, f"can't upload to storage type '{storage.type}'{extra}")
    content, name = str(params["content"]), re.sub(r"[^A-Za-z0-9_.\-]", "_", str(params["filename"]).rpartition("/")[2])
    missing = content not in storages.content_of(storage)
    if missing and word == "download":
        raise ApiError(500, f"storage '{storage.storage}' is not configured for content-type '{content}'")
    folder, _, names = FILE_CONTENT[content]
    if not names.fullmatch(name):
        raise param_error(filename="invalid filename or wrong extension" if content == "import" else _WRONG_EXTENSION)
    if missing:
        raise ApiError(500, f"storage '{storage.storage}' does not support '{content}' content")
    return f"{storage.storage}:{folder}/{name}"


_WRONG_EXTENSION = "wrong file extension"


def _store(call: Call, volid: str, size: int) -> Volume:
    storage, volname = split_volid(volid)
    content = parse_volname(storages.type_of(call.cluster.storages[storage]), volname).content
    ending = re.search(r"\.tar\.(\w+)$", volid)
    form = f"t{ending[1]}" if ending else volid.rpartition(".")[2].lower()
    where = storages.key(call.cluster, call.node, volid)
    volume = Volume(volid, where[0], size, form, content, ctime=int(call.cluster.clock.now()), used=size)
    call.cluster.volumes[where] = volume
    return volume


@method("POST", "/nodes/{node}/storage/{storage}/upload")
def upload(call: Call) -> object:
    """Multipart: fields, then the file; an existing one of that name is overwritten."""
    if call.upload is None:
        raise ApiError(500, "missing temporary file name")
    volid, size = _file_target(call, "upload"), len(call.upload)
    wanted, content = call.params.get("checksum"), call.upload
    temporary = f"/var/tmp/pveupload-{secrets.token_hex(16)}"  # noqa: S108 - a name in a log line

    async def work(log: TaskLog) -> None:
        log(f"starting file import from: {temporary}")
        if wanted:
            found = hashlib.new(str(call.params["checksum-algorithm"]), content).hexdigest()
            if found != str(wanted).lower():
                raise ApiError(500, f"checksum mismatch: got '{found}' != expect '{wanted}'")
        await call.cluster.clock.sleep(size / storages.COPY_BYTES_PER_SECOND)
        await call.cluster.backend.receive(_store(call, volid, size), content)
        log(f"target node: {call.node}")
        log("finished file import successfully")

    return call.fork("imgcopy", "", work)


@method("POST", "/nodes/{node}/storage/{storage}/download-url")
def download(call: Call) -> object:
    """Nothing is fetched: the volume appears with a size of its own."""
    volid = _file_target(call, "download")

    async def work(log: TaskLog) -> None:
        log(f"downloading {call.params['url']} to {volid}")
        await call.cluster.clock.sleep(DOWNLOAD_BYTES / storages.COPY_BYTES_PER_SECOND)
        _store(call, volid, DOWNLOAD_BYTES)
        log(f"download of '{call.params['url']}' finished")

    return call.fork("download", volid.rpartition("/")[2], work)


def marked(call: Call, storage: str) -> list[dict[str, Any]]:
    """What pruning would do with every backup of that storage (PVE::Storage::Plugin, prune_backups)."""
    found, params = storages.lookup(call.cluster, storage), call.params
    text = params.get("prune-backups") or found.options.get("prune-backups")
    if not text:
        raise ApiError(500, f"no prune-backups options configured for storage '{storage}'")
    return mark_backups(call, storage, prune.parse(str(text)), params.get("vmid"), params.get("type"))


def mark_backups(
    call: Call, storage: str, keep: dict[str, int], vmid: int | None, kind: str | None = None
) -> list[dict[str, Any]]:
    """The same for given rules."""
    rows, backups = [], []
    for volume in sorted(storages.on_storage(call.cluster, call.node, storage), key=lambda volume: volume.volid):
        named = BACKUP_NAME.fullmatch(volume.volid.rpartition("/")[2])
        if volume.content != "backup" or not named or (vmid and int(named["vmid"]) != vmid):
            continue
        if kind and named["kind"] != kind:
            continue
        standard = re.search(r"-\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d\.", volume.volid)
        mark = "renamed" if not standard else "protected" if volume.protected else None
        backups.append(prune.Backup(volume.volid, f"{named['kind']}/{named['vmid']}", volume.ctime, mark))
        rows.append({"volid": volume.volid, "ctime": volume.ctime, "type": named["kind"], "vmid": int(named["vmid"])})
    marks = prune.marks(backups, keep)
    return [row | {"mark": marks[str(row["volid"])]} for row in rows]


@method("GET", "/nodes/{node}/storage/{storage}/prunebackups")
def prune_dry_run(call: Call) -> object:
    return marked(call, str(call.params["storage"]))


@method("DELETE", "/nodes/{node}/storage/{storage}/prunebackups")
def prune_backups(call: Call) -> object:
    storage, vmid = str(call.params["storage"]), call.params.get("vmid")
    if vmid is not None:
        call.check(f"/storage/{storage}", "Datastore.AllocateSpace")
        call.check(f"/vms/{vmid}", "VM.Backup")
    else:
        call.check(f"/storage/{storage}", "Datastore.Allocate")

    async def work(log: TaskLog) -> None:
        for row in marked(call, storage):
            log(f"{row['volid']}: {row['mark']}")
            if row["mark"] == "remove":
                await storages.free(call.cluster, call.node, str(row["volid"]))

    return call.fork("prunebackups", f"{vmid}@{storage}" if vmid is not None else storage, work)
