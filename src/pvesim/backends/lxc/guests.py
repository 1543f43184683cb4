"""Everything that real containers need around them, from start to end of a simulator."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from pvesim.backends.lxc import needs, registries
from pvesim.backends.lxc.backend import PROXY_PORT, LxcBackend
from pvesim.backends.lxc.nodessh import NodeSsh
from pvesim.backends.lxc.proxy import Proxy
from pvesim.cluster.state import Cluster
from pvesim.template import cache


class Guests:
    """`home` is the simulator's directory; `ssh_key` a file with public keys that may log in to the nodes."""

    def __init__(self, cluster: Cluster, home: Path, *, keep: bool, ssh_key: Path | None = None) -> None:
        self._home = home.resolve()
        self._cluster = cluster
        self._backend = LxcBackend(cluster, self._home, keep=keep)
        self._proxy = Proxy(cache.folder() / "packages", registries.hosts)
        self._ssh = NodeSsh(cluster, self._backend, self._home, ssh_key)
        self._lock: TextIO | None = None
        cluster.backend = self._backend

    async def open(self, changed: Callable[[], None]) -> None:
        """Make the nodes' network and bring back what ran; NeedsError where this machine cannot do it."""
        await asyncio.to_thread(needs.require)
        self._lock = _locked(self._home)
        self._backend.changed = changed
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        await self._backend.open()
        listener = await self._backend.world.socket()
        listener.bind(("0.0.0.0", PROXY_PORT))  # noqa: S104 - in the private network of the nodes
        await self._proxy.listen(listener)
        await self._ssh.open()
        await self._backend.resume()

    @property
    def host(self) -> str:
        """The address of this machine that containers reach."""
        return self._backend.world.outside

    def ready(self) -> dict[str, Any]:
        """What the ready line says of it."""
        return {"backend": "lxc"} | self._ssh.ready()

    async def close(self) -> None:
        """Stop every container, give everything back."""
        await self._ssh.close()
        await self._proxy.close()
        await self._backend.close()
        if self._lock:
            self._lock.close()


def _locked(home: Path) -> TextIO:
    file = (home / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise needs.NeedsError(f"{home} is in use by another pvesim") from error
    return file
