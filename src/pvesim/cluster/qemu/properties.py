"""Property strings as they stand in a VM's config: `first,key=value,…` taken apart and put together again.

Values were checked against the schema when they came in, so that nothing is judged here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_TRUE = re.compile(r"1|on|yes|true", re.IGNORECASE)
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def words(text: str) -> frozenset[str]:
    """A set of names, written as one text."""
    return frozenset(text.split())


def split(text: str, default_key: str) -> dict[str, str]:
    """The parts by name; one without a name is the value of `default_key` (PVE::JSONSchema, parse_property_string)."""
    parts: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        parts[key if equals else default_key] = value if equals else part
    return parts


def join(parts: Mapping[str, str], first: Iterable[str] = ()) -> str:
    """`first` as it stands, then the named parts in order (PVE::JSONSchema, print_property_string)."""
    return ",".join([*first, *(f"{key}={parts[key]}" for key in sorted(parts))])


def flag(text: str | None) -> bool:
    """Whether a boolean part is set."""
    return bool(text and _TRUE.fullmatch(text))


def items(text: str | None) -> list[str]:
    """A list that is separated by commas, semicolons, blanks or NULs (PVE::Tools, split_list)."""
    return re.findall(r"[^\s,;\0]+", text or "")


def parse_size(text: str) -> int | None:
    """`512M`, `1.5G` → bytes; None where it is no size (PVE::JSONSchema, parse_size)."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text)
    return int(float(found[1]) * _UNITS[found[2]]) if found else None


def print_size(size: int) -> str:
    """Bytes → the largest unit that leaves no rest (PVE::JSONSchema, format_size)."""
    unit = next((unit for unit in "TGMK" if size and size % _UNITS[unit] == 0), "")
    return f"{size // _UNITS[unit]}{unit}"
