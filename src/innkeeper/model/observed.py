"""What Proxmox shows: one frozen view of a cluster, with what could not be seen said as plainly as what could."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from innkeeper.model.objects import GuestKind

Power = Literal["running", "stopped", "paused", "unknown"]
UNFINISHED = "unfinished"
"""What stands in place of a configuration while one is being applied, and after it has failed."""

EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Marker:
    """What Innkeeper writes into a guest's notes; the proof that the guest is ours, and whose.

    `settings` names every Proxmox setting that we set (`cores`, `net0.bridge`): one that is declared no more goes back
    to its default. `made` holds what can only be known from the create call (`template`, a hash of `sshKeys`).
    `configured` is the fingerprint of the configuration that was last applied inside the guest, or UNFINISHED.
    """

    source: str
    kind: str
    name: str
    revision: str = ""
    settings: tuple[str, ...] = ()
    made: tuple[tuple[str, str], ...] = ()
    configured: str = ""


@dataclass(frozen=True, slots=True)
class ObservedGuest:
    """One guest. `config` is None where it was not read or could not be; `unreadable` then says why.

    `config` holds raw values as they will be once pending changes are in effect; `pending` maps each key that waits for
    a restart to the value that is running now (None: not set). Source: `GET /cluster/resources`, `GET …/pending`.
    """

    vmid: int
    kind: GuestKind
    node: str
    name: str | None
    power: Power
    template: bool = False
    tags: tuple[str, ...] = ()
    pool: str | None = None
    lock: str | None = None
    ha: str | None = None
    config: Mapping[str, str] | None = None
    description: str = ""
    """The notes without our marker and without surrounding white space."""
    marker: Marker | None = None
    digest: str = ""
    pending: Mapping[str, str | None] = field(default_factory=lambda: EMPTY)
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """Memory in bytes; `free_memory` is what Proxmox reports as not used."""

    name: str
    online: bool
    memory: int = 0
    free_memory: int = 0
    cpus: int = 0
    busy: float = 0.0
    """Processors in use."""


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage as one node sees it. `content` as Proxmox names it (`rootdir`, `images`, `vztmpl` …)."""

    name: str
    node: str
    content: frozenset[str]
    shared: bool = False
    available: bool = True
    free: int = 0
    type: str = ""
    total: int = 0


@dataclass(frozen=True, slots=True)
class ClusterView:
    """A cluster at one moment.

    `complete` is false when guests may exist that this view does not show (no quorum, a token without VM.Audit on all
    guests); `gaps` then says why, each a sentence. Nothing may be created on a guess or destroyed on such a view.
    `templates` (volume ids by node), `bridges` (by node) and `pools` are None where they were not asked for.
    """

    cluster: str
    version: tuple[int, int]
    nodes: Mapping[str, Node]
    guests: Mapping[int, ObservedGuest]
    storages: tuple[Storage, ...] = ()
    bridges: Mapping[str, frozenset[str]] | None = None
    templates: Mapping[str, tuple[str, ...]] | None = None
    pools: frozenset[str] | None = None
    complete: bool = True
    quorate: bool = True
    """Without a quorum Proxmox reads, and changes nothing (pmxcfs is read-only)."""
    gaps: tuple[str, ...] = ()
    privileges: Mapping[str, frozenset[str]] | None = None
    """Path → privileges of the token in use, from `GET /access/permissions`."""
    root_ticket: bool = False
    """Signed in as root@pam with a ticket: the only identity that may bind-mount and pass devices."""
    reads: int = 0
    facts: Mapping[str, str] = field(default_factory=lambda: EMPTY)
