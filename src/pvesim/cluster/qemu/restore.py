"""A virtual machine out of a backup (PVE::API2::Qemu, restorefn; PVE::QemuServer, restore_vma_archive)."""

from __future__ import annotations

import copy
import re
from typing import Any

from pvesim.cluster import storage
from pvesim.cluster.qemu import cloudinit, disks, drive, machine, net, pending, settings
from pvesim.cluster.qemu.create import Log, Request
from pvesim.cluster.qemu.rights import Caller, check_bridges, check_device
from pvesim.cluster.state import Cluster, Config, Guest, Volume
from pvesim.errors import ApiError, TaskFailed

READ_BYTES_PER_SECOND = 200 * 2**20
_MAPPED = re.compile(r"(usb|hostpci|rng|virtiofs)\d+")


def check(call: Caller, asked: Request) -> None:
    """ApiError 500 at once where the archive is not there."""
    archive = str(asked.archive)
    storage.usable(call.cluster, storage.storage_of(archive), asked.node)
    storage.get(call.cluster, asked.node, archive)


async def run(call: Caller, asked: Request, log: Log) -> None:
    """Lay the disks and the config of `asked.archive` out under the reserved id; what fails leaves the VM there."""
    cluster = call.cluster
    try:
        guest = machine.find(cluster, asked.node, asked.vmid)
        machine.check_protection(guest, asked.trouble)
        if guest.running is not None:
            raise TaskFailed(f"{asked.trouble} vm is running")
        if asked.live:
            raise TaskFailed("live-restore is only compatible with backup images from a Proxmox Backup Server")
        async with cluster.locks.guest(asked.node, "qemu", asked.vmid, 1):
            await _restore(call, asked, guest, log)
    except (ApiError, TaskFailed):
        left = cluster.guests.get(asked.vmid)
        if left and left.config.get("lock") == "create":
            del left.config["lock"]
        log(
            "error before or during data restore, some or all disks were not completely restored. "
            f"VM {asked.vmid} state is NOT cleaned up."
        )
        raise


async def _restore(call: Caller, asked: Request, guest: Guest, log: Log) -> None:
    cluster, archive = call.cluster, storage.get(call.cluster, asked.node, str(asked.archive))
    if archive.extra.get("kind") != "qemu":
        raise TaskFailed(f"ERROR: file '{asked.archive}' does not look like a QemuServer vzdump backup")
    saved: Config = dict(archive.extra["config"])
    _check_rights(call, asked, saved | asked.settings)
    log(f"restore vma archive: {asked.archive}")
    wanted = _wanted(call, asked, archive, saved)
    await _clear(cluster, guest, set(wanted))
    volumes: dict[str, str] = {}
    try:
        for slot in sorted(wanted):
            volumes[slot] = await _allocate(cluster, asked, slot, wanted[slot], log)
            await cluster.clock.sleep(wanted[slot].get("used", 0) / READ_BYTES_PER_SECOND)
    except ApiError:
        for volid in volumes.values():
            await storage.free(cluster, asked.node, volid)
        raise
    guest.config = _config(cluster, asked, saved, volumes) | asked.settings
    guest.firewall = copy.deepcopy(archive.extra.get("firewall") or {})
    _note_strays(cluster, guest)
    machine.save(cluster, guest)
    if asked.pool:
        cluster.pools[asked.pool].vms.add(asked.vmid)
    if guest.is_template:
        log("Convert to template.")
        await disks.make_template(cluster, guest)


def _check_rights(call: Caller, asked: Request, config: Config) -> None:
    check_bridges(call, config)
    for key in filter(_MAPPED.fullmatch, sorted(config)):
        check_device(call, asked.vmid, asked.pool, key, config[key])


def _wanted(call: Caller, asked: Request, archive: Volume, saved: Config) -> dict[str, dict[str, Any]]:
    """What has to be allocated by slot: storage, size in bytes, format; cloud-init drives are made anew."""
    found: dict[str, dict[str, Any]] = {}
    for slot, held in (archive.extra.get("disks") or {}).items():
        one = drive.parse(slot, saved[slot])
        found[slot] = {**held, "storage": asked.storage or (one.storage if one else None) or "local"}
    for one in drive.drives(saved):
        if one.is_cloudinit:
            where = asked.storage or one.storage or "local"
            found[one.slot] = {"storage": where, "size": cloudinit.DRIVE_BYTES, "format": "qcow2", "cloudinit": True}
    for held in found.values():
        target = storage.lookup(call.cluster, held["storage"])
        if "images" not in storage.content_of(target):
            raise TaskFailed(f"Content type 'images' is not available on storage '{target.storage}'")
        call.check(f"/storage/{target.storage}", "Datastore.AllocateSpace")
    return found


async def _clear(cluster: Cluster, guest: Guest, slots: set[str]) -> None:
    """Of a VM that is overwritten, remove the disks that come anew and all snapshots."""
    for one in drive.drives(guest.config):
        if one.slot in slots and one.is_disk and disks.is_owner(cluster, guest, one.file):
            await storage.free(cluster, guest.node, one.file)
    for snapshot in guest.snapshots.values():
        if snapshot.vmstate:
            await storage.free(cluster, guest.node, snapshot.vmstate)
    for volume in storage.owned(cluster, guest.node, guest.vmid):
        volume.snapshots.clear()
    guest.snapshots, guest.pending, guest.pending_delete, guest.cloudinit = {}, {}, {}, {}


async def _allocate(cluster: Cluster, asked: Request, slot: str, held: dict[str, Any], log: Log) -> str:
    found = storage.lookup(cluster, held["storage"])
    kind = storage.type_of(found)
    form = held["format"] if held["format"] in kind.formats else storage.default_format(found)
    name = None
    if held.get("cloudinit"):
        name = f"vm-{asked.vmid}-cloudinit" + (f".{form}" if kind.files else "")
    volid = await storage.alloc(cluster, found.storage, asked.node, asked.vmid, held["size"], form, name=name, log=log)
    log(f"new volume ID is '{volid}'")
    volume = storage.get(cluster, asked.node, volid)
    volume.used = int(held.get("used", volume.used))
    volume.extra = {key: value for key, value in held.items() if key == "empty"}
    log(f"map 'drive-{slot}' to '{volid}' (write zeros = 0)")
    return volid


def _config(cluster: Cluster, asked: Request, saved: Config, volumes: dict[str, str]) -> Config:
    """The saved settings line by line (restore_update_config_line)."""
    config: Config = {}
    left_out: list[str] = []
    prefix = str(cluster.options.get("mac_prefix") or "") or None
    for key in sorted(saved):
        value = saved[key]
        one = drive.parse(key, value) if drive.is_drive(key) else None
        if key in ("lock", "parent") or re.fullmatch(r"unused\d+", key):
            continue
        if one and one.options.get("backup") == "0":
            left_out.append(f"{key}: {value}")
            continue
        if one and key in volumes:
            value = one.with_file(volumes[key], one.size).with_options(format=None).text()
        elif key == "vmgenid" and value != "0":
            value = settings.new_uuid()
        elif key == "smbios1" and asked.unique:
            value = settings.renew_smbios(value)
        elif asked.unique and net.IS_NET.fullmatch(key):
            device = net.parse(value, prefix)
            value = net.Net(device.model, net.random_mac(prefix), device.options).text()
        config[key] = value
    if left_out:  # the parser reads every line with a # in front as part of the description
        config["description"] = "\n".join([*filter(None, [config.get("description")]), *left_out])
    return config


def _note_strays(cluster: Cluster, guest: Guest) -> None:
    """Volumes that carry the VM's id and have no slot become `unusedN` (rescan)."""
    held = {one.file for one in drive.drives(guest.config)}
    for volume in storage.owned(cluster, guest.node, guest.vmid):
        if volume.volid not in held and "-state-" not in volume.volid:
            pending.add_unused(guest.config, volume.volid)
