"""The kernel's limit that many containers meet first: each systemd holds several inotify instances of root's 128.

A container beyond it dies at once or comes up without its services. A Proxmox node raises the limit for that reason
(pve-container's sysctl file), and so does a node here, for the whole machine, until that is started again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
_PROXMOX = 1 << 16


def raise_limit(say: Callable[[str], None], limit: Path = _LIMIT, wanted: int = _PROXMOX) -> None:
    """Raise it where it is lower than on a Proxmox node; `say` tells of it, and where that is not allowed."""
    try:
        found = int(limit.read_text())
        if found >= wanted:
            return
        limit.write_text(f"{wanted}\n")
    except OSError as error:
        say(f"fs.inotify.max_user_instances cannot be raised ({error.strerror}): only few containers start")
        return
    say(f"fs.inotify.max_user_instances is {wanted} now, as on a Proxmox node; with {found}, few containers start")
