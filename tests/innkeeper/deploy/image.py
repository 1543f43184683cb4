"""The image of `deploy/container/Containerfile`, built without a container engine and run as one would run it.

buildah builds it on a base that mmdebstrap makes; a process of it runs in a mount namespace of its own, as the image's
user or another, on a root that it cannot write to, with the host's network.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
BASE = "localhost/python"
NAME = "localhost/innkeeper"
_HOST = ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
"""How this machine reaches its package index, where it has its own way."""
_RUN = """
set -e
root=$1 user=$2; shift 2
mount --bind "$root" "$root"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  shift 2
done
shift
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user:$user" "$root" "$@"
"""


@dataclass(frozen=True, slots=True)
class Image:
    """`root` is its file system, `config` what it says about its processes (OCI image-spec, config.md)."""

    root: Path
    config: Mapping[str, Any]

    def command(
        self, words: Sequence[str], mounts: Mapping[Path, str], *, user: str = "", environ: Mapping[str, str]
    ) -> list[str]:
        """What runs these words in it; `mounts` are directories of the host and where they are seen."""
        own = dict(pair.split("=", 1) for pair in self.config["Env"]) | dict(environ)
        seen = [word for place, target in mounts.items() for word in (str(place), target)]
        who = user or str(self.config["User"])
        return [
            *("unshare", "--mount", "sh", "-c", _RUN, "sh", str(self.root), who, *seen, "--"),
            *("env", "-i", f"--chdir={self.config.get('WorkingDir') or '/'}"),
            *(f"{name}={value}" for name, value in own.items()),
            *words,
        ]


class Builder:
    """buildah with its storage in one directory, which `close` removes."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._storage = ("--root", place / "store", "--runroot", place / "run", "--storage-driver", "vfs")

    def build(self) -> Image:
        """AssertionError with the end of the tool's own words."""
        context = self._place / "context"
        shutil.copytree(ROOT / "requirements", context / "requirements")
        wheel = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", context / "dist", ROOT)
        _ran(sys.executable, "-m", "pip", *wheel)
        self._base()
        shared = [f"--volume={path}:{path}:ro" for path in _HOST if Path(path).exists()]
        file = ROOT / "deploy/container/Containerfile"
        self._buildah("bud", *shared, "--network=host", f"--build-arg=PYTHON={BASE}", "-f", file, "-t", NAME, context)
        container = self._buildah("from", NAME)
        told = json.loads(self._buildah("inspect", "--type", "image", NAME))
        return Image(Path(self._buildah("mount", container)), told["OCIv1"]["config"])

    def _base(self) -> None:
        """What `python:…-slim` is: Debian with `python` and its venv."""
        tar = self._place / "base.tar"
        packages = "ca-certificates,python3,python3-venv"
        _ran("mmdebstrap", "--quiet", "--variant=apt", f"--include={packages}", "bookworm", tar)
        container = self._buildah("from", "scratch")
        self._buildah("add", container, tar, "/")
        self._buildah("run", container, "--", "ln", "-s", "python3", "/usr/bin/python")
        self._buildah("commit", "--rm", container, BASE)
        tar.unlink()

    def _buildah(self, command: str, *words: str | Path) -> str:
        isolated = ("--isolation=chroot",) if command in ("bud", "run") else ()
        return _ran("buildah", *self._storage, command, *isolated, *words)

    def close(self) -> None:
        for words in (("umount", "--all"), ("rm", "--all"), ("rmi", "--all", "--force")):
            subprocess.run(["buildah", *map(str, self._storage), *words], check=False, capture_output=True)


def _ran(*words: str | Path) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, f"{words[0]}: {done.stderr[-3000:]}"
    return done.stdout.strip()
