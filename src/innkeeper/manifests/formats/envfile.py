"""`KEY=VALUE` files as shells and Docker read them, each value with its line; nothing in them is ever run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin

_LINE = re.compile(r"(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\s*=(?P<rest>.*)")
_QUOTED = re.compile(r"""\s*(?P<quote>["'])(?P<text>.*?)(?P=quote)\s*(?:#.*)?""")
_BARE = re.compile(r"\s+#.*$")


@dataclass(frozen=True, slots=True)
class EnvFile:
    """`lines` are where the keys stand, counted from 1. The keys are in the order of the file."""

    file: str
    values: Mapping[str, str]
    lines: Mapping[str, int]

    def find(self, path: str) -> tuple[str, Location | None]:
        line = self.lines.get(path)
        return (path, Location(self.file, line)) if line else ("", None)


def read_env(file: str, text: str) -> tuple[EnvFile, tuple[Diagnostic, ...]]:
    """The file's variables, and what is wrong with it. A `#` after a blank begins a comment."""
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    found: list[Diagnostic] = []
    for number, line in enumerate(text.splitlines(), 1):
        place = Origin(Location(file, number))
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            problem = f"{described(stripped)} is not of the form KEY=VALUE"
            found.append(finding("BadLine", place, "", problem, "Write one variable a line; # begins a comment."))
            continue
        key, value = match["key"], _value(match["rest"])
        if value is None:
            problem = f"{key}: a quote is opened and not closed in the same line"
            found.append(finding("BadLine", place, "", problem, "Close it; a value is one line of text."))
        elif key in values:
            problem = f"{key} is given twice, first in line {lines[key]}"
            found.append(finding("DuplicateKey", place, "", problem, "Keep one of them."))
        else:
            values[key], lines[key] = value, number
    return EnvFile(file, values, lines), tuple(found)


def _value(rest: str) -> str | None:
    if (quoted := _QUOTED.fullmatch(rest)) is not None:
        return quoted["text"]
    if rest.lstrip()[:1] in ('"', "'"):
        return None
    return _BARE.sub("", rest if not rest.lstrip().startswith("#") else "").strip()
