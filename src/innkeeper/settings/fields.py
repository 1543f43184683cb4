"""Which field of a manifest is which Proxmox setting, and how its value is spelt on both sides."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from innkeeper.model.plan import Json
from innkeeper.model.units import MiB, format_quantity
from innkeeper.settings import canonical, table
from innkeeper.settings.table import How, Setting


@dataclass(frozen=True, slots=True)
class Field:
    """One row: `path` in the manifest (`network[].vlan`), the setting and sub-key it sets, and its unit.

    `how` where it differs from the setting's; `note` is for the reference page.
    """

    path: str
    setting: str
    part: str = ""
    unit: str = "text"
    how: How | None = None
    note: str = ""

    @property
    def group(self) -> str:
        """`network`, `mounts`, `disks` for the fields of a list's items, else empty."""
        return self.path.partition("[]")[0] if "[]" in self.path else ""

    @property
    def leaf(self) -> str:
        """The path inside the list's item, or the whole path."""
        return self.path.rpartition("[].")[2]

    def encode(self, value: Any) -> str:
        """A spec's value as Proxmox takes it; empty: it must not be set."""
        return _UNITS[self.unit][0](value)

    def decode(self, text: str) -> Json:
        """Proxmox's value in the manifest's spelling; ValueError when the manifest cannot say it."""
        return _UNITS[self.unit][1](text)


def _flag(text: str) -> bool:
    value = canonical.canonical("flag", text)
    if value not in ("0", "1"):
        raise ValueError(f"{text!r} is neither on nor off")
    return value == "1"


def _number(text: str) -> Json:
    value = float(text)
    return int(value) if value == int(value) else value


def _switch(text: str) -> bool:
    return {"on": True, "ignore": False}[text]


def _mib(text: str) -> Json:
    return format_quantity(int(text) * MiB) if int(text) else 0


_UNITS: Mapping[str, tuple[Callable[[Any], str], Callable[[str], Json]]] = {
    "text": (str, str),
    "lower": (str, lambda text: canonical.canonical("cidr", text)),
    "mac": (str, str.upper),
    "flag": (lambda value: str(int(value)), _flag),
    "integer": (str, lambda text: int(canonical.canonical("integer", text))),
    "number": (lambda value: f"{value:.10g}", _number),
    "MiB": (lambda value: str(value // MiB), _mib),
    "size": (str, lambda text: format_quantity(canonical.parse_size(text))),
    "on/ignore": (lambda value: "on" if value else "ignore", _switch),
    "words": (" ".join, lambda text: list(canonical.items(text))),
    "list": (lambda value: ";".join(map(str, value)), lambda text: list(canonical.items(text))),
    "integers": (lambda value: ";".join(map(str, value)), lambda text: [int(item) for item in canonical.items(text)]),
    "keys": (canonical.escape_keys, lambda text: list(canonical.key_lines(text))),
}

_COMMON = (
    Field("startOnBoot", "onboot", unit="flag"),
    Field("protected", "protection", unit="flag", note="blocks delete and replace, here and in Proxmox"),
    Field("cpu.cores", "cores", unit="integer"),
    Field("cpu.limit", "cpulimit", unit="number"),
    Field("cpu.units", "cpuunits", unit="integer", note="Proxmox keeps at most 10000"),
)
_NIC = (
    Field("network[].bridge", "net[n]", "bridge"),
    Field("network[].vlan", "net[n]", "tag", "integer"),
    Field("network[].trunks", "net[n]", "trunks", "integers"),
    Field("network[].firewall", "net[n]", "firewall", "flag"),
    Field("network[].mtu", "net[n]", "mtu", "integer"),
    Field("network[].rate", "net[n]", "rate", "number"),
    Field("network[].linkDown", "net[n]", "link_down", "flag"),
)
_CONTAINER = (
    Field("hostname", "hostname", note="the object's name where it is left out"),
    *_COMMON,
    Field("memory", "memory", unit="MiB"),
    Field("swap", "swap", unit="MiB"),
    Field("unprivileged", "unprivileged", unit="flag"),
    Field("dns.nameservers", "nameserver", unit="words"),
    Field("dns.search", "searchdomain"),
    Field("features.nesting", "features", "nesting", "flag"),
    Field("features.keyctl", "features", "keyctl", "flag", note="only root@pam itself may"),
    Field("features.fuse", "features", "fuse", "flag", note="only root@pam itself may"),
    Field("features.mknod", "features", "mknod", "flag", note="only root@pam itself may"),
    Field("features.forceRwSys", "features", "force_rw_sys", "flag", note="only root@pam itself may"),
    Field("features.mount", "features", "mount", "list", note="only root@pam itself may"),
    Field("network[].name", "net[n]", "name"),
    *_NIC,
    Field("network[].mac", "net[n]", "hwaddr", "mac", note="Proxmox's choice is kept where it is left out"),
    Field("network[].ip", "net[n]", "ip", "lower"),
    Field("network[].gateway", "net[n]", "gw", "lower"),
    Field("network[].ip6", "net[n]", "ip6", "lower"),
    Field("network[].gateway6", "net[n]", "gw6", "lower"),
    Field("mounts[].path", "mp[n]", "mp", note="without a slot another path is another mount"),
    Field("mounts[].backup", "mp[n]", "backup", "flag"),
    Field("mounts[].readOnly", "mp[n]", "ro", "flag"),
    Field("mounts[].quota", "mp[n]", "quota", "flag"),
    Field("mounts[].acl", "mp[n]", "acl", "flag"),
    Field("mounts[].replicate", "mp[n]", "replicate", "flag"),
    Field("mounts[].shared", "mp[n]", "shared", "flag"),
)
_MACHINE = (
    Field("hostname", "name", note="the object's name where it is left out"),
    *_COMMON,
    Field("cpu.sockets", "sockets", unit="integer"),
    Field("cpu.type", "cpu", "cputype"),
    Field("memory", "memory", "current", "MiB"),
    Field("balloon", "balloon", unit="MiB", note="from or to 0 needs a restart"),
    Field("bootOrder", "boot", "order", "list"),
    Field("osType", "ostype"),
    Field("agent", "agent", "enabled", "flag"),
    Field("firmware", "bios"),
    Field("machine", "machine", "type", note="`pc` and `q35` are met by any version of theirs"),
    Field("network[].model", "net[n]", "model"),
    *_NIC,
    Field("network[].mac", "net[n]", "macaddr", "mac", note="Proxmox's choice is kept where it is left out"),
    Field("network[].queues", "net[n]", "queues", "integer"),
    Field("cloudInit.user", "ciuser"),
    Field("cloudInit.sshKeys", "sshkeys", unit="keys"),
    Field("cloudInit.ip", "ipconfig0", "ip", "lower"),
    Field("cloudInit.gateway", "ipconfig0", "gw", "lower"),
    Field("cloudInit.ip6", "ipconfig0", "ip6", "lower"),
    Field("cloudInit.gateway6", "ipconfig0", "gw6", "lower"),
    Field("cloudInit.nameservers", "nameserver", unit="words"),
    Field("cloudInit.search", "searchdomain"),
    Field("cloudInit.upgrade", "ciupgrade", unit="flag"),
    Field("disks[].cache", "scsi[n]", "cache"),
    Field("disks[].discard", "scsi[n]", "discard", "on/ignore"),
    Field("disks[].ssd", "scsi[n]", "ssd", "flag"),
    Field("disks[].iothread", "scsi[n]", "iothread", "flag"),
    Field("disks[].backup", "scsi[n]", "backup", "flag"),
    Field("disks[].replicate", "scsi[n]", "replicate", "flag"),
)


@cache
def fields(kind: str, group: str = "") -> tuple[Field, ...]:
    """The fields of a kind that are settings: those outside lists, or those of one list's items."""
    return tuple(row for row in (_CONTAINER if kind == "Container" else _MACHINE) if row.group == group)


@cache
def _by_setting(kind: str) -> Mapping[tuple[str, str], Field]:
    return {(row.setting, row.part): row for row in (_CONTAINER if kind == "Container" else _MACHINE)}


@lru_cache(4096)
def field_of(kind: str, name: str, part: str = "") -> Field | None:
    """The field that sets this setting or sub-key (`net0`, `bridge`)."""
    rows = _by_setting(kind)
    base = re.sub(r"\d+$", "[n]", name)
    if group_of(kind, name) == "disks":
        base = "scsi[n]"
    return rows.get((name, part)) or rows.get((base, part))


@lru_cache(4096)
def group_of(kind: str, name: str) -> str:
    """The list whose item this slot is: `network`, `mounts`, `disks`, `rootDisk`; empty for any other setting."""
    if name == "rootfs":
        return "rootDisk"
    setting = table.find(kind, name)
    if setting and "volume" in setting.marks:
        return "mounts" if kind == "Container" else "disks"
    return "network" if setting and "device" in setting.marks else ""


def label(kind: str, name: str, part: str = "", item: str = "") -> str:
    """What a person reads for a setting: `cpu.cores`, `network.eth0.vlan`, `disks.scsi0`, `options.console`.

    `item` names a list's item (a container's nic by its name, a mount by its path), otherwise its slot does.
    """
    row = field_of(kind, name, part)
    group = group_of(kind, name)
    if group == "rootDisk":
        return f"rootDisk.{part}" if part else group
    if group and (row or not part):
        return ".".join(filter(None, (group, item or name, row.leaf if row else "")))
    if row:
        return row.path
    return ".".join(filter(None, ("options", name, part)))


def shown(kind: str, name: str, part: str, text: str | None) -> Json:
    """A value in the manifest's spelling; Proxmox's own text where the manifest has no word for it."""
    row = field_of(kind, name, part)
    if text is None or text == "":
        return None
    if row is None:
        return text
    try:
        return row.decode(text)
    except (ValueError, KeyError):
        return text


@cache
def snake(path: str) -> str:
    """`linkDown` → `link_down`, as the model's attributes are spelt."""
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), path)


@cache
def _attributes(path: str) -> tuple[str, ...]:
    return tuple(map(snake, path.split(".")))


@cache
def _steps(path: str) -> tuple[str, ...]:
    return tuple(snake(name) for name in path.split("."))


def named(value: Any, path: str) -> Any:
    """What the author named at `path` (`cpu.cores`) of a spec or one of its items; None when it is left out."""
    for attribute in _steps(path):
        if value is None or attribute not in value.model_fields_set:
            return None
        value = getattr(value, attribute)
    return value


def encoded(kind: str, group: str, value: Any) -> Iterator[tuple[Field, str]]:
    """Every named field of a spec (`group` empty) or of one item, with the text that Proxmox takes."""
    for row, leaf in _leaves(kind, group):
        found = named(value, leaf)
        if found is not None:
            yield row, row.encode(found)


@cache
def _leaves(kind: str, group: str) -> tuple[tuple[Field, str], ...]:
    return tuple((row, row.leaf) for row in fields(kind, group))


def form(setting: Setting, part: str) -> str:
    """The form of a setting or sub-key; one that the table does not know is text."""
    if not part:
        return setting.form
    return setting.parts[part].form if part in setting.parts else "text"


def default(setting: Setting, part: str) -> str | None:
    """What Proxmox does when it is not set."""
    if not part:
        return setting.default
    return setting.parts[part].default if part in setting.parts else None
