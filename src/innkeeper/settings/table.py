"""Every setting that Proxmox guests have: its form, its limits, and how it changes.

The facts stand in `lxc` and `qemu`, one line each: name (`net[32]`: net0 … net31), form (see `canonical`), then in any
order how it changes (see `How`), limits `1..8192`, `one|of|these`, `=default`, the privilege it needs, `>=9.1` (since)
or `<9` (until), `alias:other`, and marks: `!volume`, `!device` (a slot as a whole goes when we drop it), `!required`
(cannot be unset), `!root` (only root@pam itself may), `!auto` (Proxmox writes it), `!internal` (nobody sets it),
`!secret`, `!adds-live` (a new one comes live). Indented lines are sub-keys, `*` marks the one whose name may be left
out; they change as their setting does where they say nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, Literal, get_args

from innkeeper.settings import propstring
from innkeeper.settings.lxc import LXC
from innkeeper.settings.qemu import QEMU

How = Literal[
    "none",
    "live",
    "restart",
    "grow",
    "replace",
    "refused",
    "hot:network",
    "hot:disk",
    "hot:usb",
    "hot:memory",
    "hot:cpu",
]
"""none: the guest does not notice; live; restart: in effect after one; grow: live, only upwards; replace: only a new
guest can have it; refused: done by hand; `hot:X`: live where the VM's `hotplug` holds X (by default network, disk,
usb), otherwise restart. Source: the hotplug and fast-plug lists of PVE::LXC::Config and PVE::QemuServer."""

_HOWS = frozenset(get_args(How))
_NUMBERED = re.compile(r"([a-z]+)(0|[1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, or a sub-key of one (`parts` is empty then). `default` is what Proxmox does when it is not set."""

    name: str
    form: str
    how: How
    count: int = 0
    key: str = ""
    parts: Mapping[str, "Setting"] = field(default_factory=lambda: MappingProxyType({}))
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    default: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    privilege: str = ""
    since: tuple[int, int] | None = None
    until: tuple[int, int] | None = None
    marks: frozenset[str] = frozenset()

    def exists_in(self, version: tuple[int, int]) -> bool:
        return (self.since is None or version >= self.since) and (self.until is None or version < self.until)

    def parse(self, text: str) -> dict[str, str]:
        """The sub-keys of a property string; ValueError when it is none.

        A VM's nic may name its model as a key: `virtio=MAC` is `model=virtio,macaddr=MAC`.
        """
        parts = propstring.parse(text, self.key, self.aliases)
        if "macaddr" in self.parts:
            for model in self.parts["model"].choices:
                if model in parts:
                    parts = {"model": model, "macaddr": parts.pop(model), **parts}
        return parts

    def render(self, parts: Mapping[str, str]) -> str:
        """The property string of these sub-keys; ValueError for a value that would smuggle."""
        if "macaddr" in self.parts and "macaddr" in parts:
            propstring.check("macaddr", parts["macaddr"])
            propstring.check("model", parts.get("model", ""))
            rest = {name: value for name, value in parts.items() if name not in ("model", "macaddr")}
            return ",".join(filter(None, [f"{parts['model']}={parts['macaddr']}", propstring.render(rest)]))
        return propstring.render(parts, self.key)


@lru_cache(4096)
def find(kind: str, name: str) -> Setting | None:
    """The setting that `name` (`cores`, `net0`) is; None when Proxmox has none of that name."""
    table = settings(kind)
    if name in table and not table[name].count:
        return table[name]
    match = _NUMBERED.fullmatch(name)
    base = table.get(f"{match[1]}[n]") if match else None
    return base if match and base and int(match[2]) < base.count else None


@cache
def slots(kind: str, base: str) -> tuple[str, ...]:
    """`net` → net0 … net31."""
    return tuple(f"{base}{number}" for number in range(settings(kind)[f"{base}[n]"].count))


@cache
def settings(kind: str) -> Mapping[str, Setting]:
    """All settings of a kind; those that are numbered under `net[n]`."""
    found: dict[str, Setting] = {}
    block: list[list[str]] = []
    for line in [*(LXC if kind == "Container" else QEMU).splitlines(), "end text live"]:
        words = line.split()
        if words and not line.startswith(" ") and block:
            setting = _setting(block)
            found[setting.name] = setting
            block = []
        if words:
            block.append(words)
    return MappingProxyType(found)


def _setting(block: list[list[str]]) -> Setting:
    head = _line(block[0], "live")
    parts: dict[str, Setting] = {}
    aliases: dict[str, str] = {}
    key = ""
    for words in block[1:]:
        part = _line([words[0].lstrip("*"), *words[1:]], head.how)
        parts[part.name] = part
        aliases |= {word[6:]: part.name for word in words if word.startswith("alias:")}
        key = part.name if words[0].startswith("*") else key
    return replace(head, parts=MappingProxyType(parts), aliases=MappingProxyType(aliases), key=key)


def _line(words: list[str], how: How) -> Setting:
    name, form, *rest = words
    facts: dict[str, Any] = {"how": how}
    if found := re.fullmatch(r"([a-z]+)\[(\d+)\]", name):
        name, facts["count"] = f"{found[1]}[n]", int(found[2])
    marks = set()
    for word in rest:
        if word in _HOWS:
            facts["how"] = word
        elif word.startswith("!"):
            marks.add(word[1:])
        elif word.startswith("="):
            facts["default"] = word[1:]
        elif word.startswith(">="):
            facts["since"] = _version(word[2:])
        elif word.startswith("<"):
            facts["until"] = _version(word[1:])
        elif found := re.fullmatch(r"(\d*)\.\.(\d*)", word):
            facts["minimum"], facts["maximum"] = (float(end) if end else None for end in found.groups())
        elif re.match(r"[A-Z]+[A-Za-z]*\.", word):
            facts["privilege"] = word
        elif not word.startswith("alias:"):
            facts["choices"] = tuple(word.split("|"))
    return replace(Setting(name, form, "live"), marks=frozenset(marks), **facts)


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)
