"""What a caller asks of a virtual machine's settings, checked and put into Proxmox's form before anything happens."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pvesim.cluster import storage
from pvesim.cluster.qemu import drive, net, options, properties
from pvesim.cluster.qemu.rights import Caller
from pvesim.cluster.state import Cluster, Config
from pvesim.errors import ApiError, param_error

MAX_CPUUNITS = 10000  # the limit of cgroup v2


def raw(value: object) -> str:
    """A typed parameter as the config file has it."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, list):
        return ",".join(map(raw, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def taken(params: Mapping[str, Any], besides: frozenset[str]) -> Config:
    """The parameters that are settings; ApiError 500 for one without a value (`name=` in a form, null in JSON)."""
    found = {key: value for key, value in params.items() if key not in besides}
    for key in sorted(found):
        if found[key] is None and key not in ("tags", "description"):
            raise ApiError(500, f"unable to parse value of '{key}' - got undefined value")
    texts = {key: "" if value is None else raw(value) for key, value in found.items()}
    # the file's lines lose blanks at their ends, a description those after it
    return {key: text.rstrip() if key == "description" else text.strip() for key, text in texts.items()}


def normalize(settings: Config) -> None:
    """Spell `cdrom` as `ide2` and keep `cpuunits` within the limit."""
    if value := settings.pop("cdrom", ""):
        settings["ide2"] = value if "media=" in value else f"{value},media=cdrom"
    if "cpuunits" in settings:
        settings["cpuunits"] = str(min(max(int(settings["cpuunits"]), 1), MAX_CPUUNITS))


def check_ssh_keys(settings: Mapping[str, str]) -> None:
    """ApiError 500 unless `sshkeys`, decoded, holds public keys (PVE::Tools, validate_ssh_public_keys)."""
    for line in filter(str.strip, unquote(settings.get("sshkeys", "")).splitlines()):
        if not _is_public_key(line):
            raise ApiError(500, "SSH public key validation error")


def _is_public_key(line: str) -> bool:
    found = re.search(r"((?:ssh|sk-ssh|ecdsa|sk-ecdsa)-[\w@.-]+)\s+([A-Za-z0-9+/]+=*)", line)
    if not found:
        return False
    try:
        blob = base64.b64decode(found[2] + "=" * (-len(found[2]) % 4), validate=True)
    except binascii.Error:
        return False
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")] == found[1].encode()


def check_lines(settings: Mapping[str, str]) -> None:
    """ApiError 500 for a value that would break the file's lines (check_type)."""
    for key in sorted(settings):
        if key != "description" and re.search(r"[\r\n]", settings[key]):
            raise ApiError(500, f"unable to parse value of '{key}' - property contains a line feed")


def check_drives(cluster: Cluster, settings: Config, extra: Callable[[drive.Drive], None] | None = None) -> None:
    """Each drive can be read, imports as Proxmox wants it and is spelled its way (check_drive_param); else 400."""
    for slot in sorted(filter(drive.is_drive, settings)):
        one = drive.parse(slot, settings[slot])
        if one is None:
            raise param_error(**{slot: "unable to parse drive options"})
        if "import-from" in one.options:
            _check_import(one)
        if re.fullmatch(r"cdrom|none", one.file) and "media" not in one.options:
            one = one.with_options(media="cdrom")
        if one.file.startswith("/") and not one.file.startswith("/dev/"):
            raise param_error(**{slot: f"unable to associate path '{one.file}' to any storage"})
        managed = one.storage and not one.request and not one.file.endswith(":cloudinit")
        if managed and storage.parse(cluster, one.file).content == "iso" and not one.is_cdrom:
            raise param_error(**{slot: "explicit 'media=cdrom' is required for iso images"})
        if extra:
            extra(one)
        settings[slot] = one.text()


def _check_import(one: drive.Drive) -> None:
    if one.request is None or one.request.size != 0:
        text = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>"
        raise param_error(**{one.slot: text})
    needed = {"efidisk0": ("efitype", "pre-enrolled-keys"), "tpmstate0": ("version",)}.get(one.slot, ())
    for name in needed:
        if name not in one.options:
            raise param_error(**{one.slot: f"need to specify '{name}' when using 'import-from'"})


def complete_nets(cluster: Cluster, settings: Config) -> None:
    """Give every network device an address, in Proxmox's spelling (add_random_macs)."""
    prefix = str(cluster.options.get("mac_prefix") or "") or None
    for key in filter(net.IS_NET.fullmatch, settings):
        settings[key] = net.parse(settings[key], prefix).text()


def check_vga(settings: Mapping[str, str]) -> None:
    """ApiError 500 for a display that cannot have a VNC clipboard (assert_clipboard_config)."""
    vga = properties.split(settings.get("vga", ""), "type")
    kind = vga.get("type")
    if vga.get("clipboard") == "vnc" and kind and not re.match(r"std|cirrus|vmware|virtio|qxl", kind):
        raise ApiError(500, f"vga type {kind} is not compatible with VNC clipboard")


def check_balloon(settings: Mapping[str, str], current: Mapping[str, str], waiting: Mapping[str, str]) -> None:
    """ApiError 500 where the balloon's target is above the memory."""
    if "memory" not in settings and "balloon" not in settings:
        return
    memory = {"memory": settings.get("memory") or waiting.get("memory") or current.get("memory", "512")}
    balloon = settings.get("balloon", waiting.get("balloon") or current.get("balloon", "0"))
    if int(balloon) > options.memory_mib(memory):
        raise ApiError(500, "balloon value too large (must be smaller than assigned memory)")


def check_hookscript(call: Caller, node: str, volid: str) -> str | None:
    """Why a volume is no hook script (PVE::GuestHelpers, check_hookscript)."""
    try:
        if storage.parse(call.cluster, volid).content != "snippets":
            return f"'{volid}' is not in the snippets directory\n"
    except ApiError as error:
        return f"{error.message}\n"
    return None if storage.find(call.cluster, node, volid) else f"script '{volid}' does not exist\n"


def new_uuid() -> str:
    return str(uuid.uuid4())


def renew_smbios(text: str) -> str:
    """The same SMBIOS settings with another uuid (what a clone gets)."""
    return properties.join({**properties.split(text, "uuid"), "uuid": new_uuid()})
