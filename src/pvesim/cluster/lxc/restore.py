"""What a backup gives to a container made from it (PVE::LXC::Create: recover_config, restore_configuration)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pvesim.cluster import storage
from pvesim.cluster.lxc import properties, rights
from pvesim.cluster.qemu.rights import Caller
from pvesim.cluster.state import Cluster, Config, Guest
from pvesim.cluster.tasks import TaskLog
from pvesim.errors import TaskFailed

GIB = 2**30
_NOT_RESTORED = frozenset({"digest", "unprivileged", "parent", "lock", "template", "snaptime"})


@dataclass(frozen=True)
class Backup:
    """The settings in an archive: mount points apart, `lxc.*` lines apart."""

    settings: Config
    mounts: Config
    raw_lxc: list[list[str]]
    firewall: dict[str, Any] = field(default_factory=dict)

    @property
    def unprivileged(self) -> bool:
        return self.settings.get("unprivileged") == "1"


def recover(cluster: Cluster, node: str, archive: str) -> Backup:
    """What the archive holds; the volume's `extra["config"]` is the config that was backed up."""
    volume = storage.get(cluster, node, archive)
    held = dict(volume.extra.get("config") or {})
    if "rootfs" not in held:
        raise TaskFailed("rootfs configuration could not be recovered, please check and specify manually!")
    mounts = {key: value for key, value in held.items() if properties.MOUNT.match(key)}
    settings = {key: value for key, value in held.items() if key not in mounts and not key.startswith("unused")}
    lines = [list(line) for line in volume.extra.get("lxc") or []]
    return Backup(settings, mounts, lines, deepcopy(volume.extra.get("firewall") or {}))


def check(call: Caller, backup: Backup, config: Config, unprivileged: bool | None, guest: Guest) -> None:
    """Rights that depend on what the archive holds; takes over its `unprivileged` where none was given."""
    for key, value in backup.settings.items():
        if properties.NET.match(key) and key not in config:
            rights.check_bridge(call, value)
    if unprivileged is None and backup.unprivileged:
        config["unprivileged"] = "1"
    new = len(guest.config) <= 1
    if config.get("unprivileged") != "1" and (new or guest.config.get("unprivileged") == "1"):
        call.check("/", "Sys.Modify")


def mounts(call: Caller, backup: Backup, target: str, config: Config) -> Config:
    """The mount points to make on `target`; those that are no volumes go into `config` as they were."""
    wanted: Config = {}
    for key, parts in properties.mounts(backup.mounts):
        kind = properties.mount_type(parts["volume"])
        if kind == "volume":
            size = properties.size_of(parts)
            if size is None:
                raise TaskFailed(f"unable to detect disk size - please specify {key} (size)")
            rest = {name: value for name, value in parts.items() if name != "size"}
            wanted[key] = properties.render(key, rest | {"volume": f"{target}:{size / GIB:.15g}"})
        elif key == "rootfs":
            raise TaskFailed(f"restoring rootfs to {kind} mount is only possible by specifying -rootfs manually!")
        elif not call.auth.is_root:
            raise TaskFailed(f"restoring '{key}' to {kind} mount is only possible for root")
        else:
            config[key] = properties.render(key, parts)
    return wanted


def merge(call: Caller, backup: Backup, config: Config, guest: Guest, *, unique: bool, log: TaskLog) -> bool:
    """Fill in what the caller did not set; returns whether the backup was of a template."""
    restricted = not call.auth.is_root
    for key, value in backup.settings.items():
        if key in config or key in _NOT_RESTORED:
            continue
        if restricted and key == "features" and config.get("unprivileged") != "1":
            log("skipping restore of 'features' from config, due to 'restricted' mode")
            continue
        config[key] = _fresh_mac(call.cluster, value) if unique and properties.NET.match(key) else value
    if backup.raw_lxc and restricted:
        log("skipping custom lxc options, restore manually as root:")
        for name, value in backup.raw_lxc:
            log(f"{name}: {value}")
    else:
        guest.raw_lxc = [list(line) for line in backup.raw_lxc]
    # who may restore but not allocate cannot bring a firewall along either
    if backup.firewall and call.allowed(f"/vms/{guest.vmid}", "VM.Allocate"):
        guest.firewall = backup.firewall
    return backup.settings.get("template") == "1"


def _fresh_mac(cluster: Cluster, network: str) -> str:
    parts: Mapping[str, str] = properties.parse("net0", network)
    return properties.render("net0", {**parts, "hwaddr": properties.random_mac(cluster)})
