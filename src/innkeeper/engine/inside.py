"""What the engine needs from inside a guest. `innkeeper.configure` is the one implementation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.inside import Check, SecretStore
from innkeeper.model.inside import CheckResult as CheckResult
from innkeeper.model.objects import Cluster, Origin, Ref


@dataclass(frozen=True, slots=True)
class RoleCall:
    """A role to run: its directory (bundled or the source's own) and its variables, secrets still references."""

    name: str
    directory: str
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tracked:
    """A branch of a git repository that is deployed into the guest; a new commit on it is a change."""

    url: str
    branch: str
    key: object = None
    """A private key as `{secretRef: …}`, or None."""
    known_hosts: str | None = None
    """Lines for `known_hosts`: nothing else is believed of its server's host key. None: what was seen first."""


@dataclass(frozen=True, slots=True)
class Inside:
    """Everything that must hold inside one guest; made by pure code from its manifest."""

    ref: Ref
    cluster: str
    hostname: str
    roles: tuple[RoleCall, ...]
    origin: Origin
    user: str = "root"
    groups: tuple[str, ...] = ()
    health: tuple[Check, ...] = ()
    tracked: tuple[Tracked, ...] = ()
    stores: Mapping[str, SecretStore] = field(default_factory=dict)
    address: str | None = None
    """The static address without its prefix; None: ask Proxmox."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found before anything is done: the fingerprint of each guest's configuration, and what is wrong.

    A fingerprint is a short word over role files, variables, tracked commits and a keyed hash of the secrets; equal
    means that nothing would change. `commits` shows what a tracked branch stands at.
    """

    fingerprints: Mapping[Ref, str]
    diagnostics: tuple[Diagnostic, ...] = ()
    commits: Mapping[Ref, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Target:
    """A guest where it is now. `address` without prefix, or None where it has none (only `pct exec` reaches it)."""

    cluster: Cluster
    node: str
    vmid: int
    kind: str
    address: str | None


Tell = Callable[[str], None]


class Insider(Protocol):
    """Work inside guests. Raises only `innkeeper.engine.errors`, each naming guest, step and what to do."""

    async def prepare(self, items: Sequence[Inside]) -> Readiness: ...

    def authorized_keys(self, cluster: str) -> tuple[str, ...]:
        """Public keys that every new guest of the cluster must accept, so that it can be reached."""

    def forget(self, cluster: str, vmid: int) -> None:
        """A guest is about to be made: what is known of the host key of one before it is no longer true."""

    async def configure(self, item: Inside, target: Target, tell: Tell) -> None:
        """Reach the guest, wait for it with a bound, run its roles; `tell` gets one line per task."""

    async def check(self, item: Inside, target: Target) -> tuple[CheckResult, ...]: ...

    async def answering(self, addresses: Sequence[str]) -> frozenset[str]:
        """Those of the addresses that something answers from (ping, ARP)."""

    async def close(self) -> None: ...
