"""Changing a container's settings: noted as pending, then put into effect as far as its state allows.

PVE::LXC::Config: update_pct_config, vmconfig_hotplug_pending, vmconfig_apply_pending, apply_pending_mountpoint. Works
on the guest that it is given; whoever calls it throws that away when there are errors.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pvesim.cluster import disks as volumes
from pvesim.cluster import storage
from pvesim.cluster.lxc import disks, options, pending, properties
from pvesim.cluster.state import Cluster, Guest
from pvesim.errors import ApiError, TaskFailed
from pvesim.schema import formats
from pvesim.schema.types import FormatError

_REQUIRED = frozenset({"memory", "rootfs", "ostype"})
BRIDGE_MTU = 1500


@dataclass(frozen=True)
class Change:
    """What a caller wants: values to set, settings to drop, pending changes to take back."""

    set: Mapping[str, str]
    delete: Collection[str] = ()
    revert: Collection[str] = ()


async def update(cluster: Cluster, guest: Guest, change: Change) -> dict[str, str]:
    """Take in a change; the errors of settings that could not be put into effect. ApiError 500 for a bad value."""
    for key in change.revert:
        guest.pending.pop(key, None)
        guest.pending_delete.pop(key, None)
    touched = set()
    for key in change.delete:
        if key in guest.config or key in guest.pending:
            touched.add(key)
            _check_delete(guest, key)
            guest.pending.pop(key, None)
            guest.pending_delete[key] = False
    for key in sorted(change.set):
        touched.add(key)
        guest.pending[key] = _checked(cluster, guest, key, change.set[key])
        guest.pending_delete.pop(key, None)
    pending.tidy(guest)
    if guest.running is not None:
        return await _hotplug(cluster, guest, touched)
    return await apply_pending(cluster, guest, touched)


async def apply_pending(cluster: Cluster, guest: Guest, only: Collection[str] | None = None) -> dict[str, str]:
    """Put what waits (`only` these settings) into effect on a stopped container (vmconfig_apply_pending)."""
    errors: dict[str, str] = {}
    for key in sorted(guest.pending_delete):
        if only is not None and key not in only:
            continue
        try:
            await _remove_volume(cluster, guest, key)
        except (ApiError, TaskFailed) as error:
            errors[key] = f"unable to apply pending change {key} : {error}\n"
            continue
        _drop(guest, key)
    pending.tidy(guest)
    for key in sorted(guest.pending):
        if only is not None and key not in only:
            continue
        try:
            value = await _applied(cluster, guest, key, guest.pending[key], running=False)
        except (ApiError, TaskFailed) as error:
            errors[key] = f"unable to apply pending change {key} : {error}\n"
            continue
        _settle(guest, key, value)
    forget_used(guest)
    return errors


def forget_used(guest: Guest) -> None:
    """Drop `unusedN` of volumes that are in use (write_pct_config)."""
    used = {volume for _, volume in properties.volumes(guest.config)}
    for key in [key for key in guest.config if key.startswith("unused") and guest.config[key] in used]:
        del guest.config[key]


def in_use(guest: Guest, volume: str) -> bool:
    """Whether the config, its pending part or a snapshot has the volume in a slot (is_volume_in_use)."""
    sections = [guest.config, guest.pending, *(snapshot.config for snapshot in guest.snapshots.values())]
    return any(volume == held for section in sections for _, held in properties.volumes(section))


async def _hotplug(cluster: Cluster, guest: Guest, touched: Collection[str]) -> dict[str, str]:
    """Into effect while it runs, where that is possible; the rest keeps waiting (vmconfig_hotplug_pending)."""
    errors: dict[str, str] = {}
    for key in sorted(options.AT_ONCE & guest.pending.keys() & set(touched)):
        _settle(guest, key, guest.pending[key])
    for key in sorted(guest.pending_delete.keys() & set(touched)):
        if not _unpluggable(key):
            continue
        if key.startswith("unused"):
            await _remove_volume(cluster, guest, key)
        _drop(guest, key)
    for key in sorted(guest.pending.keys() & set(touched)):
        if not _pluggable(guest, key):
            continue
        try:
            value = await _applied(cluster, guest, key, guest.pending[key], running=True)
        except (ApiError, TaskFailed) as error:
            errors[key] = f"unable to hotplug {key}: {error}\n"
            continue
        _settle(guest, key, value)
    forget_used(guest)
    return errors


def _unpluggable(key: str) -> bool:
    # a network above net9 waits for a restart: Proxmox's pattern has one digit
    return key in options.AT_ONCE or re.match(r"(unused\d+|swap|cpulimit|cpuunits|net\d)$", key) is not None


def _pluggable(guest: Guest, key: str) -> bool:
    if re.match(r"(mp|dev)\d+$", key):
        return key not in guest.config
    return key in ("memory", "swap", "cpulimit", "cpuunits") or properties.NET.match(key) is not None


def _settle(guest: Guest, key: str, value: str) -> None:
    guest.pending.pop(key, None)
    guest.config[key] = value
    if key == "description" and not value:
        del guest.config[key]
    if guest.running is not None:
        guest.running[key] = value


def _drop(guest: Guest, key: str) -> None:
    guest.pending_delete.pop(key, None)
    guest.config.pop(key, None)
    if guest.running is not None:
        guest.running.pop(key, None)


async def _remove_volume(cluster: Cluster, guest: Guest, key: str) -> None:
    """A mount point that goes leaves its volume unused, an unused volume that goes is removed."""
    value = guest.config.get(key)
    if value is None:
        return
    if re.match(r"mp\d+$", key):
        volume = properties.parse(key, value)["volume"]
        if properties.mount_type(volume) == "volume":
            del guest.config[key]
            volumes.add_unused(guest, [volume])
    elif key.startswith("unused"):
        volume = properties.parse(key, value)["volume"]
        if not in_use(guest, volume):
            await disks.remove(cluster, guest.node, guest.vmid, volume)


async def _applied(cluster: Cluster, guest: Guest, key: str, value: str, *, running: bool) -> str:
    """The value as it is stored, after what it needs on the host was done."""
    if properties.NET.match(key):
        stored = properties.network(cluster, value)
        if running:
            _check_bridge(cluster, guest, stored)
        return stored
    if re.match(r"mp\d+$", key):
        return await _mount(cluster, guest, key, value)
    return value


async def _mount(cluster: Cluster, guest: Guest, key: str, value: str) -> str:
    parts = properties.parse(key, value)
    old = guest.config.get(key)
    if properties.mount_type(parts["volume"]) == "volume":
        if properties.NEW_VOLUME.match(parts["volume"]):
            parts = await disks.make(cluster, guest.node, guest.vmid, parts)
        else:
            parts["size"] = str(storage.get(cluster, guest.node, parts["volume"]).size)
    stored = properties.render(key, parts)
    if old is not None:
        before = properties.parse(key, old)["volume"]
        if properties.mount_type(before) == "volume" and before != parts["volume"]:
            guest.config[key] = stored
            volumes.add_unused(guest, [before])
    return stored


def _check_bridge(cluster: Cluster, guest: Guest, network: str) -> None:
    parts = properties.parse("net0", network)
    if parts.get("link_down") != "1" and not has_bridge(cluster, guest.node, parts.get("bridge")):
        raise ApiError(500, f"bridge '{parts['bridge']}' does not exist")


def has_bridge(cluster: Cluster, node: str, bridge: str | None) -> bool:
    return bridge is None or bridge in cluster.nodes[node].network


def _check_delete(guest: Guest, key: str) -> None:
    if key in _REQUIRED:
        raise ApiError(500, f"unable to delete required option '{key}'")
    if re.match(r"(unused|mp)\d+$", key):
        check_protection(guest, f"can't remove CT {guest.vmid} drive '{key}'")
    elif key == "unprivileged":
        raise ApiError(500, f"unable to delete read-only option: '{key}'")


def check_protection(guest: Guest, refusal: str) -> None:
    """ApiError 500 while the guest is protected (PVE::AbstractConfig, check_protection)."""
    if guest.config.get("protection") == "1":
        raise ApiError(500, f"{refusal} - protection mode enabled")


def _checked(cluster: Cluster, guest: Guest, key: str, value: str) -> str:
    """The value as it is noted; ApiError 500 where it cannot be."""
    if properties.MOUNT.match(key):
        check_protection(guest, f"can't update CT {guest.vmid} drive '{key}'")
        _check_mount(cluster, key, value)
    elif key == "unprivileged":
        raise ApiError(500, f"unable to modify read-only option: '{key}'")
    elif key == "tags":
        return options.text(options.unique_tags(cluster, value))
    elif key == "description":
        return options.description("" if value == options.EMPTY else value)
    elif key == "hookscript":
        _check_hookscript(cluster, guest, value)
    elif key in ("nameserver", "searchdomain"):
        return options.text(_name_list(key, value))
    elif properties.NET.match(key):
        _check_mtu(cluster, guest, key, value)
    elif re.match(r"dev\d+$", key):
        _check_device(key, value)
    return value


def _check_mount(cluster: Cluster, key: str, value: str) -> None:
    volume = properties.parse(key, value)["volume"]
    if properties.mount_type(volume) == "volume":
        name = storage.storage_of(volume)
        if "rootdir" not in storage.content_of(storage.lookup(cluster, name)):
            raise ApiError(500, f"storage '{name}' does not allow content type 'rootdir' (Container)")


def _check_hookscript(cluster: Cluster, guest: Guest, volume: str) -> None:
    if storage.parse(cluster, volume).content != "snippets":
        raise ApiError(500, f"'{volume}' is not in the snippets directory")
    if storage.find(cluster, guest.node, volume) is None:
        raise ApiError(500, f"script '{volume}' does not exist")


def _name_list(key: str, value: str) -> str:
    items = formats.split_list(value)
    kind = "lxc-ip-with-ll-iface" if key == "nameserver" else "dns-name"
    for item in items:
        try:
            formats.verify(kind, item)
        except FormatError as error:
            raise ApiError(500, error.message) from error
    return " ".join(items)


def _check_mtu(cluster: Cluster, guest: Guest, key: str, value: str) -> None:
    parts = properties.parse(key, value)
    if "mtu" not in parts:
        return
    bridge = parts.get("bridge", "")
    if bridge not in cluster.nodes[guest.node].network:
        raise ApiError(500, f"bridge '{bridge}' does not exist")
    limit = int(cluster.nodes[guest.node].network[bridge].get("mtu") or BRIDGE_MTU)
    if int(parts["mtu"]) > limit:
        raise ApiError(500, f"{key}: MTU size '{parts['mtu']}' is bigger than bridge MTU '{limit}'")


def _check_device(key: str, value: str) -> None:
    if "path" not in properties.parse(key, value):
        raise ApiError(500, "Path has to be defined")
