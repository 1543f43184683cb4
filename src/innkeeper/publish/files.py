"""Files that other programs read: written whole or not at all, and never over somebody else's."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from innkeeper.engine.errors import Stalled, Waiting

MARK = "Managed by Innkeeper"
_LARGEST = 1 << 20


def owner_line(owner: str) -> str:
    """The first line of a file of ours that belongs to one service."""
    return f"# {MARK} for {owner}. Changes are overwritten."


def owner_of(text: str) -> str:
    """Who a file of ours belongs to; empty: somebody else wrote it."""
    first = text.partition("\n")[0]
    if not first.startswith(f"# {MARK} for "):
        return ""
    return first.removeprefix(f"# {MARK} for ").partition(". ")[0]


def read(path: Path) -> str | None:
    """None where there is no such file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Waiting(f"{path} cannot be read: {error.strerror}", "check its owner and mode", 30.0) from None


def write(path: Path, text: str) -> None:
    """At once for every reader. Waiting where there is no room, Stalled where it may not be."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _refused(path, error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(name).unlink()
        raise _refused(path, error) from None


def remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(path, error) from None


def _refused(path: Path, error: OSError) -> Stalled | Waiting:
    text = f"{path} cannot be written: {error.strerror}"
    if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError):
        return Stalled(text, f"make {path.parent} a directory that Innkeeper may write to")
    return Waiting(text, "make room, then it is tried again", 30.0)
