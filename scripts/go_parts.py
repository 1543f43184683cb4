"""What tests need and only Go modules give: compiled once into the user's cache, used from there for ever after."""

import os
import re
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "innkeeper-tools"


class Missing(Exception):
    """A part cannot be built here; the text says what to install."""


def go(least: str, parts: str) -> str:
    """The go command, of version `least` (`1.24`) or newer; `parts` says what for."""
    for place in (shutil.which("go"), "/usr/local/go/bin/go", "/usr/lib/go/bin/go"):
        if place is None or not Path(place).exists():
            continue
        version = subprocess.run([place, "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
        number = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
        if number and tuple(int(part or 0) for part in number.groups()) >= tuple(map(int, least.split("."))):
            return place
    raise Missing(f"Go {least} or newer (https://go.dev/dl), to build {parts}")


def run(command: list[str], where: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=where, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"a Go module proxy: `{' '.join(command[:3])}` failed: {done.stderr.strip()[-600:]}")
    return done.stdout
