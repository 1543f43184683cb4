"""Removing what simulators left that ended without a chance to do it: running containers, mounts, directories."""

from __future__ import annotations

import asyncio
import fcntl
import json
import shutil
import tempfile
from pathlib import Path

from pvesim.backends.lxc.needs import NeedsError
from pvesim.backends.lxc.world import World, clear_cgroups

_TITLE = "[lxc monitor] "


def left_behind() -> list[Path]:
    """Directories of simulators that run no more, but for those that keep a state and run nothing."""
    found = {home for home in _running() if (home / "world.json").is_file()}
    found |= {path.parent for path in Path(tempfile.gettempdir()).glob("pvesim-*/world.json")}
    return sorted(home for home in found if not in_use(home))


def clean(home: Path) -> int:
    """Stop every container of that directory and remove it; returns how many ran. NeedsError while it is in use."""
    home = home.resolve()
    if not (home / "world.json").is_file():
        raise NeedsError(f"{home} is no directory of `pvesim --backend lxc`")
    if in_use(home):
        raise NeedsError(f"{home} is in use: end that pvesim first")
    ident = int(json.loads((home / "world.json").read_text())["ident"])
    monitors = _running().get(home, [])
    if monitors:
        asyncio.run(_sweep(World(home, ident, keep=False), monitors[0]))
    shutil.rmtree(home, ignore_errors=True)
    clear_cgroups(f"pvesim.{ident}")
    return len(monitors)


async def _sweep(world: World, monitor: int) -> None:
    await world.open(monitor)
    await world.close()  # the holder of a world that is not kept takes everything away


def in_use(home: Path) -> bool:
    """Whether a living pvesim holds the directory."""
    try:
        with (home / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _running() -> dict[Path, list[int]]:
    """Monitors of containers, by the directory of their simulator."""
    found: dict[Path, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(errors="replace").rstrip("\0 ").replace("\0", " ")
        except OSError:
            continue
        folder = words.removeprefix(_TITLE).rpartition(" ")[0]
        if words.startswith(_TITLE) and folder.endswith("/guests"):
            found.setdefault(Path(folder).parent, []).append(int(path.parent.name))
    return found
