"""What the API answers where a record of the control plane is not JSON by itself: references, mappings, any value."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from innkeeper.control.forms import Preview
from innkeeper.control.memory import Counts
from innkeeper.model.jobs import Job, JobState, JobType, Level, Trigger
from innkeeper.model.records import AccessToken, Drift, GuestRecord, Role, SourceRecord
from innkeeper.model.sources import Source
from innkeeper.model.status import Condition, Health, Sync

Object = dict[str, Any]


class Shape(BaseModel):
    """Read from a record's attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class ErrorShape(Shape):
    """`error` is a CamelCase word that never changes; `fields` says of single fields what is wrong with them."""

    error: str
    message: str
    advice: str
    fields: dict[str, str]


class MeShape(Shape):
    name: str
    role: Role


class GuestRow(Shape):
    """A guest as lists show it."""

    source: str
    kind: str
    name: str
    cluster: str
    node: str
    vmid: int | None
    hostname: str
    address: str
    sync: Sync
    health: Health
    power: str
    revision: str
    profile: str
    protected: bool
    conditions: tuple[Condition, ...]
    created_at: datetime | None
    seen_at: datetime | None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, record: object) -> object:
        return flat(record) if isinstance(record, GuestRecord) else record


class GuestShape(GuestRow):
    """A guest with everything that is known of it; `changes` is what a sync would do."""

    checks: tuple[Object, ...]
    changes: tuple[Object, ...]
    desired: Object
    live: Object
    pending: Object
    file: str
    line: int


class GuestPage(Shape):
    guests: tuple[GuestRow, ...]
    total: int


class JobShape(Shape):
    """A job; `result` is what `innkeeper apply -o json` prints, or the plan that waits for an approval."""

    id: int
    type: JobType
    source: str
    state: JobState
    trigger: Trigger
    actor: str
    only: tuple[str, ...]
    payload: Object
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    revision: str
    summary: str
    digest: str
    approved_by: str
    profile: str
    result: Object
    error: str
    retry_of: int | None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, job: object) -> object:
        if not isinstance(job, Job):
            return job
        wish = {name: getattr(job.request, name) for name in ("type", "source", "trigger", "actor", "only")}
        return attributes(job) | wish | {"payload": dict(job.request.payload), "result": dict(job.result)}


class LogShape(Shape):
    number: int
    at: datetime
    level: Level
    message: str
    guest: str
    phase: str


class DriftShape(Shape):
    """One field of one guest that a hand changed."""

    id: int
    source: str
    kind: str
    name: str
    cluster: str
    vmid: int
    field: str
    before: Any
    after: Any
    found_at: datetime
    who: Annotated[str, Field(description="as Proxmox's task log has it; empty: Proxmox recorded nobody")]
    task: Annotated[str, Field(description="its UPID; empty: `found_at` is when it was seen")]
    ignored_until: datetime | None
    ended_at: datetime | None

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, drift: object) -> object:
        return flat(drift) if isinstance(drift, Drift) else drift


class SourceShape(Shape):
    """A source: what its manifest says, and where it stands."""

    name: str
    url: str
    branch: str
    path: str
    format: str | None
    interval: str
    sync: str
    prune: bool
    max_deletes: int
    self_heal: bool
    clusters: tuple[str, ...] | None
    allow: tuple[str, ...]
    propose: bool
    write: str | None
    suspended: bool
    pinned: str
    seen: str
    synced: str
    fetched_at: datetime | None
    synced_at: datetime | None
    error: str

    @staticmethod
    def of(source: Source, record: SourceRecord) -> "SourceShape":
        spec, own = source.spec, {name for name in SourceShape.model_fields if hasattr(source.spec, name)}
        stands = {name: getattr(record, name) for name in SourceShape.model_fields.keys() - own}
        said = {name: getattr(spec, name) for name in own}
        return SourceShape.model_validate(said | stands | {"suspended": record.suspended or spec.suspend})


class ClusterShape(Shape):
    name: str
    endpoints: tuple[str, ...]


class FindingShape(Shape):
    topic: str
    status: str
    text: str
    advice: str


class OverviewShape(Shape):
    """What needs attention first, then counts, then what happened."""

    counts: Counts
    failed: tuple[JobShape, ...]
    waiting: tuple[JobShape, ...]
    drifted: tuple[DriftShape, ...]
    degraded: tuple[GuestRow, ...]
    reboot: tuple[GuestRow, ...]
    sources: tuple[SourceRecord, ...]
    recent: tuple[JobShape, ...]


class UserShape(Shape):
    id: int
    name: str
    role: Role
    local: bool
    disabled: bool
    created_at: datetime | None
    last_seen: datetime | None


class NewToken(Shape):
    """`secret` is shown this once."""

    token: AccessToken
    secret: str


class FileShape(Shape):
    path: str
    text: str | None


class ProblemShape(Shape):
    field: str
    severity: str
    code: str
    summary: str
    detail: str


class PreviewShape(Shape):
    """Everything that a form would write and do; nothing was changed."""

    ok: bool
    files: tuple[FileShape, ...]
    plan: Object | None
    problems: tuple[ProblemShape, ...]
    revision: str
    service: Object
    actions: tuple[str, ...]

    @staticmethod
    def of(found: Preview) -> "PreviewShape":
        problems = [{"field": item.field, **item.diagnostic.to_json()} for item in found.problems]
        plan = found.plan.to_json() if found.plan is not None else None
        return PreviewShape.model_validate(attributes(found) | {"ok": found.ok, "problems": problems, "plan": plan})


def attributes(record: object) -> Object:
    """A frozen record's fields by name."""
    return {name: getattr(record, name) for name in record.__dataclass_fields__}  # type: ignore[attr-defined]


def flat(record: GuestRecord | Drift) -> Object:
    """The reference as `kind` and `name`, as plans show it; mappings as plain ones."""
    found = {name: dict(item) if isinstance(item, Mapping) else item for name, item in attributes(record).items()}
    return found | {"kind": record.ref.kind, "name": record.ref.name}
