"""Where templates lie: built archives, and their unpacked trees that overlays of all simulators share."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pvesim.errors import TaskFailed
from pvesim.template.recipe import CODENAMES

_UNPACK_SECONDS = 300


def folder() -> Path:
    """The cache of this user (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pvesim"


def archives(short_name: str = "") -> list[Path]:
    """Built templates, newest first; with a short name such as `debian-12` or `debian-12-fat` only those."""
    pattern = f"{short_name or '*'}_*.tar.zst"
    found = list((folder() / "templates").glob(pattern))
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def short_name(volid: str) -> str:
    """`debian-12` for `local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst`; with `fat` in it, `debian-12-fat`."""
    name = re.split(r"[:/]", volid)[-1].lower()
    match = re.match(r"[a-z]+-\d+(?:\.\d+)?", name)
    stem = match[0] if match else name.partition("_")[0]
    return f"{stem}-fat" if "fat" in re.split(r"[-_.]", name) else stem


def archive(volid: str) -> Path:
    """The archive behind a template volume; TaskFailed says how to build it."""
    name = short_name(volid)
    found = archives(name)
    if found:
        return found[0]
    stem, fat = name.removesuffix("-fat"), name.endswith("-fat")
    if stem not in CODENAMES:
        raise TaskFailed(f"'{volid}' has no content here: real containers are made of {', '.join(CODENAMES)}")
    raise TaskFailed(f"template '{name}' is not built: run `pvesim template build {stem}{' --fat' if fat else ''}`")


async def unpacked(volid: str, file: str | None = None) -> Path:
    """The tree of a template volume, never to be written to; `file` is an archive given for it in the seed."""
    path = Path(file) if file else archive(volid)
    try:
        return await asyncio.to_thread(_unpack, path)
    except (OSError, subprocess.SubprocessError) as error:
        raise TaskFailed(f"cannot unpack template {path}: {error}") from error


def keep(content: bytes) -> Path:
    """An archive that somebody brought; the same content is the same file, so that it is unpacked once."""
    place = folder() / "uploads"
    place.mkdir(parents=True, exist_ok=True)
    path = place / hashlib.sha256(content).hexdigest()
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=place, prefix=".new-", delete=False) as file:
            file.write(content)
        Path(file.name).rename(path)
    return path


def _unpack(path: Path) -> Path:
    facts = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:16]
    trees = folder() / "trees"
    tree = trees / key
    if tree.is_dir():
        return tree
    trees.mkdir(parents=True, exist_ok=True)
    with _alone(trees / ".lock"):
        if tree.is_dir():
            return tree
        for left in trees.glob(".new-*"):  # of a process that was killed: the lock is ours
            shutil.rmtree(left, ignore_errors=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=trees))
        fresh.chmod(0o755)
        words = ["tar", "--extract", "--numeric-owner", "--xattrs", "--file", str(path)]
        subprocess.run([*words, "--directory", str(fresh)], check=True, capture_output=True, timeout=_UNPACK_SECONDS)  # noqa: S603
        (fresh / "etc/network/interfaces").unlink(missing_ok=True)
        fresh.rename(tree)
    return tree


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
