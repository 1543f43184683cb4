"""What the control plane remembers for people to see. All of it can be lost: guests and git stay what they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from innkeeper.model.jobs import EMPTY
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Json
from innkeeper.model.status import Condition, Health, Sync

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
"""From least to most. Viewers see; operators sync, heal, approve, fill in forms; admins manage users and settings."""
PASSWORD_LENGTH = range(8, 1025)
"""Characters of a local user's password."""


@dataclass(frozen=True, slots=True)
class GuestRecord:
    """One guest of one source as it was seen last.

    `desired`, `live` and `pending` are specs in the manifest's own spelling; `changes` what a sync would do
    (`{field, from, to, impact, file, line}`). `age` is reckoned from `created_at`.
    """

    source: str
    ref: Ref
    cluster: str
    node: str
    vmid: int | None
    hostname: str
    address: str
    sync: Sync
    health: Health
    power: str
    revision: str
    conditions: tuple[Condition, ...] = ()
    checks: tuple[Mapping[str, Json], ...] = ()
    changes: tuple[Mapping[str, Json], ...] = ()
    desired: Mapping[str, Json] = field(default_factory=lambda: EMPTY)
    live: Mapping[str, Json] = field(default_factory=lambda: EMPTY)
    pending: Mapping[str, Json] = field(default_factory=lambda: EMPTY)
    file: str = ""
    line: int = 0
    profile: str = ""
    protected: bool = False
    created_at: datetime | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """One field of one guest that a hand changed.

    `who` and `task` are from Proxmox's task log, and `found_at` is that task's beginning; where the log tells nothing
    (a container's configuration is written without a task) both are empty, and `found_at` is when it was seen.
    """

    id: int
    source: str
    ref: Ref
    cluster: str
    vmid: int
    field: str
    before: Json
    after: Json
    found_at: datetime
    who: str = ""
    task: str = ""
    ignored_until: datetime | None = None
    ended_at: datetime | None = None

    @property
    def hand(self) -> str:
        """Whose hand it was, in words."""
        return f"by {self.who}" if self.who else "by whom Proxmox did not record"


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """Where a source stands. `seen` is the newest revision that is known, `synced` the last one carried out wholly."""

    name: str
    seen: str = ""
    synced: str = ""
    fetched_at: datetime | None = None
    synced_at: datetime | None = None
    error: str = ""
    suspended: bool = False
    pinned: str = ""
    """A revision that a rollback holds the source at; syncs of newer ones wait until it is released."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit that was synced, newest first in lists."""

    source: str
    revision: str
    author: str
    subject: str
    committed_at: datetime
    job: int | None = None
    synced_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit log: who changed what, when, from where."""

    at: datetime
    actor: str
    action: str
    target: str
    detail: str = ""
    address: str = ""
    id: int = 0


@dataclass(frozen=True, slots=True)
class User:
    """`subject` is the identity at an OIDC provider (`issuer|sub`); local users have a password's hash instead."""

    id: int
    name: str
    role: Role
    subject: str = ""
    disabled: bool = False
    created_at: datetime | None = None
    last_seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A personal token, without its secret (only its hash is kept)."""

    id: int
    user: int
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None
