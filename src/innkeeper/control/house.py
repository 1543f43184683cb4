"""What one control plane stands on: what it was told to keep, and the ways to everything outside."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from innkeeper.control.errors import NotFound
from innkeeper.control.ports import Bus, Forge, Insides, Link, Links, Notifier, Publisher, Queue, Repository, Store
from innkeeper.engine.errors import Waiting
from innkeeper.manifests.formats.tree import Evaluate
from innkeeper.model.objects import Cluster
from innkeeper.model.server import ServerSpec
from innkeeper.model.sources import Source
from innkeeper.planner.policy import Unreachable


@dataclass(frozen=True, slots=True, repr=False)
class House:
    """Each event loop has its own; they meet in the store and on the bus. It has no repr: it holds ways to secrets."""

    sources: Mapping[str, Source]
    clusters: Mapping[str, Cluster]
    server: ServerSpec
    store: Store
    queue: Queue
    bus: Bus
    links: Links
    insides: Insides
    repositories: Mapping[str, Repository]
    now: Callable[[], datetime]
    url: str = ""
    """How people reach the portal."""
    publishers: tuple[Publisher, ...] = ()
    notifiers: tuple[Notifier, ...] = ()
    forges: Mapping[str, Forge] = field(default_factory=dict)
    telling: set[asyncio.Task[None]] = field(default_factory=set)
    """Notices that were not taken yet."""
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from looking for a wish's job until it is there, so that a burst makes one."""
    evaluate: Evaluate | None = None
    """How a flake's output is had; None: flakes are not evaluated."""

    def source(self, name: str) -> Source:
        if name in self.sources:
            return self.sources[name]
        raise NotFound(f"there is no source {name}", f"sources: {', '.join(sorted(self.sources)) or 'none'}")

    def repository(self, name: str) -> Repository:
        self.source(name)
        return self.repositories[name]

    def cluster(self, name: str) -> Cluster:
        if name in self.clusters:
            return self.clusters[name]
        raise NotFound(f"there is no cluster {name}", f"clusters: {', '.join(sorted(self.clusters)) or 'none'}")

    @asynccontextmanager
    async def reach(self, cluster: str) -> AsyncIterator[Link]:
        """The way to one cluster; NotFound for one that is not declared, Waiting for one that cannot be reached."""
        async with self.links.connected((self.cluster(cluster),)) as links:
            link = links[cluster]
            if isinstance(link, Unreachable):
                raise Waiting(link.message, link.advice)
            yield link

    def link(self, job: int) -> str:
        """A job's page."""
        return f"{self.url}/jobs/{job}"
