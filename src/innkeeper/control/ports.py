"""What the control plane needs from outside: a queue, git, clusters, the network's other services, people.

What it remembers is in `memory`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from innkeeper.engine.inside import Insider
from innkeeper.engine.ports import Hypervisor
from innkeeper.model.exposure import Expose
from innkeeper.model.jobs import Job
from innkeeper.model.objects import Cluster, Declared, GuestKind, Ref
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import Json
from innkeeper.planner.policy import Unreachable

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

    async def heads(self, branches: Sequence[str]) -> Mapping[str, str]:
        """Where these branches stand at the server now; one that is not there is left out. Nothing is fetched."""

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

    async def snapshots(self, kind: GuestKind, node: str, vmid: int) -> tuple[Snapshot, ...]:
        """Conflict: that node has no such guest."""

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
