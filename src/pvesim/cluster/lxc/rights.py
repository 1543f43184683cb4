"""Who may set what on a container, in Proxmox's words (PVE::LXC, check_ct_modify_config_perm and check_bridge_access).

root@pam itself (by ticket, no token) may do everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pvesim.cluster import storage
from pvesim.cluster.access import denied
from pvesim.cluster.lxc import properties
from pvesim.cluster.qemu.rights import Caller, check_tags, check_vm
from pvesim.cluster.state import Config

_CPU = frozenset({"cores", "cpuunits", "cpulimit"})
_MEMORY = frozenset({"memory", "swap"})
_NAMES = frozenset({"nameserver", "searchdomain", "hostname"})


def check_settings(
    call: Caller,
    vmid: int,
    pool: str | None,
    old: Mapping[str, str],
    new: Mapping[str, str],
    delete: Iterable[str] = (),
    *,
    unprivileged: bool,
) -> None:
    """ApiError 403 (500 for a volume) unless the caller may set `new` and remove `delete`."""
    if call.auth.is_root:
        return
    for key in new:
        _check(call, vmid, pool, key, old, new[key], unprivileged)
    for key in delete:
        _check(call, vmid, pool, key, old, None, unprivileged)


def check_bridge(call: Caller, text: str) -> None:
    """SDN.Use on the bridge, on each of its tags where there are some."""
    if call.auth.is_root:
        return
    parts = properties.parse("net0", text)
    if "bridge" not in parts:
        return
    path = f"/sdn/zones/localnetwork/{parts['bridge']}"
    tags = [parts["tag"]] if "tag" in parts else []
    tags += [tag for tag in parts.get("trunks", "").split(";") if tag]
    for where in [f"{path}/{tag}" for tag in tags] or [path]:
        call.check(where, "SDN.Use")


def _check(
    call: Caller, vmid: int, pool: str | None, key: str, old: Mapping[str, str], value: str | None, unprivileged: bool
) -> None:
    if properties.MOUNT.match(key):
        _check_mount(call, vmid, pool, key, value)
    elif properties.NET.match(key):
        check_vm(call, vmid, pool, "VM.Config.Network")
        for network in (old.get(key), value):
            if network:
                check_bridge(call, network)
    elif re.match(r"dev\d+$", key):
        raise denied("configuring device passthrough is only allowed for root@pam")
    elif key == "features":
        _check_features(call, vmid, pool, old.get(key), value, unprivileged)
    elif key == "hookscript":
        raise denied("changing the hookscript is only allowed for root@pam")
    elif key == "tags":
        check_tags(call, vmid, old.get(key, ""), value or "")
    else:
        check_vm(call, vmid, pool, _privilege(key))


def _privilege(key: str) -> str:
    if key in _CPU:
        return "VM.Config.CPU"
    if key in _MEMORY:
        return "VM.Config.Memory"
    return "VM.Config.Network" if key in _NAMES else "VM.Config.Options"


def _check_mount(call: Caller, vmid: int, pool: str | None, key: str, value: str | None) -> None:
    check_vm(call, vmid, pool, "VM.Config.Disk")
    if value is None:
        return
    volume = properties.parse(key, value)["volume"]
    kind = properties.mount_type(volume)
    if kind != "volume":
        raise denied(f"mount point type {kind} is only allowed for root@pam")
    new = properties.NEW_VOLUME.match(volume)
    if new:
        call.check(f"/storage/{new[1]}", "Datastore.AllocateSpace")
    else:
        storage.check_access(call.cluster, call.auth, vmid, volume, "rootdir")


def _check_features(
    call: Caller, vmid: int, pool: str | None, old: str | None, value: str | None, unprivileged: bool
) -> None:
    if not unprivileged:
        raise denied("changing feature flags for privileged container is only allowed for root@pam")
    before = _features(old)
    after = _features(value)
    if value is None or not old:
        given = after if value is not None else before
        nesting = len(given) == 1 and given.get("nesting") == "1"
        others = bool(given) and not nesting
    else:
        changed = {name for name in before.keys() | after.keys() if before.get(name, "") != after.get(name, "")}
        nesting, others = "nesting" in changed, bool(changed - {"nesting"})
    if others:
        raise denied("changing feature flags (except nesting) is only allowed for root@pam")
    if nesting:
        check_vm(call, vmid, pool, "VM.Allocate")


def _features(text: str | None) -> Config:
    return properties.parse("features", text) if text else {}
