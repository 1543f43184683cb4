"""The only module here that touches the file system: manifests and their text, roles, files that are referred to."""

import difflib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from innkeeper.manifests.syntax import unreadable_character
from innkeeper.model.diagnostics import Diagnostic, Location

STDIN = "<stdin>"
LARGEST_FILE = 32 << 20
_LARGEST_REFERRED = 1 << 20
BUNDLED = Path(__file__).parents[1]
"""Innkeeper's own package, which brings `roles/` and `profiles/`."""
_SUFFIXES = (".yaml", ".yml")
_NEVER_MANIFESTS = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


@dataclass(frozen=True, slots=True)
class SourceText:
    """One file. `named` is false where a directory's listing brought it in; `failure` stands instead of a text."""

    file: str
    text: str
    named: bool
    failure: Diagnostic | None = None


def read(paths: Iterable[str | Path]) -> Iterator[SourceText]:
    """Every manifest file once, in a stable order. `-` is the standard input; directories are searched recursively."""
    seen: set[tuple[int, int]] = set()
    for given in paths:
        if str(given) == "-":
            yield _decoded(STDIN, sys.stdin.buffer.read(LARGEST_FILE + 1), named=True)
            continue
        path = Path(given)
        try:
            yield from _read(path, seen, named=True)
        except OSError as error:
            yield _unreadable(path, error)


def _read(path: Path, seen: set[tuple[int, int]], *, named: bool) -> Iterator[SourceText]:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if named or path.is_symlink():
            yield _missing(path)
        return
    identity = (found.st_dev, found.st_ino)
    if identity in seen:
        return
    seen.add(identity)
    if stat.S_ISDIR(found.st_mode):
        with os.scandir(path) as listing:
            entries = sorted(filter(_may_hold_manifests, listing), key=lambda entry: entry.name)
        for entry in entries:
            below = path / entry.name
            try:
                yield from _read(below, seen, named=False)
            except OSError as error:
                yield _unreadable(below, error)
    elif stat.S_ISREG(found.st_mode) or named:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
        yield _decoded(str(path), content, named=named)


def _may_hold_manifests(entry: "os.DirEntry[str]") -> bool:
    if entry.name.startswith("."):
        return False
    if entry.is_dir():
        return entry.name not in _NEVER_MANIFESTS and not _is_role(Path(entry))
    return entry.name.lower().endswith(_SUFFIXES)


def _decoded(file: str, content: bytes, *, named: bool) -> SourceText:
    if len(content) > LARGEST_FILE:
        size = LARGEST_FILE >> 20
        return _failed(file, "TooLarge", f"the file is larger than {size} MiB", "Split it into several files.")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _failed(file, "NotUTF8", "the file is UTF-16", "Save it as UTF-8.", 1, 1)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        problem = f"the byte 0x{content[error.start]:02X} is not UTF-8"
        return _failed(file, "NotUTF8", problem, "Save the file as UTF-8.", line, column)
    text = text.removeprefix("\ufeff")
    if found := unreadable_character(text):
        code, _, problem, advice, line, column = found
        return _failed(file, code, problem, advice, line, column)
    return SourceText(file, text, named)


def _unreadable(path: Path, error: OSError) -> SourceText:
    advice = "What cannot be read could declare guests: make it readable, or move it away."
    return _failed(str(path), "Unreadable", f"cannot be read: {error.strerror or error}", advice)


def _missing(path: Path) -> SourceText:
    if path.is_symlink():
        problem = f"this link leads nowhere ({path.readlink()})"
        return _failed(str(path), "NotFound", problem, "Mend it, or remove it: it could have declared guests.")
    near: list[str] = []
    if path.parent.is_dir():
        near = difflib.get_close_matches(path.name, (entry.name for entry in path.parent.iterdir()), n=1)
    advice = "Name a file, a directory, or - for the standard input."
    if near:
        advice = f"Did you mean {path.parent / near[0]}?"
    return _failed(str(path), "NotFound", "there is no such file or directory", advice)


def _failed(file: str, code: str, problem: str, advice: str, line: int = 0, column: int = 0) -> SourceText:
    failure = Diagnostic("error", code, problem, advice, Location(file, line, column))
    return SourceText(file, "", named=True, failure=failure)


def bundled_profiles() -> dict[str, Path]:
    """The profiles that come with Innkeeper, each in a file of its name."""
    return {path.stem: path for path in sorted((BUNDLED / "profiles").glob("*.yaml"))}


def directory_of(file: str) -> Path:
    """The directory that a manifest's relative paths begin at."""
    return Path() if file == STDIN else Path(file).parent


def role_directory(name: str, beside: Iterable[Path]) -> Path | None:
    """The directory of a role: below one of these directories (or of those above it in its checkout), else bundled.

    In each, `roles/NAME` comes before `NAME`. A link that leads out of where the search began does not count.
    """
    for start in dict.fromkeys(beside):
        for base in _upwards(start):
            for place in (base / "roles" / name, base / name):
                if _is_role(place) and place.resolve().is_relative_to(_upwards(start)[-1]):
                    return place
    place = BUNDLED / "roles" / name
    return place if _is_role(place) and place.resolve().is_relative_to((BUNDLED / "roles").resolve()) else None


def role_names(beside: Iterable[Path]) -> list[str]:
    """Every role that could have been meant, our own bundled ones among them."""
    bases = [base / "roles" for start in beside for base in _upwards(start)]
    found = {place.name for base in (*bases, BUNDLED / "roles") if base.is_dir() for place in base.iterdir()}
    return sorted(name for name in found if not name.startswith("."))


class NoText(Exception):
    """Why a file that is referred to has no text."""


def text_beside(name: str, beside: Iterable[Path]) -> str:
    """The text of a file below the first of these directories that has it; NoText, to be read after its name."""
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise NoText("leads out of the manifest's directory")
    base = next((base for base in beside if (base / name).exists()), None)
    if base is None:
        raise NoText("is not there")
    if not (base / name).resolve().is_relative_to(base.resolve()):
        raise NoText("is a link that leads out of the manifest's directory")
    try:
        with (base / name).open("rb") as stream:
            content = stream.read(_LARGEST_REFERRED + 1)
        if len(content) > _LARGEST_REFERRED:
            raise NoText(f"is larger than {_LARGEST_REFERRED >> 20} MiB")
        return content.decode()
    except UnicodeDecodeError:
        raise NoText("is not text in UTF-8") from None
    except OSError as error:
        raise NoText(f"cannot be read: {error.strerror}") from None


def _upwards(start: Path) -> list[Path]:
    """A directory and those above it up to the root of its git checkout; only itself outside of one."""
    whole = start.resolve()
    root = next((base for base in (whole, *whole.parents) if (base / ".git").exists()), whole)
    return [base for base in (whole, *whole.parents) if base.is_relative_to(root)]


def _is_role(place: Path) -> bool:
    """Whether a directory is an Ansible role, or a cookbook in its place."""
    parts = ("tasks", "meta", "handlers", "defaults")
    return any((place / part).is_dir() for part in parts) or (place / "recipes/default.rb").is_file()
