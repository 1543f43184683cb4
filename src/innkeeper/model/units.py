"""Quantities with a unit, because a bare number for memory or disk has been misread by every tool of this field."""

import re

_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti)")
_ALMOST = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTkmgt])i?[Bb]?")

_LARGEST = 1 << 60
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
MiB = 1 << 20
GiB = 1 << 30


def parse_quantity(value: object) -> int:
    """Bytes of a quantity such as `512Mi` or `1.5Gi`; ValueError with a proposal for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected a quantity with a unit, such as 512Mi or 8Gi")
    if isinstance(value, int | float):
        raise ValueError(f"a bare number has no unit: write {value}Mi or {value}Gi")
    if match := _QUANTITY.fullmatch(value):
        size = float(match[1]) * _UNITS[match[2]]
        if size >= _LARGEST:
            raise ValueError(f"{value} is more than any machine has")
        if size != int(size):
            raise ValueError(f"{value} is not a whole number of bytes")
        return int(size)
    if match := _ALMOST.fullmatch(value):
        raise ValueError(f"unit not known in {value!r}: write {match[1]}{match[2].upper()}i (units are Ki, Mi, Gi, Ti)")
    raise ValueError(f"{value!r} is not a quantity: write a number and a unit, such as 512Mi or 8Gi")


def format_quantity(size: int) -> str:
    """The shortest exact spelling of a number of bytes, at least in Ki: `536870912` is `512Mi`."""
    for unit in ("Ti", "Gi", "Mi"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return f"{size / 1024:.10g}Ki"


def seconds(duration: str) -> int:
    """Of a time as manifests write it: `90s`, `3m`, `12h`, `7d`."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]
