"""What volumes hold: a stack of directories for an overlay, the lowest of a root volume being its template.

Only the top of a stack is ever written to. To keep a state (snapshot, clone, backup) the top becomes a layer like
those below it, so nothing is copied; below a running container it is copied instead, because its overlay stays
mounted. `Volume.extra["layers"]` has the stack, so that it is part of the simulator's state:
`{"top": "7", "below": ["4", "base-…"], "snapshots": {"before": ["4", "base-…"]}}`, names of directories in `layers/`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pvesim.backends.lxc.process import must
from pvesim.cluster.state import Volume

_COPY_SECONDS = 600


class Layers:
    """The directory `folder` holds all layers of one simulator."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._making: set[str] = set()

    def _new(self, like: str | None = None) -> str:
        numbers = [int(path.name) for path in self.folder.iterdir() if path.name.isdigit()]
        name = str(max(numbers, default=0) + 1)
        (self.folder / name).mkdir()
        if like:  # the top's own mode and owner are those of the mounted directory
            facts = (self.folder / like).stat()
            os.chown(self.folder / name, facts.st_uid, facts.st_gid)
            (self.folder / name).chmod(stat.S_IMODE(facts.st_mode))
        return name

    def plant(self, volume: Volume, below: Iterable[str] = ()) -> None:
        """Begin the volume's stack on `below`."""
        under = list(below)
        top = self._new(under[0] if under else None)
        volume.extra["layers"] = {"top": top, "below": under, "snapshots": {}}

    def base(self, tree: Path) -> str:
        """The name under which an unpacked template is a layer."""
        name = f"base-{tree.name[:16]}"
        link = self.folder / name
        if not link.is_symlink():
            link.symlink_to(tree)
        return name

    async def seal(self, volume: Volume, *, mounted: bool) -> list[str]:
        """Layers that hold what the volume holds now and are never written to again."""
        stack = self.stack(volume)
        top = self.folder / stack["top"]
        if not any(top.iterdir()):
            return list(stack["below"])
        if not mounted:
            stack["below"] = [stack["top"], *stack["below"]]
            stack["top"] = self._new(stack["top"])
            return list(stack["below"])
        copy = self._new()
        self._making.add(copy)
        await must("cp", "--archive", "--no-target-directory", str(top), str(self.folder / copy), timeout=_COPY_SECONDS)
        return [copy, *stack["below"]]

    def settle(self, layers: Iterable[str]) -> None:
        """The sealed layers have found their place in the state."""
        self._making.difference_update(layers)

    def forget_identity(self, volume: Volume) -> None:
        """Let the system in a cloned root find itself a new machine-id (PVE::LXC::Setup, clear_machine_id)."""
        stack = self.stack(volume)
        folder = self.folder / stack["top"] / "etc"
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        (folder / "machine-id").write_text("")

    def restore(self, volume: Volume, below: Iterable[str]) -> None:
        """Take the volume back to sealed layers; its snapshots stay."""
        stack = self.stack(volume)
        snapshots = stack["snapshots"]
        self.plant(volume, below)
        volume.extra["layers"]["snapshots"] = snapshots

    def stack(self, volume: Volume) -> dict[str, Any]:
        """The volume's stack; one without content begins empty."""
        if "layers" not in volume.extra:
            self.plant(volume)
        found: dict[str, Any] = volume.extra["layers"]
        return found

    def mount(self, volume: Volume) -> list[str]:
        """Arguments of `mount` for its content, to be used in `folder`: relative names keep them short."""
        stack = self.stack(volume)
        if not stack["below"]:  # programs in it may want overlays of their own, which cannot be on an overlay
            return ["--bind", stack["top"]]
        work = f"work-{stack['top']}"
        (self.folder / work).mkdir(exist_ok=True)
        # names and content of directories must not depend on the layers around them
        how = "redirect_dir=off,index=off,metacopy=off"
        where = f"lowerdir={':'.join(stack['below'])},upperdir={stack['top']},workdir={work}"
        return ["-t", "overlay", "overlay", "-o", f"{where},{how}"]

    async def collect(self, volumes: Iterable[Volume]) -> None:
        """Remove every layer that no volume refers to."""
        used = set(self._making)
        for volume in volumes:
            used |= _referred(volume.extra)
        loose = [
            path
            for path in self.folder.iterdir()
            if path.name.removeprefix("work-") not in used and not path.name.startswith("base-")
        ]
        if loose:
            await asyncio.to_thread(_remove, loose)


def _referred(extra: dict[str, Any]) -> set[str]:
    stack = extra.get("layers") or {}
    found = {stack.get("top", ""), *stack.get("below", ())}
    for below in (stack.get("snapshots") or {}).values():
        found |= set(below)
    for held in (extra.get("disks") or {}).values():
        found |= _referred(held)
    return found


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
