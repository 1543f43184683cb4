"""The ways to clusters, kept open: a ticket, a connection and the count of our own calls live longer than a job."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from innkeeper import runtime
from innkeeper.control.ports import Finding, Link
from innkeeper.engine.errors import EngineError
from innkeeper.model.objects import Cluster, Declared
from innkeeper.planner.policy import Unreachable
from innkeeper.proxmox.hypervisor import Proxmox

Heard = Callable[[str, str, int], None]
"""Method, path and status."""


class KeptLinks:
    """Implements `innkeeper.control.ports.Links`, for one event loop."""

    def __init__(self, counted: Heard = lambda method, path, status: None) -> None:
        """`counted` is told of every answer of every cluster's API; from the thread that asks."""
        self._counted = counted
        self._open: dict[tuple[str, str], Proxmox] = {}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def connected(self, clusters: Iterable[Cluster]) -> AsyncIterator[Mapping[str, Link | Unreachable]]:
        """See Links.connected. One that cannot be made is tried anew the next time."""
        yield {cluster.name: await self._one(cluster) for cluster in clusters}

    async def _one(self, cluster: Cluster) -> Link | Unreachable:
        key = cluster.name, cluster.spec.model_dump_json()  # a spec may hold maps, and has no hash then
        async with self._lock:
            if key not in self._open:
                try:
                    self._open[key] = Proxmox(cluster, Path(cluster.origin.directory))
                except EngineError as error:
                    return Unreachable(error.message, error.advice)
                self._open[key].session.heard = self._counted
            return self._open[key]

    async def examine(self, declared: Declared, cluster: Cluster) -> tuple[Finding, ...]:
        link = await self._one(cluster)
        return await runtime.examine(declared, cluster, link if isinstance(link, Proxmox | Unreachable) else
                                     Unreachable("it is not a cluster of Proxmox VE"))  # fmt: skip

    def loads(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """Our own calls: cluster → node → `reads`, `writes`."""
        return {
            name: {node: {"reads": load.reads, "writes": load.writes} for node, load in link.load.items()}
            for (name, _), link in self._open.items()
        }

    async def close(self) -> None:
        for link in self._open.values():
            await link.close()
        self._open.clear()
