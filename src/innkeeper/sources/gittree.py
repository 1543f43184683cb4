"""A commit's files as plain files: blobs only, read from git's own store, so that nothing in it is followed."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from innkeeper.engine.errors import Stalled
from innkeeper.sources.gitcommand import Git

MOST_FILES = 20_000
LARGEST_FILE = 32 << 20
LARGEST_TREE = 256 << 20
_LFS = b"version https://git-lfs.github.com/spec/"
_ODD = {"120000": "a symbolic link", "160000": "a submodule"}
_KEPT = 8
"""Checkouts that are kept beside the one that was asked for last."""


@dataclass(frozen=True, slots=True)
class Entry:
    mode: str
    kind: str
    name: str
    size: int
    path: str


def entries(listing: bytes) -> Iterator[Entry]:
    """What `git ls-tree -r -z -l` lists. Stalled for a name that is no text."""
    for line in listing.split(b"\0"):
        if not line:
            continue
        about, _, raw = line.partition(b"\t")
        mode, kind, name, size = about.decode("ascii").split()
        try:
            path = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Stalled(f"the repository holds a file whose name is not UTF-8: {raw!r}", "rename it") from None
        yield Entry(mode, kind, name, int(size) if size != "-" else 0, path)


def refused(entry: Entry) -> str:
    """Why this may not be in a source; empty where it may."""
    if entry.mode in _ODD:
        return f"{entry.path} is {_ODD[entry.mode]}; a source holds plain files only"
    if not safe(entry.path):
        return f"{entry.path!r} is not a path that may be written"
    if entry.kind != "blob":
        return f"{entry.path} is a {entry.kind}; a source holds plain files only"
    if entry.size > LARGEST_FILE:
        return f"{entry.path} has {entry.size >> 20} MiB; a file of a source has at most {LARGEST_FILE >> 20}"
    return ""


def safe(path: str) -> bool:
    """Whether a path stays where it is put: relative, without `..`, `.git` and characters that are not text."""
    parts = path.split("/")
    plain = all(part and part not in (".", "..") and part.rstrip(". ").lower() != ".git" for part in parts)
    return plain and "\\" not in path and path.isprintable() and len(path) <= 1000


def accepted(files: Iterable[Entry]) -> tuple[Entry, ...]:
    """The files of a tree. Stalled, naming the first file, where something of it is refused."""
    found: list[Entry] = []
    total = 0
    for entry in files:
        if reason := refused(entry):
            raise Stalled(f"refused: {reason}", "take it out of the repository, or out of the source's path")
        found.append(entry)
        total += entry.size
        if len(found) > MOST_FILES or total > LARGEST_TREE:
            limit = f"{MOST_FILES} files and {LARGEST_TREE >> 20} MiB"
            raise Stalled(f"refused: the source's path holds more than {limit}", "name a smaller path in the source")
    return tuple(found)


async def write(git: Git, files: Sequence[Entry], place: Path) -> None:
    """Write files below `place`, which appears whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        for chunk in _chunks(files):
            names = "".join(f"{item.name}\n" for item in chunk)
            answer = await git.must("reading files", "cat-file", "--batch", stdin=names.encode())
            _unpack(answer.output, chunk, made)
        _finish(made, place)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _finish(made: Path, place: Path) -> None:
    (made / ".git").touch()  # Where a search for roles ends: it never leaves the checkout.
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():  # Another process was quicker: the same commit, the same files.
            raise


def _chunks(files: Sequence[Entry], most: int = 48 << 20) -> Iterator[list[Entry]]:
    """So many files at once as git's answer may hold."""
    chunk: list[Entry] = []
    size = 0
    for item in files:
        if chunk and size + item.size > most:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += item.size + 100
    if chunk:
        yield chunk


def _unpack(output: bytes, files: Sequence[Entry], place: Path) -> None:
    at = 0
    for item in files:
        end = output.index(b"\n", at)
        size = int(output[at:end].rsplit(b" ", 1)[1])
        content = output[end + 1 : end + 1 + size]
        at = end + 2 + size
        if content.startswith(_LFS):
            raise Stalled(f"refused: {item.path} is kept in git LFS", "keep files of a source in git itself")
        path = place.joinpath(*PurePosixPath(item.path).parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def forget(directory: Path, kept: Path) -> None:
    """Remove the oldest checkouts."""
    os.utime(kept)
    found = [path for path in directory.iterdir() if path.is_dir() and path != kept and not path.name.startswith(".")]
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
