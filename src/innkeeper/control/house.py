"""What one control plane stands on: what it was told to keep, and the ways to everything outside."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from innkeeper.control.errors import NotFound
from innkeeper.control.memory import Store
from innkeeper.control.ports import Bus, Forge, Insides, Links, Notifier, Publisher, Queue, Repository
from innkeeper.control.rendered import Rendered
from innkeeper.engine.ports import Builder
from innkeeper.manifests.formats.tree import Evaluate
from innkeeper.manifests.images import Derive
from innkeeper.model.objects import Cluster
from innkeeper.model.server import ServerSpec
from innkeeper.model.sources import Source


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
    rendered: dict[str, Rendered] = field(default_factory=dict)
    """What each source was brought to last, as far as that was looked up."""
    evaluate: Evaluate | None = None
    """How a flake's output is had; None: flakes are not evaluated."""
    derive: Derive | None = None
    builder: Builder | None = None
    """What an image is built from, and how."""

    def source(self, name: str) -> Source:
        if name in self.sources:
            return self.sources[name]
        raise NotFound(f"there is no source {name}", f"sources: {', '.join(sorted(self.sources)) or 'none'}")

    def repository(self, name: str) -> Repository:
        self.source(name)
        return self.repositories[name]

    def link(self, job: int) -> str:
        """A job's page."""
        return f"{self.url}/jobs/{job}"
