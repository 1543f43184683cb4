"""Which changes a running virtual machine takes at once (PVE::QemuServer, vmconfig_hotplug_pending).

`changed` and `removed` answer True: in effect, False: waits for a restart; Refused: tried and failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pvesim.cluster.qemu import drive, net, options, properties
from pvesim.cluster.state import Config

_FIXED = ("aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro")


class Refused(Exception):
    """The text after `hotplug problem - `."""


@dataclass(frozen=True)
class Running:
    """A running VM: its config, whether a system inside can let go of a device, and which bridges the node has."""

    config: Config
    has_system: bool
    has_bridge: Callable[[str], bool]
    features: frozenset[str]  # as they were before the request: Proxmox reads `hotplug` once


def removed(vm: Running, key: str) -> bool:
    """Whether a setting can go."""
    features = vm.features
    if options.is_fast(key) or key in ("cpuunits", "cpulimit"):
        return True
    if net.IS_NET.fullmatch(key):
        return "network" in features and _unplug(vm, key)
    if drive.is_drive(key):
        return "disk" in features and not re.match(r"efidisk|ide|sata|tpmstate", key) and _unplug(vm, key)
    if key == "hotplug":
        return not re.search(r"cpu|memory", vm.config.get("hotplug", ""))
    if key == "balloon":
        return vm.config.get("balloon") != "0"
    return _by_feature(vm, key)


def changed(vm: Running, key: str, value: str) -> bool:
    """Whether a setting can take `value`."""
    if options.is_fast(key) or key in ("cpuunits", "cpulimit"):
        return True
    if net.IS_NET.fullmatch(key):
        return _net(vm, key, value)
    if drive.is_drive(key):
        return not re.match(r"efidisk|tpmstate", key) and _drive(vm, key, value)
    if key == "hotplug":
        return not re.search(r"cpu|memory", value + vm.config.get("hotplug", ""))
    if key == "balloon":
        return (vm.config.get("balloon") == "0") == (value == "0")
    if key == "agent":
        return _agent(vm, value)
    return _by_feature(vm, key)


def _by_feature(vm: Running, key: str) -> bool:
    features = vm.features
    if key == "tablet":
        return "usb" in features
    if re.fullmatch(r"usb\d+", key):
        modern = vm.config.get("ostype") == "l26" or re.match(r"win(8|1\d)", vm.config.get("ostype", "")) is not None
        return "usb" in features and modern
    return {"vcpus": "cpu", "memory": "memory"}.get(key, "-") in features


def _unplug(vm: Running, key: str) -> bool:
    if key in options.boot_order(vm.config) and drive.is_drive(key):
        raise Refused(f"can't unplug bootdisk '{key}'")
    if not vm.has_system and re.match(r"net|virtio", key):
        raise Refused(f"error on hot-unplugging device '{key}'")
    return True


def _net(vm: Running, key: str, value: str) -> bool:
    new = net.parse(value)
    if key in vm.config:
        old = net.parse(vm.config[key])
        same = (old.model, old.mac) == (new.model, new.mac) and old.bridge and new.bridge
        if same and all(old.options.get(name) == new.options.get(name) for name in ("queues", "mtu")):
            _check_bridge(vm, new)
            return True
        if "network" not in vm.features:
            return False
        _unplug(vm, key)
    elif "network" not in vm.features:
        return False
    _check_bridge(vm, new)
    return True


def _check_bridge(vm: Running, device: net.Net) -> None:
    if device.bridge and not vm.has_bridge(device.bridge):
        raise Refused(f"bridge '{device.bridge}' does not exist")


def _drive(vm: Running, key: str, value: str) -> bool:
    new, old = drive.parse(key, value), drive.parse(key, vm.config.get(key, ""))
    pluggable = "disk" in vm.features and not re.match(r"ide|sata", key)
    if new is None or old is None:
        return pluggable
    if new.is_cdrom != old.is_cdrom:
        raise Refused("unable to change media type")
    if old.is_cdrom:
        return True
    if new.file != old.file:
        return pluggable and _unplug(vm, key)
    return all(new.options.get(name) == old.options.get(name) for name in _FIXED)


def _agent(vm: Running, value: str) -> bool:
    if "agent" not in vm.config:
        return False
    old, new = (properties.split(text, "enabled") for text in (vm.config["agent"], value))
    names = (old.keys() | new.keys()) - {"fstrim_cloned_disks"}
    return all(old.get(name) == new.get(name) for name in names)
