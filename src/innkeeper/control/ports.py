"""What the control plane needs from outside: memory, a queue, git, the network's other services, people."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from innkeeper.engine.inside import Insider
from innkeeper.engine.ports import Hypervisor
from innkeeper.model.exposure import Expose
from innkeeper.model.jobs import Job, JobLog, JobState, Level, Request
from innkeeper.model.objects import Cluster, Declared, Ref
from innkeeper.model.observed import ObservedGuest
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
from innkeeper.planner.policy import Unreachable

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

    async def drifts(self, *, source: str = "", ref: Ref | None = None, ended: bool = False) -> tuple[Drift, ...]: ...
    async def ignore_drift(self, drift: int, until: datetime | None) -> Drift | None: ...

    async def source(self, name: str) -> SourceRecord: ...
    async def put_source(self, name: str, **changes: object) -> SourceRecord: ...
    async def add_revision(self, revision: Revision) -> None: ...
    async def revisions(self, source: str, limit: int = 50) -> tuple[Revision, ...]: ...

    async def new_delivery(self, source: str, delivery: str, at: datetime) -> bool:
        """Whether a webhook's delivery id is seen for the first time."""

    async def forget_delivery(self, source: str, delivery: str) -> None:
        """It led to nothing: its repetition is new."""

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


Work = Callable[[int], Awaitable[None]]
"""Does the job with this id; never raises but CancelledError."""


class Queue(Protocol):
    """Jobs in turn: in this process, or among replicas through PostgreSQL (procrastinate)."""

    async def submit(self, job: Job) -> None:
        """Each source's jobs run one after the other, in their order; other sources' beside them.

        From any loop. A job that is in line already stays there once.
        """

    async def run(self, work: Work) -> None:
        """Work until cancelled; then no job is begun any more, and those that run are cancelled and awaited.

        Jobs that are `pending` in the Store are found without being submitted again. A job whose process or replica
        died is given to `work` once more, in the state that it was left in (`running`). `work` looks at the state
        first: a job may have been cancelled or ended meanwhile. Stalled: another process works on the same data.
        """

    def cluster(self, names: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """Held while guests of these clusters are changed: one writer per cluster, in every replica.

        Lost when the connection to PostgreSQL is: the body is cancelled then, and Waiting raised in its place.
        """

    def leader(self) -> AbstractAsyncContextManager[None]:
        """Held by the one replica that watches clusters and keeps schedules; lost like `cluster`."""


@dataclass(frozen=True, slots=True)
class Commit:
    revision: str
    author: str
    email: str
    subject: str
    at: datetime


@dataclass(frozen=True, slots=True)
class FileChange:
    """`text` None removes the file. `path` is relative to the repository, below the path that is approved."""

    path: str
    text: str | None


class Repository(Protocol):
    """One source's git repository. Raises Waiting where git does not answer, Stalled where it refuses."""

    async def fetch(self) -> Commit:
        """The newest commit of the branch."""

    async def checkout(self, revision: str) -> Path:
        """The directory of the source's path at this commit: plain files only, no links, no submodules, bounded."""

    async def resolve(self, ref: str) -> str:
        """The commit of a branch, tag, or pull request's ref."""

    async def log(self, limit: int = 50, path: str = "") -> tuple[Commit, ...]: ...
    async def blame(self, revision: str, path: str, line: int) -> Commit | None: ...

    async def commit(
        self,
        changes: Sequence[FileChange],
        message: str,
        author: str,
        *,
        below: str,
        expected: str = "",
        branch: str = "",
    ) -> str:
        """Commit, push, return the new revision. Conflict: the branch moved past `expected` and cannot be merged.

        `branch` is a new branch to push to (for a pull request) instead of the source's own.
        """


@dataclass(frozen=True, slots=True)
class Service:
    """What others must know of one healthy guest. `address` is the one that it really has.

    `expose` and `monitoring` as declared; `health_path` of its first check over HTTP.
    """

    source: str
    ref: Ref
    cluster: str
    vmid: int
    address: str
    hostname: str
    expose: Expose | None = None
    monitoring: bool = False
    health_path: str = ""

    @property
    def owner(self) -> str:
        """Who may say what a domain leads to: `home/Container/web`."""
        return f"{self.source}/{self.ref}"


class Publisher(Protocol):
    """One place that tells the network about services: a repository of definitions, Caddy, Prometheus, DNS."""

    name: str

    async def publish(self, services: Sequence[Service]) -> tuple[str, ...]:
        """Tell exactly these, all that there are; returns what changed, a line each (none: nothing was written).

        Waiting or Stalled where something could not be told; all else was, and the next call tells the rest.
        """


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should hear of. `key` is the same for the trouble and its recovery."""

    kind: Literal["failure", "drift", "recovery", "approval"]
    key: str
    title: str
    text: str
    at: datetime
    url: str = ""


class Notifier(Protocol):
    async def notify(self, notice: Notice) -> None:
        """Deliver, or raise Waiting; never holds up a sync."""


class Forge(Protocol):
    """The forge of one source."""

    async def status(
        self, revision: str, state: Literal["pending", "success", "failure"], text: str, url: str, ref: str = ""
    ) -> None:
        """Say on a commit what became of it. `ref` is where the forge keeps it, where that is no branch."""

    async def comment(self, pull: int, text: str, marker: str) -> None:
        """One sticky comment: the one that holds `marker` is updated in place, else made."""

    async def open_pull(self, branch: str, title: str, text: str) -> tuple[int, str]:
        """Number and URL of a new pull request from `branch` to the source's."""


Events = Callable[[str, Mapping[str, Json]], None]
"""Tells every open page: a topic (`job`, `guest`, `source`, `drift`) and what changed."""


class Bus(Protocol):
    """Between the loops that work and the pages that show."""

    def tell(self, topic: str, body: Mapping[str, Json]) -> None:
        """From any thread; never waits."""

    def listen(self, *topics: str) -> AsyncIterator[tuple[str, Mapping[str, Json]]]:
        """Messages of these topics (none: all). `missed` with an empty body: some were lost, look everything up."""

    async def run(self) -> None:
        """Carries messages between replicas until cancelled."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A guest's snapshot; `memory`: a virtual machine's running state is in it."""

    name: str
    at: datetime | None
    description: str = ""
    parent: str = ""
    memory: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One entry of Proxmox's task log. `status` is `OK`, its error, or empty while it runs."""

    upid: str
    node: str
    type: str
    user: str
    started_at: datetime
    ended_at: datetime | None = None
    status: str = ""
    vmid: int | None = None


@dataclass(frozen=True, slots=True)
class NodeUse:
    """One node: what it has and what is used of it. Memory and disk in bytes, `cpu` a share of `cpus` (0 to 1).

    `reads` and `writes` are Innkeeper's own calls to it since it was connected.
    """

    cluster: str
    name: str
    online: bool
    cpus: int = 0
    cpu: float = 0.0
    memory: int = 0
    memory_used: int = 0
    disk: int = 0
    disk_used: int = 0
    uptime: int = 0
    guests: int = 0
    running: int = 0
    promised_memory: int = 0
    """The memory of all its guests together, running or not."""
    reads: int = 0
    writes: int = 0


class Link(Hypervisor, Protocol):
    """A cluster as the control plane sees it: what the engine needs, and what people want to look at."""

    async def glance(self, vmids: Collection[int]) -> tuple[str, Mapping[int, ObservedGuest]]:
        """A fingerprint of the list of everything, and those of these guests that are in it: 1 + N calls.

        The fingerprint is the same while nothing has changed that the list shows.
        """

    async def snapshots(self, guest: ObservedGuest) -> tuple[Snapshot, ...]: ...
    async def tasks(self, vmid: int, limit: int = 50) -> tuple[Task, ...]:
        """The newest tasks of a guest, wherever they ran; newest first."""

    async def usage(self) -> tuple[NodeUse, ...]: ...


class Finding(Protocol):
    """One line of the doctor's report."""

    @property
    def topic(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def advice(self) -> str: ...
    def to_json(self) -> dict[str, object]: ...


class Links(Protocol):
    """The ways to clusters, kept open between jobs. Used by one event loop only."""

    def connected(self, clusters: Iterable[Cluster]) -> AbstractAsyncContextManager[Mapping[str, Link | Unreachable]]:
        """By name; one whose secret or certificate is missing is Unreachable, with the reason."""

    async def examine(self, declared: Declared, cluster: Cluster) -> tuple[Finding, ...]: ...
    def loads(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """Our own calls so far: cluster → node → `reads` and `writes`; node empty: the endpoint itself."""

    async def close(self) -> None: ...


Insides = Callable[[Declared], AbstractAsyncContextManager[Insider | None]]
"""What works inside the guests that are declared; None where nothing is to be done there."""


class Hint(Protocol):
    """What a webhook tells, once it is proved genuine. It is never more than a reason to look.

    `after` is the branch's new commit; `pull` the number of a pull request, `head` its commit, `ref` where the forge
    keeps it, `fork`: it comes from another repository.
    """

    @property
    def delivery(self) -> str: ...
    @property
    def branch(self) -> str: ...
    @property
    def after(self) -> str: ...
    @property
    def deleted(self) -> bool: ...
    @property
    def pull(self) -> int | None: ...
    @property
    def head(self) -> str: ...
    @property
    def ref(self) -> str: ...
    @property
    def fork(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
