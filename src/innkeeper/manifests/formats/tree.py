"""A directory as formats read it: a few known files by their names, and never one that lies elsewhere."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from innkeeper.manifests.files import read
from innkeeper.model.diagnostics import Diagnostic, Location

_MOST_ENTRIES = 10_000

Evaluate = Callable[[Path], str | Diagnostic]
"""The JSON of the output `proxnix` of the flake in a directory, or why there is none."""


@dataclass
class Tree:
    """Paths are relative to `root` and use `/`. `read` and `problems` grow with what is asked for."""

    root: Path
    read: list[str] = field(default_factory=list)
    problems: list[Diagnostic] = field(default_factory=list)

    def file(self, path: str) -> str:
        """The name that diagnostics call a file by."""
        return str(self.root / path)

    def text(self, path: str) -> str | None:
        """A file's text; None where it is not there, or cannot be read (which is then among the problems)."""
        place = self.root / path
        if not self._is_inside(place, path) or not place.is_file():
            return None
        found = next(read([place]))
        if found.failure is not None:
            self.problems.append(found.failure)
            return None
        self.read.append(found.file)
        return found.text

    def has(self, path: str) -> bool:
        """Whether a file or a directory is there."""
        place = self.root / path
        return self._is_inside(place, path) and place.exists()

    def directories(self, path: str) -> list[str]:
        """The names of the directories in a directory, hidden ones left out."""
        return [entry.name for entry in self._entries(path) if entry.is_dir() and not entry.name.startswith(".")]

    def files(self, path: str) -> list[str]:
        """The names of the files in a directory."""
        return [entry.name for entry in self._entries(path) if entry.is_file()]

    def below(self, path: str) -> Iterator[str]:
        """The paths of all files below a directory, links not followed."""
        for entry in sorted((self.root / path).rglob("*")):
            if entry.is_file() and not entry.is_symlink():
                yield entry.relative_to(self.root).as_posix()

    def _entries(self, path: str) -> list[Path]:
        place = self.root / path
        if not self._is_inside(place, path) or not place.is_dir():
            return []
        try:
            found = sorted(place.iterdir())
        except OSError as error:
            advice = "What cannot be read could declare guests: make it readable, or move it away."
            problem = f"cannot be read: {error.strerror or error}"
            self.problems.append(Diagnostic("error", "Unreadable", problem, advice, Location(str(place))))
            return []
        return [entry for entry in found[:_MOST_ENTRIES] if self._is_inside(entry, f"{path}/{entry.name}")]

    def _is_inside(self, place: Path, path: str) -> bool:
        try:
            if place.resolve().is_relative_to(self.root.resolve()):
                return True
        except (OSError, RuntimeError, ValueError):
            return False
        problem = f"{path} is a link that leads out of {self.root}"
        advice = "Put the file itself there."
        found = Diagnostic("error", "UnsafeValue", problem, advice, Location(str(place)))
        if found not in self.problems:
            self.problems.append(found)
        return False
