"""Which source manifests belong to, told by the git checkout that they lie in; nothing where there is none."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 5.0
_CREDENTIALS = re.compile(r"^[^/@]*@")


@dataclass(frozen=True, slots=True)
class Checkout:
    """`source` names the owner of guests; `revision` the state of the manifests, empty outside of git."""

    source: str
    revision: str


def checkout(directory: Path) -> Checkout:
    """The remote `origin` of a checkout (without scheme, credentials and `.git`), else the directory's name."""
    remote = _git(directory, "config", "--get", "remote.origin.url")
    name = source_name(remote) if remote else directory.resolve().name or "root"
    return Checkout(name, _git(directory, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"))


def source_name(url: str) -> str:
    """`https://me:secret@example.org/me/homelab.git` and `git@example.org:me/homelab` are `example.org/me/homelab`."""
    scheme, separator, rest = url.strip().rpartition("://")
    rest = _CREDENTIALS.sub("", rest)
    if not separator and not rest.startswith(("/", ".")):
        rest = rest.replace(":", "/", 1)
    return rest.rstrip("/").removesuffix(".git") or scheme


def _git(directory: Path, *words: str) -> str:
    """What git says, or nothing: no git, no checkout, no such setting are all the same here."""
    command = ["git", "-C", str(directory), "-c", "core.fsmonitor=false", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
