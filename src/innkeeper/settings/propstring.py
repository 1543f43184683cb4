"""Proxmox's property strings, `first,key=value,…`: taken apart, and put together so that no value can smuggle."""

import re
from collections.abc import Mapping

_FORBIDDEN = re.compile(r"[,\x00-\x1f\x7f]")


def parse(text: str, key: str = "", aliases: Mapping[str, str] | None = None) -> dict[str, str]:
    """Sub-key → value; a part without a name is the value of `key` (PVE::JSONSchema, parse_property_string).

    `aliases` maps further names to sub-keys. ValueError when a part has no name and `key` is empty.
    """
    parts: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = part.partition("=")
        if not equals or not name:
            if not key:
                raise ValueError(f"{part!r} has no name: write name={part}")
            name, value = key, part
        parts[(aliases or {}).get(name, name)] = value
    return parts


def render(parts: Mapping[str, str], key: str = "") -> str:
    """The string, `key`'s value first and bare, the rest by name. ValueError for a value that it cannot hold."""
    for name, value in parts.items():
        check(name, value)
    first = []
    if key in parts:
        first = [f"{key}={parts[key]}" if "=" in parts[key] else parts[key]]
    return ",".join([*first, *(f"{name}={parts[name]}" for name in sorted(parts) if name != key)])


def safe(value: str) -> bool:
    """Whether `value` stays one value in a property string."""
    return bool(value) and not _FORBIDDEN.search(value) and value == value.strip()


def check(name: str, value: str) -> None:
    """ValueError unless `value` can stand in a property string without becoming more than one value."""
    if not safe(value):
        raise ValueError(
            f"{name}: {value!r} cannot stand in a property string (a comma, a line end, a blank around it)"
        )
