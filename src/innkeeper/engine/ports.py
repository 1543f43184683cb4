"""What the engine needs from the outside. `innkeeper.proxmox` is the one hypervisor; tests run it against pvesim."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from innkeeper.model.images import Build
from innkeeper.model.objects import Ref
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Operation, Step


@dataclass(frozen=True, slots=True)
class Scope:
    """How much to observe.

    `vmids` and `names` are those declared. Guests that carry our tag are read, too, unless `ours` is false: what a
    cluster offers is told by no guest's configuration. `catalog` also asks for bridges, templates and pools, which a
    plan that creates needs; `everything` reads the configuration of every guest.
    """

    vmids: frozenset[int] = frozenset()
    names: frozenset[str] = frozenset()
    ours: bool = True
    catalog: bool = False
    everything: bool = False
    nodes: frozenset[str] | None = None
    """Where `catalog` looks; None: every online node."""


Log = Callable[[str], None]
"""Gets the last line of a running Proxmox task's log."""


Builder = Callable[[Build, Log], AbstractAsyncContextManager[Path]]
"""Makes an image, which is there until it is let go. Raises only `innkeeper.engine.errors`."""


class Hypervisor(Protocol):
    """One Proxmox cluster. Every method raises only `innkeeper.engine.errors`."""

    @property
    def reads(self) -> int: ...
    @property
    def writes(self) -> int: ...

    async def observe(self, scope: Scope) -> ClusterView: ...

    async def poll(self) -> str:
        """A fingerprint in one call: the same text while nothing that the list of everything shows has changed."""

    async def guest(self, vmid: int) -> ObservedGuest | None:
        """One guest as it is now, wherever it lives, configuration and power included; None: proved to be absent."""

    async def addresses(self, guest: ObservedGuest) -> tuple[str, ...]:
        """The addresses that a running guest has now, without prefixes; none where Proxmox cannot tell (no agent)."""

    async def call(self, operation: Operation, digest: str, log: Log, file: Path | None = None) -> None:
        """One writing call, sent once, its task followed to the end; a task that ends with warnings is a success.

        `file` goes with it: what an operation's `build` was made into.
        """

    async def settle(self, vmid: int, log: Log, timeout: float) -> None:
        """Follow tasks that still run on this guest (ours of an earlier run, or anybody's) until none does."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Event:
    """Progress of one step. `phase` as in Operation, or `waiting`, `verifying`, `configuring` (inside the guest),
    `done`, `failed`, `skipped`."""

    ref: Ref
    step: Step
    phase: str
    message: str = ""


Listener = Callable[[Event], None]
