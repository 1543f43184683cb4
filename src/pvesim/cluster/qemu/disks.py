"""Volumes of a virtual machine: made for its drives, let go of, removed (PVE::API2::Qemu, create_disks)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pvesim.cluster import storage
from pvesim.cluster.qemu import cloudinit, drive, machine, options, pending
from pvesim.cluster.qemu.drive import Drive
from pvesim.cluster.qemu.rights import Caller, check_vm
from pvesim.cluster.state import Cluster, Config, Guest, Volume
from pvesim.cluster.storagetypes import is_volid
from pvesim.errors import ApiError, TaskFailed

Log = Callable[[str], None]
TPM_BYTES = 4 * 2**20
EFI_BYTES = {"4m": 528 * 2**10, "2m": 128 * 2**10}
FOREIGN_BYTES = 2 * 2**30  # a file by its path: nothing here knows how large it is


@dataclass
class Made:
    """What `create` made: the settings with volume ids in them, and the new volumes."""

    settings: Config = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)


async def create(
    call: Caller,
    node: str,
    vmid: int,
    config: Config,
    settings: Mapping[str, str],
    log: Log,
    *,
    default: str | None = None,
    waiting: Mapping[str, str] | None = None,
) -> Made:
    """Make or look up the volume of every drive in `settings`; on an error everything new is removed again.

    `config` is the section that they will be part of, `waiting` its pending one, `default` the storage for requests
    that name none. Errors: ApiError 500 or 403 of the storage, texts of create_disks.
    """
    made = Made()
    try:
        for slot in sorted(filter(drive.is_drive, settings)):
            one = drive.parse(slot, settings[slot])
            if one is not None:
                sections = (config, waiting or {}, made.settings)
                made.settings[slot] = (await _make(call, node, vmid, one, sections, made, log, default)).text()
    except (ApiError, TaskFailed):
        for volid in made.volumes:
            await storage.free(call.cluster, node, volid)
        raise
    return made


async def _make(
    call: Caller,
    node: str,
    vmid: int,
    one: Drive,
    sections: tuple[Mapping[str, str], ...],
    made: Made,
    log: Log,
    default: str | None,
) -> Drive:
    if one.file in ("none", "cdrom"):
        return one.with_file(one.file, None)
    wants_cloudinit = one.file == "cloudinit" or one.file.endswith(":cloudinit")
    if wants_cloudinit or one.is_cloudinit:
        for section in sections:
            if other := drive.cloudinit_slot(section, besides=one.slot):
                raise ApiError(500, f"{one.slot} - cloud-init drive is already attached at '{other}'")
    request = one.request
    if not wants_cloudinit and not request:
        return _existing(call, node, vmid, one)
    name = (one.storage if wants_cloudinit else request.storage if request else None) or default
    if not name:
        raise ApiError(500, "no storage ID specified (and no default storage)")
    if wants_cloudinit:
        done = await _cloudinit(call.cluster, node, vmid, one, name, log)
    elif "import-from" in one.options:
        done = await _import(call.cluster, node, vmid, one, name, log)
    else:
        done = await _blank(call.cluster, node, vmid, one, name, request.size if request else 0, log)
    if sections[0].get("template") == "1" and not wants_cloudinit:
        done = done.with_file(await storage.make_base(call.cluster, node, done.file), done.size)
    made.volumes.append(done.file)
    log(f"{one.slot}: successfully created disk '{done.text()}'")
    return done


def _existing(call: Caller, node: str, vmid: int, one: Drive) -> Drive:
    storage.check_access(call.cluster, call.auth, vmid, one.file)
    if not one.storage:
        return one
    name = storage.parse(call.cluster, one.file)
    if name.content not in ("images", "iso"):
        raise ApiError(500, f"cannot use volume {one.file} - content type needs to be 'images' or 'iso'")
    wanted = one.options.get("format")
    if wanted and wanted != name.format:
        text = f"'format={wanted}' option different from storage format '{name.format}'"
        raise ApiError(500, f"drive '{one.slot}' - volume '{one.file}' - {text}")
    storage.usable(call.cluster, one.storage, node)
    volume = storage.get(call.cluster, node, one.file)
    return one.with_file(one.file, None if one.is_cloudinit else volume.size)


async def _cloudinit(cluster: Cluster, node: str, vmid: int, one: Drive, name: str, log: Log) -> Drive:
    files = storage.type_of(storage.lookup(cluster, name)).files
    form = one.options.get("format", "qcow2" if files else "raw")
    called = f"vm-{vmid}-cloudinit" + (f".{form}" if files else "")
    volid = await storage.alloc(cluster, name, node, vmid, cloudinit.DRIVE_BYTES, form, name=called, log=log)
    return one.with_file(volid, None).with_options(media="cdrom", format=None)


async def _blank(cluster: Cluster, node: str, vmid: int, one: Drive, name: str, size: int, log: Log) -> Drive:
    form, extra = one.options.get("format"), {}
    if one.slot == "efidisk0":
        size = EFI_BYTES[one.options.get("efitype", "2m")]
        extra = {"ms_cert": "2023"} if one.options.get("pre-enrolled-keys") == "1" and cluster.major >= 9 else {}
    elif one.slot == "tpmstate0":
        size = TPM_BYTES
    volid = await storage.alloc(cluster, name, node, vmid, size, form, log=log)
    storage.get(cluster, node, volid).extra["empty"] = True
    return one.with_file(volid, size).with_options(format=None, **extra)


async def _import(cluster: Cluster, node: str, vmid: int, one: Drive, name: str, log: Log) -> Drive:
    source = one.options["import-from"]
    size, form, volume = FOREIGN_BYTES, one.options.get("format"), None
    if not source.startswith("/"):
        try:
            volume = _importable(cluster, node, source)
        except ApiError as error:
            raise ApiError(error.status, f"cannot import from '{source}' - {error.message}") from None
        size = volume.size
        formats = storage.type_of(storage.lookup(cluster, name)).formats
        form = form or (volume.format if volume.format in formats else None)
    volid = await storage.alloc(cluster, name, node, vmid, size, form, log=log)
    if volume:
        await storage.copy_data(cluster, node, source, volid)
        if volume.extra.get("empty"):
            storage.get(cluster, node, volid).extra["empty"] = True
    log_transfer(log, size)
    return one.with_file(volid, size).with_options(format=None, import_from=None)


def _importable(cluster: Cluster, node: str, source: str) -> Volume:
    if Drive("", source).is_cloudinit:
        raise ApiError(500, "cannot import from cloudinit disk")
    volume = storage.get(cluster, node, source)
    if volume.content == "images" and not storage.feature(cluster, "copy", source):
        raise ApiError(500, f"cannot import from '{source}' - full clone feature is not supported")
    owner = cluster.guests.get(volume.vmid) if volume.vmid else None
    if owner and owner.node != node:
        raise ApiError(500, f"owner VM {owner.vmid} not on local node")
    return volume


def log_transfer(log: Log, size: int) -> None:
    """The lines that qemu-img's progress leaves in a task's log."""
    unit = next((unit for unit in (2**40, 2**30, 2**20) if size >= unit), 2**10)
    shown = f"{size / unit:.1f} {({2**40: 'TiB', 2**30: 'GiB', 2**20: 'MiB', 2**10: 'KiB'})[unit]}"
    log(f"transferred 0.0 B of {shown} (0.00%)")
    log(f"transferred {shown} of {shown} (100.00%)")


async def let_go(cluster: Cluster, guest: Guest, one: Drive, log: Log) -> None:
    """A drive leaves its slot: its own disk becomes `unusedN`, a cloud-init drive is removed."""
    if one.is_cloudinit:
        await storage.free(cluster, guest.node, one.file)
        guest.cloudinit = {}
    elif not one.is_cdrom and is_owner(cluster, guest, one.file):
        await keep_unused(cluster, guest, one.file, log)


async def keep_unused(cluster: Cluster, guest: Guest, volid: str, log: Log) -> str | None:
    """Note a volume under `unusedN` and return the key; cloud-init's is removed instead (add_unused_volume)."""
    if re.search(r"vm-\d+-cloudinit", volid):
        log(f"found unused cloudinit disk '{volid}', removing it")
        await storage.free(cluster, guest.node, volid)
        return None
    try:
        return pending.add_unused(guest.config, volid)
    except ValueError as error:
        raise ApiError(500, str(error)) from None


def is_owner(cluster: Cluster, guest: Guest, volid: str) -> bool:
    """Whether the volume's name says that it belongs to this VM (vm_is_volid_owner)."""
    if not is_volid(volid):
        return False
    try:
        return storage.parse(cluster, volid).vmid == guest.vmid
    except ApiError:
        return False


async def remove(call: Caller, guest: Guest, key: str, volid: str) -> None:
    """Free the volume behind `key` where the VM owns it (try_deallocate_drive); ApiError 500 while a slot needs it."""
    if not is_owner(call.cluster, guest, volid):
        return
    call.check(f"/storage/{storage.storage_of(volid)}", "Datastore.AllocateSpace")
    in_snapshot = any(drive.uses(snapshot.config, volid) for snapshot in guest.snapshots.values())
    if in_snapshot or drive.uses(guest.config, volid, besides=key):
        raise ApiError(500, f"unable to delete '{volid}' - volume is still in use (snapshot?)")
    await storage.free(call.cluster, guest.node, volid)


async def detach(call: Caller, guest: Guest, one: Drive, log: Log, *, force: bool) -> None:
    """Take the volume out of its slot, removing it by `force` (vmconfig_delete_or_detach_drive)."""
    if not force:
        await let_go(call.cluster, guest, one, log)
        return
    check_vm(call, guest.vmid, None, "VM.Config.Disk")
    if one.is_disk:
        await remove(call, guest, one.slot, one.file)


async def make_template(cluster: Cluster, guest: Guest, only: str | None = None) -> None:
    """Turn those of the VM's disks that can be one into base images (template_create)."""
    for one in drive.drives(guest.config):
        if one.is_cdrom or only not in (None, one.slot) or not storage.feature(cluster, "template", one.file):
            continue
        base = await storage.make_base(cluster, guest.node, one.file)
        guest.config[one.slot] = one.with_file(base, one.size).text()
    machine.save(cluster, guest)


def images(guest: Guest) -> list[tuple[str, str]]:
    """(slot, volume) of everything that the config, its pending part, its snapshots' memory and `unusedN` hold."""
    found = [(one.slot, one.file) for one in drive.drives(guest.config) if one.is_disk]
    found += drive.unused(guest.config).items()
    found += [(key, guest.config[key]) for key in ("vmstate",) if key in guest.config]
    found += [("vmstate", snapshot.vmstate) for snapshot in guest.snapshots.values() if snapshot.vmstate]
    found += [(one.slot, one.file) for one in drive.drives(guest.pending) if one.is_disk]
    return [(slot, file) for slot, file in found if is_volid(file)]


def boot_size(config: Mapping[str, str]) -> int:
    """Size of the first disk in boot order, 0 where there is none (bootdisk_size)."""
    order = options.boot_order(config) or [config.get("bootdisk", "")]
    for slot in order:
        one = drive.parse(slot, config[slot]) if drive.is_drive(slot) and slot in config else None
        if one and not one.is_cdrom:
            return one.size or 0
    return 0
