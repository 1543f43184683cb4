"""The `options` of a manifest: any other Proxmox setting, checked against what Proxmox accepts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from innkeeper.settings import canonical, fields, table
from innkeeper.settings.importing import express
from innkeeper.settings.table import Setting

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_NEW_VOLUME = re.compile(r"([^/:\s]+:)?\d+(\.\d+)?|([^/:\s]+:)?cloudinit")
_OWN = {
    "description": "description",
    "tags": "tags",
    "hostname": "hostname",
    "name": "hostname",
    "sshkeys": "cloudInit.sshKeys",
    "ssh-public-keys": "sshKeys",
    "pool": "pool",
    "ostemplate": "template",
    "start": "running",
    "vmid": "vmid",
    "node": "node",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an option cannot be used: a code, one line, and what to do."""

    code: str
    summary: str
    detail: str = ""


def text_of(value: str | int | float | bool) -> str:
    """An option's value as Proxmox takes it."""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.10g}" if isinstance(value, float) else str(value).strip()


@lru_cache(4096)
def check(kind: str, name: str, text: str, version: tuple[int, int]) -> Problem | None:
    """What is wrong with this option on a Proxmox of that version; None: it can be used."""
    if name in _OWN:
        return Problem("UseField", f"options.{name} has a field of its own", f"write {_OWN[name]} instead")
    setting = table.find(kind, name)
    if setting is None:
        return Problem("UnknownOption", f"Proxmox has no setting {name!r} for a {kind}", _nearest(kind, name))
    if "internal" in setting.marks:
        return Problem("OptionNotAllowed", f"options.{name} is Proxmox's own bookkeeping", "leave it out")
    if "secret" in setting.marks:
        return Problem(
            "SecretInManifest", f"options.{name} is a secret", "use cloudInit.sshKeys; never write secrets here"
        )
    if not setting.exists_in(version):
        return Problem("OptionNotInVersion", f"{name} exists {_when(setting)}, not in {version[0]}.{version[1]}")
    if fields.group_of(kind, name) in ("mounts", "rootDisk"):
        return Problem("UseField", f"options.{name} has a field of its own", "write mounts or rootDisk instead")
    if trouble := next(_troubles(setting, text, version), None):
        return Problem("InvalidOption", f"options.{name}: {trouble}")
    if "volume" in setting.marks:
        return _check_volume(name, setting.parse(text))
    return _check_field(kind, name, text)


def _check_volume(name: str, parts: Mapping[str, str]) -> Problem | None:
    file = parts.get("file", "")
    if "import-from" in parts or _NEW_VOLUME.fullmatch(file):
        detail = "write disks (or cloudInit.storage) for a new volume; options can only name one that exists"
        return Problem("UseField", f"options.{name} asks for a new volume", detail)
    return None


def _check_field(kind: str, name: str, text: str) -> Problem | None:
    spec, rest = express(kind, {name: text})
    if rest or not spec:
        return None
    rows = {row.path for row in (fields.field_of(kind, name, part) for part in ("", *_parts(kind, name, text))) if row}
    return Problem("UseField", f"options.{name} has a field of its own", f"write {', '.join(sorted(rows))} instead")


def _parts(kind: str, name: str, text: str) -> tuple[str, ...]:
    setting = table.find(kind, name)
    return tuple(setting.parse(text)) if setting and setting.parts else ()


def _troubles(setting: Setting, text: str, version: tuple[int, int]) -> Iterator[str]:
    if not text:
        yield "it is empty; leave it out to have Proxmox's default"
    elif _CONTROL.search(text):
        yield f"{text!r} holds a line end or a control character"
    elif setting.parts:
        yield from _part_troubles(setting, text, version)
    else:
        yield from value_troubles(setting, text)


def _part_troubles(setting: Setting, text: str, version: tuple[int, int]) -> Iterator[str]:
    try:
        parts = setting.parse(text)
    except ValueError as error:
        yield str(error)
        return
    for name, value in parts.items():
        part = setting.parts.get(name)
        if part is None:
            close = get_close_matches(name, setting.parts, 1)
            yield f"it has no part {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
        elif not part.exists_in(version):
            yield f"part {name!r} exists {_when(part)}, not in {version[0]}.{version[1]}"
        else:
            yield from (f"{name}: {trouble}" for trouble in value_troubles(part, value))


def value_troubles(setting: Setting, text: str, unit: str = "") -> Iterator[str]:
    """What is wrong with a single value: not one of the choices, no number, out of range. `unit` is for numbers."""
    value = canonical.canonical(setting.form, text)
    words = canonical.items(text) if setting.form == "set" else [value]
    wrong = next((word for word in words if word not in setting.choices), None) if setting.choices else None
    if wrong is not None:
        close = get_close_matches(wrong, setting.choices, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        shown = wrong if setting.form == "set" else text
        yield f"{shown!r} is none of {', '.join(setting.choices)}{hint}"
    elif setting.form == "flag" and value not in ("0", "1"):
        yield f"{text!r} is neither 0 nor 1"
    elif setting.form in ("integer", "number", "shares"):
        if not _NUMBER.fullmatch(text) or (setting.form != "number" and not value.isdigit()):
            yield f"{text!r} is not {'a number' if setting.form == 'number' else 'a whole number'}"
        elif not (setting.minimum or 0) <= float(text) <= (setting.maximum or float("inf")):
            yield f"{text}{unit} is out of range: {_range(setting, unit)}"


def _range(setting: Setting, unit: str) -> str:
    low = f"{setting.minimum or 0:g}{unit}"
    return f"{low} to {setting.maximum:g}{unit}" if setting.maximum is not None else f"{low} or more"


def _when(setting: Setting) -> str:
    version = setting.since or setting.until or (0, 0)
    return f"{'since' if setting.since else 'before'} Proxmox VE {version[0]}.{version[1]}"


def _nearest(kind: str, name: str) -> str:
    words = [known.replace("[n]", "0") for known in table.settings(kind)]
    close = get_close_matches(name, words, 1) or get_close_matches(name.replace("_", "-"), words, 1)
    return f"did you mean {close[0]!r}?" if close else "see docs/reference/changes.md for the names"
