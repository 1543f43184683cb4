"""Named locks: who waits for whom, how long, and what Proxmox says when the wait is over.

File locks live on one node (`/run/lock/...`; PVE::Tools, lock_file); cluster locks span all nodes (PVE::Cluster,
cfs_lock). A lock that a fault holds is not given back by itself: with an instant clock, waiting for one fails at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from pvesim.cluster.clock import Clock
from pvesim.errors import ApiError


@dataclass
class _Lock:
    owners: int = 0
    exclusive: bool = False
    stuck: bool = False
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)

    def free_for(self, shared: bool) -> bool:
        return not self.stuck and (self.owners == 0 or (shared and not self.exclusive))

    def wake(self) -> None:
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)


class Locks:
    """All locks of the cluster."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._locks: dict[str, _Lock] = {}
        self.quorate: Callable[[], bool] = lambda: True

    @asynccontextmanager
    async def file(self, node: str, path: str, wait: float = 10, *, shared: bool = False) -> AsyncIterator[None]:
        """Hold a lock file of one node; ApiError 500 `can't lock file '…' - got timeout` after `wait` seconds."""
        name = f"{node}:{path}"
        await self._take(name, wait, shared, f"can't lock file '{path}' - got timeout")
        try:
            yield
        finally:
            self._release(name)

    def guest(
        self, node: str, kind: str, vmid: int, wait: float = 10, *, shared: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """Hold the config lock of a guest (PVE::AbstractConfig, lock_config_full)."""
        path = self.guest_name(node, kind, vmid).removeprefix(f"{node}:")
        return self.file(node, path, wait, shared=shared)

    @staticmethod
    def guest_name(node: str, kind: str, vmid: int) -> str:
        """The name that `seize` takes for a guest's config lock."""
        path = f"/run/lock/lxc/pve-config-{vmid}.lock" if kind == "lxc" else f"/var/lock/qemu-server/lock-{vmid}.conf"
        return f"{node}:{path}"

    @asynccontextmanager
    async def cfs(self, name: str, wait: float = 10) -> AsyncIterator[None]:
        """Hold a cluster-wide lock such as `storage-nas` or `file-user_cfg`; ApiError 500 `cfs-lock '…' error: …`."""
        if not self.quorate():
            raise ApiError(500, f"cfs-lock '{name}' error: no quorum!")
        await self._take(f"cfs:{name}", wait, False, f"cfs-lock '{name}' error: got lock request timeout")
        try:
            yield
        finally:
            self._release(f"cfs:{name}")

    def seize(self, name: str) -> None:
        """Hold `NODE:PATH` or `cfs:NAME` until `free` (a fault: somebody else's lock)."""
        self._locks.setdefault(name, _Lock()).stuck = True

    def free(self, name: str) -> None:
        """End what `seize` began."""
        lock = self._locks.get(name)
        if lock:
            lock.stuck = False
            lock.wake()

    async def _take(self, name: str, wait: float, shared: bool, refusal: str) -> None:
        lock = self._locks.setdefault(name, _Lock())
        deadline = self._clock.now() + wait
        while not lock.free_for(shared):
            left = deadline - self._clock.now()
            if left <= 0 or (lock.stuck and not self._clock.real):
                raise ApiError(500, refusal)
            waiter = asyncio.get_running_loop().create_future()
            lock.waiting.append(waiter)
            try:
                await asyncio.wait_for(waiter, left)
            except TimeoutError:
                continue
            finally:
                lock.waiting.remove(waiter)
        lock.owners += 1
        lock.exclusive = not shared

    def _release(self, name: str) -> None:
        lock = self._locks[name]
        lock.owners -= 1
        lock.wake()
        if not lock.owners and not lock.stuck and not lock.waiting:
            del self._locks[name]
