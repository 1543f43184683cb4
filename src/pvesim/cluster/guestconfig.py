"""A guest's config as the text of its file: the digest that protects every write is the SHA-1 of that text.

Layout as PVE::LXC::Config (write_pct_config) and PVE::QemuServer (write_vm_config): description as `#` lines, sorted
`key: value` lines, a pending section, then one section for each snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pvesim.cluster.state import Guest

PENDING = {"lxc": "pve:pending", "qemu": "PENDING"}


def digest(guest: Guest) -> str:
    """40 hex digits."""
    return hashlib.sha1(text(guest).encode(), usedforsecurity=False).hexdigest()


def text(guest: Guest) -> str:
    """The whole file."""
    lines = list(_section(guest.config))
    lines += [f"{key}: {value}" for key, value in guest.raw_lxc]
    if guest.pending or guest.pending_delete:
        lines += ["", f"[{PENDING[guest.kind]}]"]
        if guest.pending_delete:
            lines.append(
                "delete: " + ",".join(f"{'!' * force}{key}" for key, force in sorted(guest.pending_delete.items()))
            )
        lines += _section(guest.pending)
    if guest.cloudinit:
        lines += ["", "[special:cloudinit]", *_section(guest.cloudinit)]
    for name, snapshot in sorted(guest.snapshots.items()):
        lines += ["", f"[{name}]", *_section(snapshot.as_config())]
    return "\n".join(lines) + "\n"


def _section(config: Mapping[str, str]) -> Iterator[str]:
    for line in config.get("description", "").splitlines():
        yield "#" + "".join(c if c >= " " and c != "%" else f"%{ord(c):02X}" for c in line)
    for key in sorted(config):
        if key != "description":
            yield f"{key}: {config[key]}"
