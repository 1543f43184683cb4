"""Where fields stand in files, looked up only when asked: a document's text is kept, its places are not."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from innkeeper.manifests.yamltext import Place, places
from innkeeper.model.diagnostics import Diagnostic, Location, Severity
from innkeeper.model.objects import Origin


class Places(Protocol):
    """Where the fields of one object stand, in whatever file they were written in."""

    def find(self, path: str) -> tuple[str, Location | None]:
        """The longest part of a path that stands somewhere, with its place."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """One document inside of a file's text (shared by all of its documents)."""

    file: str
    text: str
    start: int
    end: int
    first_line: int

    def find(self, path: str) -> tuple[str, Location | None]:
        """The longest part of a path that stands in the document, with its place."""
        known = _places(self)
        while path and path not in known:
            path = path.rpartition(".")[0]
        return path, Location(self.file, *known[path]) if path else None

    def locate(self, path: str) -> Location | None:
        return self.find(path)[1]


@lru_cache(maxsize=64)
def _places(passage: Passage) -> dict[str, Place]:
    return places(passage.text[passage.start : passage.end], passage.first_line)


def shown(path: str) -> str:
    """A path as a person writes it: `spec.network.0.ip` is `spec.network[0].ip`."""
    head, *parts = path.split(".")
    return head + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)


def printable(text: str) -> str:
    """Text on one line, harmless to a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def finding(
    code: str, origin: Origin, path: str, problem: str, advice: str = "", severity: Severity = "error"
) -> Diagnostic:
    """A diagnostic about one field of an object."""
    return Diagnostic(
        severity, code, f"{printable(shown(path))}: {problem}" if path else problem, advice, origin.at(path)
    )
