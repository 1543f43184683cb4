"""Who may set what on a virtual machine, in Proxmox's order and words (PVE::API2::Qemu, check_*_perm).

`call` brings the caller and asks the ACL; root@pam itself (by ticket, no token) may do everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Protocol

from pvesim.cluster import storage
from pvesim.cluster.access import Auth
from pvesim.cluster.qemu import drive, net, options, properties
from pvesim.cluster.state import Cluster
from pvesim.errors import ApiError, param_error


class Caller(Protocol):
    """What of an API call is needed here."""

    @property
    def cluster(self) -> Cluster: ...

    @property
    def auth(self) -> Auth: ...

    def check(self, path: str, *privs: str, any: bool = False) -> None: ...  # noqa: A002

    def allowed(self, path: str, *privs: str, any: bool = False) -> bool: ...  # noqa: A002


def check_vm(call: Caller, vmid: int, pool: str | None, *privileges: str, any_of: bool = False) -> None:
    """ApiError 403 unless granted on the VM or on the pool that it will be in (check_vm_perm)."""
    if not (pool and call.allowed(f"/pool/{pool}", *privileges, any=any_of)):
        call.check(f"/vms/{vmid}", *privileges, any=any_of)


def check_settings(call: Caller, vmid: int, pool: str | None, keys: Iterable[str]) -> None:
    """What depends on a setting's name alone (check_vm_modify_config_perm)."""
    if call.auth.is_root:
        return
    for key in keys:
        needed = options.privileges(key)
        if needed is None:
            raise ApiError(500, f"only root can set '{key}' config")
        privileges, any_of = needed
        if privileges:
            check_vm(call, vmid, pool, *privileges, any_of=any_of)
        if key == "startup":
            call.check("/", "Sys.Modify")


def check_device(call: Caller, vmid: int, pool: str | None, key: str, value: str, verb: str = "set") -> None:
    """What depends on the value of a serial port, a USB or PCI device, a random source or a shared directory."""
    if call.auth.is_root:
        return
    kind = key.rstrip("0123456789")
    if kind == "serial":
        if value != "socket":
            raise ApiError(500, f"only root can {verb} '{key}' config for real devices")
        check_vm(call, vmid, pool, "VM.Config.HWType")
    elif kind in ("usb", "hostpci"):
        _check_mapped(call, vmid, pool, kind, key, value)
    elif kind == "rng":
        check_vm(call, vmid, pool, "VM.Config.HWType")
        if properties.split(value, "source").get("source") == "/dev/hwrng":
            call.check("/mapping/hwrng", "Mapping.Use")
    elif kind == "virtiofs":
        check_vm(call, vmid, pool, "VM.Config.Disk")
        call.check(f"/mapping/dir/{properties.split(value, 'dirid').get('dirid', '')}", "Mapping.Use")


def _check_mapped(call: Caller, vmid: int, pool: str | None, kind: str, key: str, value: str) -> None:
    device = properties.split(value, "host")
    if kind == "usb":
        check_vm(call, vmid, pool, "VM.Config.HWType")
    if "host" in device:
        if kind == "hostpci":
            raise ApiError(500, f"only root can set '{key}' config for non-mapped devices")
        if device["host"].lower() != "spice":
            raise ApiError(500, f"only root can set '{key}' config for real devices")
    elif "mapping" in device:
        call.check(f"/mapping/{'pci' if kind == 'hostpci' else 'usb'}/{device['mapping']}", "Mapping.Use")
        if kind == "hostpci":
            check_vm(call, vmid, pool, "VM.Config.HWType")
    else:
        raise ApiError(500, "either 'host' or 'mapping' must be set.")
    if "romfile" in device:
        raise param_error(**{key: "only root@pam can set 'romfile' option"})


def check_drive(call: Caller, vmid: int, text: str, slot: str) -> None:
    """What a change of this drive needs on the VM."""
    one = drive.parse(slot, text)
    if one and one.is_cloudinit:
        check_vm(call, vmid, None, "VM.Config.Cloudinit", "VM.Config.CDROM")
    elif one and one.is_cdrom:
        check_vm(call, vmid, None, "VM.Config.CDROM")
    else:
        check_vm(call, vmid, None, "VM.Config.Disk")


def check_bridges(call: Caller, config: Mapping[str, str]) -> None:
    """SDN.Use on every bridge, on the tags where there are some (check_bridge_access)."""
    if call.auth.is_root:
        return
    for slot in sorted(key for key in config if net.IS_NET.fullmatch(key)):
        device = net.parse(config[slot])
        if device.bridge is None:
            continue
        path = f"/sdn/zones/localnetwork/{device.bridge}"
        tags = [device.options["tag"]] if "tag" in device.options else []
        tags += _trunks(device.options.get("trunks", ""))
        for where in [f"{path}/{tag}" for tag in tags] or [path]:
            call.check(where, "SDN.Use")


def _trunks(text: str) -> list[str]:
    tags: list[str] = []
    for part in filter(None, text.split(";")):
        first, _, last = part.partition("-")
        tags += map(str, range(int(first), int(last or first) + 1))
    return tags


def check_storages(
    call: Caller,
    vmid: int,
    settings: Mapping[str, str],
    default: str | None = None,
    extraction: str | None = None,
) -> None:
    """Every storage and volume that the settings name: is it the caller's to use, can it hold images."""
    for slot in sorted(filter(drive.is_drive, settings)):
        if one := drive.parse(slot, settings[slot]):
            _check_volume(call, vmid, one, default)
            _check_source(call, vmid, one, extraction)
    for key in sorted(drive.unused(settings)):
        volid = properties.split(settings[key], "file").get("file", "")
        if not re.fullmatch(r"[^:/]+:.+", volid):
            raise param_error(**{key: f"not a valid volid: {volid}"})
        storage.check_access(call.cluster, call.auth, vmid, volid, "images")
    if "vmstatestorage" in settings:
        call.check(f"/storage/{settings['vmstatestorage']}", "Datastore.AllocateSpace")
    if "cicustom" in settings:
        for volid in sorted(properties.split(settings["cicustom"], "meta").values()):
            storage.check_access(call.cluster, call.auth, vmid, volid, "snippets")


def _check_volume(call: Caller, vmid: int, one: drive.Drive, default: str | None) -> None:
    if one.file == "none" or one.file == "cloudinit" or one.file.endswith(":cloudinit"):
        return
    if one.is_cdrom and one.file == "cdrom":
        call.check("/", "Sys.Console")
    elif not one.is_cdrom and (request := one.request):
        name = request.storage or default
        if not name:
            raise ApiError(500, "no storage ID specified (and no default storage)")
        call.check(f"/storage/{name}", "Datastore.AllocateSpace")
        if "images" not in storage.content_of(storage.lookup(call.cluster, name)):
            raise param_error(storage=f"storage '{name}' does not support vm images")
    else:
        storage.check_access(call.cluster, call.auth, vmid, one.file)
        if one.storage and storage.parse(call.cluster, one.file).content not in ("images", "iso"):
            raise param_error(**{one.slot: "content type needs to be 'images' or 'iso'"})


def _check_source(call: Caller, vmid: int, one: drive.Drive, extraction: str | None) -> None:
    source = one.options.get("import-from")
    if source is None:
        return
    owner = None
    if not source.startswith("/"):
        where = storage.lookup(call.cluster, storage.storage_of(source))
        volume = storage.parse(call.cluster, source)
        owner = volume.vmid
        if volume.content not in ("images", "import"):
            text = f"{source} has wrong type '{volume.content}' - needs to be 'images' or 'import'"
            raise param_error(**{one.slot: text})
        if volume.content == "import" and volume.format in ("ova", "ovf"):
            if extraction:
                where = storage.lookup(call.cluster, extraction)
            if "images" not in storage.content_of(where) or not storage.type_of(where).files:
                key = "import-working-storage" if extraction else one.slot
                lack = "does not support 'images' content type or is not file based."
                text = f"import working storage '{where.storage}' {lack}"
                raise param_error(**{key: text})
            call.check(f"/storage/{where.storage}", "Datastore.AllocateSpace")
    if owner:
        call.check(f"/vms/{owner}", "VM.Clone")
    else:
        storage.check_access(call.cluster, call.auth, vmid, source)


def check_tags(call: Caller, vmid: int, old: str, new: str) -> None:
    """Whether the caller may add and remove these tags (PVE::GuestHelpers, assert_tag_permissions)."""
    check_vm(call, vmid, None, "VM.Config.Options")
    if call.allowed("/", "Sys.Modify"):
        return
    options_ = call.cluster.options
    registered = set(properties.items(str(options_.get("registered-tags") or "")))
    policy = properties.split(str(options_.get("user-tag-access") or ""), "user-allow")
    mode = policy.get("user-allow", "free")
    known = set(properties.items(policy.get("user-allow-list", ""))) if mode != "none" else set()
    if mode == "existing":
        for other in call.cluster.guests.values():
            if call.allowed(f"/vms/{other.vmid}", "VM.Audit"):
                known |= set(properties.items(other.config.get("tags")))
    for tag in sorted(set(properties.items(old)) ^ set(properties.items(new))):
        if tag in registered or (mode != "free" and tag not in known):
            raise ApiError(403, f"Permission check failed (/, Sys.Modify for modifying tag '{tag}')")
