"""Calendar events, which say when a job runs: `[WEEKDAYS] [[YEARS-]MONTHS-DAYS] [[HOURS:]MINUTES[:SECONDS]]`, or a word
such as `daily` (the grammar of proxmox-time, documented as Calendar Events)."""

from __future__ import annotations

import re
from collections.abc import Sequence

WORDS = frozenset(
    "minutely hourly daily weekly monthly yearly annually quarterly semiannually semi-annually".split()  # noqa: SIM905
)
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()  # noqa: SIM905
_DAY = "|".join(f"{day[:3]}(?:{day[3:]})?" for day in DAYS)
_WEEKDAYS = re.compile(rf"(?:{_DAY})(?:(?:\.\.|,)(?:{_DAY}))*", re.I)
_VALUE = re.compile(r"(\d+)(?:\.\.(\d+))?(?:/(\d+))?|\*(?:/\d+)?")
_TIME = ((0, 23), (0, 59), (0, 59))
_DATE = ((1970, 9999), (1, 12), (1, 31))


def valid(text: str) -> bool:
    """Whether it is a calendar event."""
    parts = text.split()
    if len(parts) == 1 and parts[0].lower() in WORDS:
        return True
    if not parts or text != text.strip():
        return False
    if _WEEKDAYS.fullmatch(parts[0]):
        parts = parts[1:]
        if not parts:
            return True
    if len(parts) > 1 or (parts and "-" in parts[0]):
        fields = parts.pop(0).split("-")
        if len(fields) not in (2, 3) or not _fits(fields, _DATE[-len(fields) :]):
            return False
    return not parts or (len(parts) == 1 and _is_time(parts[0]))


def _is_time(text: str) -> bool:
    fields = text.split(":")
    limits = _TIME[1:2] if len(fields) == 1 else _TIME[: len(fields)]
    return len(fields) <= len(_TIME) and _fits(fields, limits)


def _fits(fields: Sequence[str], limits: Sequence[tuple[int, int]]) -> bool:
    """Whether every field is a list of numbers, ranges, repetitions or `*` within its limits."""
    for field, (low, high) in zip(fields, limits, strict=True):
        for item in field.split(","):
            found = _VALUE.fullmatch(item)
            if not found:
                return False
            ends = [int(end) for end in found.groups()[:2] if end is not None]
            if any(not low <= end <= high for end in ends) or ends != sorted(ends):
                return False
    return True
