"""What the control plane remembers: jobs, guests as they were seen, drift, revisions; and who may use it.

Implemented by `innkeeper.store`, on SQLite or PostgreSQL. Losing it loses history, never guests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from innkeeper.model.jobs import Job, JobLog, JobState, Level, Request
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Json
from innkeeper.model.records import (
    AccessToken,
    Drift,
    Entry,
    GuestRecord,
    Revision,
    Role,
    SourceRecord,
    User,
)

Sort = Literal["name", "sync", "health", "node", "source", "address", "vmid", "revision", "created_at"]


@dataclass(frozen=True, slots=True)
class GuestQuery:
    """A page of the guests' list. `text` is looked for in name, hostname, address, node and vmid."""

    text: str = ""
    sources: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    sync: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    """Types of conditions (`PendingReboot`) of which one at least is true."""
    sort: Sort = "name"
    descending: bool = False
    offset: int = 0
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    guests: tuple[GuestRecord, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many guests there are by sync, health, and condition type (`PendingReboot`, `Drifted`); jobs by state."""

    guests: int = 0
    sync: Mapping[str, int] = field(default_factory=dict)
    health: Mapping[str, int] = field(default_factory=dict)
    conditions: Mapping[str, int] = field(default_factory=dict)
    jobs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GuestTally:
    """How many guests are alike in all of this."""

    cluster: str
    node: str
    power: str
    sync: str
    health: str
    count: int


class Store(Protocol):
    """The control plane's memory: `innkeeper.store`, on SQLite or PostgreSQL. Losing it loses history, never guests."""

    async def add_job(self, request: Request, *, retry_of: int | None = None) -> Job: ...
    async def job(self, job: int) -> Job | None: ...
    async def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        source: str = "",
        ref: Ref | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> tuple[Job, ...]:
        """Newest first; `before` is the id to go on below."""

    async def update_job(self, job: int, expected: Sequence[JobState], **changes: object) -> Job | None:
        """Change fields of Job, only while its state is one of `expected` (compare and set); None: it is not."""

    async def log(self, job: int, level: Level, message: str, *, guest: str = "", phase: str = "") -> JobLog: ...
    async def logs(self, job: int, after: int = 0, limit: int = 1000) -> tuple[JobLog, ...]: ...
    async def forget_jobs(self, before: datetime, keep: int) -> int:
        """Retention: ended jobs older than `before`, but never the newest `keep`; how many went.

        Drift that ended before goes with them.
        """

    async def put_guests(self, source: str, records: Sequence[GuestRecord], *, whole: bool) -> None:
        """`whole`: guests of the source that are not among these go."""

    async def guests(self, query: GuestQuery) -> Page: ...
    async def guest(self, source: str, ref: Ref) -> GuestRecord | None: ...
    async def owner(self, cluster: str, vmid: int) -> tuple[str, Ref] | None: ...
    async def counts(self) -> Counts: ...
    async def tally(self) -> tuple[GuestTally, ...]: ...

    async def put_drift(self, found: Sequence[Drift], source: str) -> tuple[Drift, ...]:
        """What drifts now; ends what is not among it. Returns what is new (ids filled in)."""

    async def drifts(
        self,
        *,
        source: str = "",
        ref: Ref | None = None,
        ended: bool = False,
        ignored: bool = True,
        limit: int | None = None,
    ) -> tuple[Drift, ...]:
        """Newest first. `ended`: those that are over, too; not `ignored`: without those that are left alone."""

    async def ignore_drift(self, drift: int, until: datetime | None) -> Drift | None: ...

    async def source(self, name: str) -> SourceRecord: ...
    async def put_source(self, name: str, **changes: object) -> SourceRecord: ...
    async def add_revision(self, revision: Revision) -> None: ...
    async def revisions(self, source: str, limit: int = 50) -> tuple[Revision, ...]: ...

    async def delivered(self, source: str, delivery: str) -> bool:
        """Whether a webhook of this delivery id was received lately."""

    async def add_delivery(self, source: str, delivery: str, at: datetime) -> None:
        """It was received; again is as good as once."""

    async def audit(self, entry: Entry) -> None: ...
    async def audits(self, *, before: int | None = None, limit: int = 100) -> tuple[Entry, ...]: ...

    async def value(self, key: str) -> Json: ...
    async def put_value(self, key: str, value: Json) -> None:
        """Small facts of the control plane that have no table of their own (a comment's id, a schedule's last run)."""

    async def writable(self) -> None:
        """Raise Waiting where nothing can be written now (disk full, database gone)."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser. Its cookie holds a random secret of which only the hash is kept; `csrf` goes into forms."""

    user: User
    csrf: str
    expires_at: datetime


class Accounts(Protocol):
    """Users, their sessions and tokens: `innkeeper.store`. Secrets are kept as hashes only (argon2 for passwords)."""

    async def users(self) -> tuple[User, ...]: ...
    async def user(self, name: str) -> User | None: ...
    async def add_user(self, name: str, role: Role, *, password: str | None = None, subject: str = "") -> User:
        """Conflict: the name or the subject is taken."""

    async def update_user(
        self, user: int, *, role: Role | None = None, disabled: bool | None = None, password: str | None = None
    ) -> User:
        """A new password, a lesser role and disabling end the user's sessions. Conflict: no admin would be left."""

    async def remove_user(self, user: int) -> None: ...
    async def by_password(self, name: str, password: str) -> User | None:
        """Takes the same time whether the user exists or not."""

    async def by_subject(self, subject: str) -> User | None: ...
    async def open_session(self, user: int, lifetime: float) -> str:
        """A new secret for the cookie; `lifetime` in seconds."""

    async def session(self, secret: str) -> Session | None: ...
    async def close_session(self, secret: str) -> None: ...
    async def add_token(
        self, user: int, name: str, role: Role, lifetime: float | None = None
    ) -> tuple[AccessToken, str]:
        """The token with its secret (`ink_…`), which is shown this once. Its role is never above its user's."""

    async def tokens(self, user: int | None = None) -> tuple[AccessToken, ...]: ...
    async def revoke_token(self, token: int) -> None: ...
    async def by_token(self, secret: str) -> tuple[User, Role] | None: ...
    async def setup_secret(self) -> str | None:
        """The secret of the one-time link while there is no user yet; a new one at each start."""

    async def claim_setup(self, secret: str, name: str, password: str) -> User | None:
        """Make the first admin, once; None: the secret is not right or no longer good."""
