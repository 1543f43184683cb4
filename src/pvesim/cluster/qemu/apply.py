"""Putting recorded changes into effect: all of them on a stopped virtual machine, what can be on a running one."""

from __future__ import annotations

from collections.abc import Collection

from pvesim.cluster import storage
from pvesim.cluster.qemu import cloudinit, disks, drive, hotplug, machine, options, pending
from pvesim.cluster.qemu.disks import Log
from pvesim.cluster.qemu.hotplug import Refused, Running
from pvesim.cluster.qemu.rights import Caller
from pvesim.cluster.state import Cluster, Guest
from pvesim.errors import ApiError


def has_bridge(cluster: Cluster, node: str, bridge: str) -> bool:
    """Whether the node has an interface of that name."""
    return bridge in cluster.nodes[node].network


def write_cloudinit(cluster: Cluster, guest: Guest, log: Log) -> None:
    """Make the cloud-init drive anew where there is one (apply_cloudinit_config)."""
    slot = drive.cloudinit_slot(guest.config)
    one = drive.parse(slot, guest.config[slot]) if slot else None
    if one is None:
        return
    if storage.find(cluster, guest.node, one.file) is None:
        form = storage.parse(cluster, one.file).format
        storage.add(cluster, guest.node, one.file, cloudinit.DRIVE_BYTES, form, guest.vmid)
    log("generating cloud-init ISO")
    guest.cloudinit = {}


async def all_pending(call: Caller, guest: Guest, log: Log) -> dict[str, str]:
    """Apply everything to a stopped VM (vmconfig_apply_pending); what failed, by setting."""
    errors: dict[str, str] = {}
    if not guest.pending and not guest.pending_delete:
        return errors
    for key, force in sorted(guest.pending_delete.items()):
        one = drive.parse(key, guest.config.get(key, "")) if drive.is_drive(key) else None
        try:
            if one:
                await disks.detach(call, guest, one, log, force=force)
            pending.commit(guest, key)
        except ApiError as error:
            errors[key] = f"unable to apply pending change {key} : {error.message}\n"
    pending.tidy(guest)
    new_cloudinit = False
    for key in list(guest.pending):
        old = drive.parse(key, guest.config.get(key, "")) if drive.is_drive(key) else None
        new = drive.parse(key, guest.pending[key]) if drive.is_drive(key) else None
        try:
            if old and not (new and new.file == old.file):
                await disks.let_go(call.cluster, guest, old, log)
            new_cloudinit = new_cloudinit or bool(new and new.is_cloudinit)
            pending.commit(guest, key)
        except ApiError as error:
            errors[key] = f"unable to apply pending change {key} : {error.message}\n"
    machine.save(call.cluster, guest)
    if new_cloudinit:
        write_cloudinit(call.cluster, guest, log)
    return errors


async def to_running(call: Caller, guest: Guest, touched: Collection[str], log: Log) -> dict[str, str]:
    """Apply to a running VM what it takes, of the settings `touched` (vmconfig_hotplug_pending); what failed."""
    cluster, errors = call.cluster, {}
    for key in [key for key in guest.pending if options.is_fast(key)]:
        _commit(guest, key)
    vm = Running(
        guest.config,
        machine.has_system(cluster, guest),
        lambda name: has_bridge(cluster, guest.node, name),
        options.hotplug_features(guest.config),
    )
    for key, force in sorted(guest.pending_delete.items()):
        if key not in touched:
            continue
        try:
            if hotplug.removed(vm, key):
                one = drive.parse(key, guest.config.get(key, "")) if drive.is_drive(key) else None
                if one:
                    await disks.detach(call, guest, one, log, force=force)
                _commit(guest, key)
        except (Refused, ApiError) as error:
            errors[key] = f"hotplug problem - {error}\n"
    for key in sorted(set(guest.pending) & set(touched)):
        try:
            if hotplug.changed(vm, key, guest.pending[key]):
                await _plug(call, guest, key, log)
        except (Refused, ApiError) as error:
            errors[key] = f"hotplug problem - {error}\n"
    machine.save(cluster, guest)
    if "cloudinit" in options.hotplug_features(guest.config) and guest.cloudinit:
        write_cloudinit(cluster, guest, log)
    return errors


async def _plug(call: Caller, guest: Guest, key: str, log: Log) -> None:
    old = drive.parse(key, guest.config.get(key, "")) if drive.is_drive(key) else None
    new = drive.parse(key, guest.pending[key]) if drive.is_drive(key) else None
    _commit(guest, key)
    if old and new and old.file != new.file:
        await disks.let_go(call.cluster, guest, old, log)
    if new and new.is_cloudinit:
        write_cloudinit(call.cluster, guest, log)


def _commit(guest: Guest, key: str) -> None:
    """Put one setting into effect inside the running VM too."""
    cloudinit.changed(guest, key, guest.pending.get(key))
    pending.commit(guest, key)
    if guest.running is not None:
        if key in guest.config:
            guest.running[key] = guest.config[key]
        else:
            guest.running.pop(key, None)
