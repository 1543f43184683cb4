"""What an unquoted word in a manifest is, and the words that two readers of YAML read differently.

Values follow the core schema of YAML 1.2. A word that YAML 1.1 reads as something else (`no`, `0755`, `12:34:56`,
`1_000`) is not guessed at: its author is asked to say what is meant.
"""

import math
import re
from dataclasses import dataclass
from functools import lru_cache

_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_SWITCHES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OCTAL = re.compile(r"[-+]?0o?[0-9_]+")
_BINARY = re.compile(r"[-+]?0b[01_]+")
_GROUPED = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_LONGEST_NUMBER = 40
_NUMBERISH = frozenset("+-.0123456789")


@dataclass(frozen=True, slots=True)
class Refused:
    """A word without one meaning: `code`, what is wrong with it, and what to write instead."""

    code: str
    problem: str
    advice: str


@lru_cache(maxsize=8192)
def resolve(text: str) -> object:
    """The value of an unquoted scalar: None, a boolean, a number or text; or `Refused`."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in _NUMBERISH:
        meant = _SWITCHES.get(text) or _SWITCHES.get(text.lower())
        if meant is None or text not in (text.lower(), text.upper(), text.capitalize()):
            return text
        return Refused(
            "AmbiguousWord",
            f"{text} is a boolean to some readers of YAML and text to others",
            f'Write {meant} for the boolean, or "{text}" in quotes for the text.',
        )
    return _number(text)


def _number(text: str) -> object:
    if _INTEGER.fullmatch(text) or _HEX.fullmatch(text):
        return int(text, 0) if len(text) <= _LONGEST_NUMBER else _too_long(text)
    if trap := _ambiguous(text):
        return trap
    if _NOT_FINITE.fullmatch(text):
        return Refused("BadNumber", f"{text} is not a number that anything can be set to", "Write a finite number.")
    if _FLOAT.fullmatch(text):
        value = float(text) if len(text) <= _LONGEST_NUMBER else math.inf
        return value if math.isfinite(value) else _too_long(text)
    return text


def _ambiguous(text: str) -> Refused | None:
    if _OCTAL.fullmatch(text):
        digits = text.lstrip("+-0o").replace("_", "") or "0"
        problem = f"{text} is an octal number to some readers of YAML, and a decimal number or text to others"
        return Refused("AmbiguousWord", problem, f'Write {digits} for the decimal number, or "{text}" for the text.')
    if _BINARY.fullmatch(text):
        problem = f"{text} is a binary number to some readers of YAML and text to others"
        return Refused("AmbiguousWord", problem, f'Write the number in decimal, or "{text}" in quotes for the text.')
    if ":" in text and _SEXAGESIMAL.fullmatch(text):
        problem = f"{text} is a number in base 60 to some readers of YAML and text to others"
        return Refused("AmbiguousWord", problem, f'Write "{text}" in quotes for the text.')
    if "_" in text and _GROUPED.fullmatch(text):
        problem = f"{text} is a number to some readers of YAML and text to others"
        plain = text.replace("_", "")
        return Refused("AmbiguousWord", problem, f'Write {plain} for the number, or "{text}" in quotes for the text.')
    return None


def _too_long(text: str) -> Refused:
    shown = text if len(text) <= _LONGEST_NUMBER else text[:12] + "…"
    return Refused("BadNumber", f"{shown} is too large a number", "Write text that looks like a number in quotes.")
