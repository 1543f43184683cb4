"""A virtual machine out of a backup (PVE::QemuServer, restore_file_archive)."""

from __future__ import annotations

from pvesim.cluster.qemu.create import Log, Request
from pvesim.cluster.qemu.rights import Caller
from pvesim.errors import TaskFailed


async def run(call: Caller, asked: Request, log: Log) -> None:
    """Lay the disks and the config of `asked.archive` out under the reserved id."""
    raise TaskFailed(f"{asked.trouble} unknown backup archive type")
