"""What this machine must have for real containers: `pvesim doctor`, and the check before every start."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

_PROGRAMS = {
    "lxc-start": "lxc",
    "lxc-attach": "lxc",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "ip": "iproute2",
    "tar": "tar",
    "zstd": "zstd",
}
_BUILDING = {"mmdebstrap": "mmdebstrap"}
_CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12, "CAP_MKNOD": 27, "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19}
_TRIAL = """
set -e
mkdir "$1/low" "$1/up" "$1/work" "$1/all"
mount -t overlay overlay -o "lowerdir=$1/low,upperdir=$1/up,workdir=$1/work" "$1/all" || { echo overlay; exit 3; }
ip link add pvsim0 type bridge || { echo bridge; exit 3; }
ip link add pvsim1 type veth peer name pvsim2 || { echo veth; exit 3; }
mount -t sysfs sysfs /sys || { echo sysfs; exit 3; }
"""


class NeedsError(Exception):
    """This machine cannot run real containers; the text begins with `needs: `."""


@dataclass(frozen=True)
class Need:
    """One thing: whether it is there, and what to do where it is not."""

    name: str
    met: bool
    advice: str = ""


def check() -> list[Need]:
    """Everything that is needed, met or not; the trials are made in namespaces of their own and leave nothing."""
    found = [Need("Linux", platform.system() == "Linux", "containers run on Linux only")]
    found.append(Need("root", os.geteuid() == 0, "run it as root, in a throw-away machine where you can"))
    for program, package in (_PROGRAMS | _BUILDING).items():
        found.append(Need(program, shutil.which(program) is not None, f"apt-get install {package}"))
    asyncssh = find_spec("asyncssh") is not None
    found.append(Need("asyncssh", asyncssh, "pip install 'innkeeper[guests]' (the nodes' SSH)"))
    effective = _capabilities()
    for name, bit in _CAPABILITIES.items():
        found.append(Need(name, bool(effective >> bit & 1), "give this capability: in Docker, --privileged"))
    groups = Path("/sys/fs/cgroup")
    writable = groups.is_dir() and os.access(groups, os.W_OK)
    found.append(Need("control groups", writable, "mount /sys/fs/cgroup for writing"))
    if all(need.met for need in found):
        trouble = _trial()
        found.append(Need("trial of overlay, bridge, veth and sysfs", not trouble, trouble))
    return found


def require() -> None:
    """NeedsError that names all that is missing for running containers; building templates needs more."""
    missing = [need for need in check() if not need.met and need.name not in _BUILDING]
    if missing:
        what = "; ".join(f"{need.name} ({need.advice})" for need in missing)
        raise NeedsError(f"needs: {what}")


def _capabilities() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    return int(line.split()[1], 16)


def _trial() -> str:
    """What failed, with the words of the program that failed; "" when all went well."""
    folder = tempfile.mkdtemp(prefix="pvesim-trial-")
    try:
        done = subprocess.run(  # noqa: S603
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _TRIAL, "sh", folder],  # noqa: S607
            check=False,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not done.returncode:
        return ""
    return f"cannot make {done.stdout.strip() or 'namespaces'} here: {done.stderr.strip()}"
