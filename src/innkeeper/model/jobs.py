"""A recorded request and what became of it: git push, form, webhook, drift, timer and command all become one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from innkeeper.model.plan import Json

JobType = Literal["sync", "plan", "rollback", "snapshot", "restore", "power", "commit", "configure"]
JobState = Literal["pending", "running", "waiting", "succeeded", "failed", "cancelled"]
"""`waiting`: for a person's approval of exactly the plan whose digest the job carries."""
ENDED: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})
Trigger = Literal["webhook", "timer", "drift", "portal", "api", "cli", "operator", "schedule"]
Level = Literal["info", "warning", "error"]

EMPTY: Mapping[str, Json] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody or something wants done with one source.

    `revision` is a commit; empty: the newest of the source's branch when the job begins. `only` names guests
    (`web` or `Container/web`); empty: all. `payload` holds what a type needs beyond that, and never a secret:
    sync      {replace: [names], prune: bool, configure: always|changed|never, snapshot: bool}
    plan      {ref: git ref of a proposal, pull: number, trusted: bool}
    rollback  {to: commit, snapshot: bool}, or {branch}
    configure {branch}: only what runs inside, as the branch has it
    snapshot  {name, keep: number}, or {branch}      restore {name}      power {action: start|stop|shutdown|reboot}
    (`branch`: as it stands when the job begins)
    commit    {path, text or null for removal, message, form: {…}, pull: bool}
    """

    type: JobType
    source: str
    revision: str = ""
    only: tuple[str, ...] = ()
    trigger: Trigger = "api"
    actor: str = ""
    """Who asked: a user's name, `webhook:<delivery>`, or empty for Innkeeper itself."""
    payload: Mapping[str, Json] = field(default_factory=lambda: EMPTY)


@dataclass(frozen=True, slots=True)
class Job:
    """A request with its life. `digest` names the plan that was shown last; `result` is what `apply -o json` prints."""

    id: int
    request: Request
    state: JobState
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    revision: str = ""
    """The commit that the job works on, once it is known."""
    summary: str = ""
    digest: str = ""
    approved_by: str = ""
    profile: str = ""
    result: Mapping[str, Json] = field(default_factory=lambda: EMPTY)
    error: str = ""
    retry_of: int | None = None


@dataclass(frozen=True, slots=True)
class JobLog:
    """One line of a job's log. `guest` as `Container/web`; `phase` as in the engine's events."""

    job: int
    number: int
    at: datetime
    level: Level
    message: str
    guest: str = ""
    phase: str = ""
