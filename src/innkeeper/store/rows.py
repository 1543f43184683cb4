"""The model's values as rows, and back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping

from innkeeper.model.jobs import Job, JobLog, Request
from innkeeper.model.objects import Ref
from innkeeper.model.records import (
    AccessToken,
    Drift,
    Entry,
    GuestRecord,
    Revision,
    SourceRecord,
    User,
)
from innkeeper.model.status import Condition

Row = Mapping[str, Any]

_GUEST = (
    "source",
    "cluster",
    "node",
    "vmid",
    "hostname",
    "address",
    "sync",
    "health",
    "power",
    "revision",
    "file",
    "line",
    "profile",
    "protected",
    "created_at",
    "seen_at",
)
_SHOWN = ("checks", "changes", "desired", "live", "pending")
_JOB = (
    "id",
    "state",
    "created_at",
    "started_at",
    "finished_at",
    "revision",
    "summary",
    "digest",
    "approved_by",
    "profile",
    "result",
    "error",
    "retry_of",
)


def request_row(request: Request) -> Row:
    return {
        "type": request.type,
        "source": request.source,
        "requested": request.revision,
        "only": request.only,
        "trigger": request.trigger,
        "actor": request.actor,
        "payload": request.payload,
    }


def job_of(row: RowMapping) -> Job:
    request = Request(
        row["type"],
        row["source"],
        row["requested"],
        tuple(row["only"]),
        row["trigger"],
        row["actor"],
        row["payload"],
    )
    return Job(request=request, **{key: row[key] for key in _JOB})


def log_of(row: RowMapping) -> JobLog:
    return JobLog(**row)


def guest_row(record: GuestRecord) -> Row:
    words = (record.ref.name, record.hostname, record.address, record.node, str(record.vmid or ""))
    return {
        **{key: getattr(record, key) for key in _GUEST},
        "kind": record.ref.kind,
        "name": record.ref.name,
        "words": "\n".join(words).lower(),
    }


def guest_body(record: GuestRecord) -> Row:
    body = {
        "conditions": [[item.type, item.status, item.reason, item.message] for item in record.conditions],
        **{key: getattr(record, key) for key in _SHOWN},
    }
    return {"source": record.source, "kind": record.ref.kind, "name": record.ref.name, "body": body}


def guest_of(row: RowMapping) -> GuestRecord:
    body = row["body"]
    return GuestRecord(
        ref=Ref(row["kind"], row["name"]),
        conditions=tuple(Condition(*item) for item in body["conditions"]),
        checks=tuple(body["checks"]),
        changes=tuple(body["changes"]),
        desired=body["desired"],
        live=body["live"],
        pending=body["pending"],
        **{key: row[key] for key in _GUEST},
    )


def drift_row(drift: Drift) -> Row:
    keys = ("source", "cluster", "vmid", "field", "before", "after", "found_at", "who", "task", "ignored_until")
    return {**{key: getattr(drift, key) for key in keys}, "kind": drift.ref.kind, "name": drift.ref.name}


def drift_of(row: RowMapping) -> Drift:
    rest = dict(row)
    return Drift(ref=Ref(rest.pop("kind"), rest.pop("name")), **rest)


def source_of(row: RowMapping) -> SourceRecord:
    return SourceRecord(**row)


def revision_of(row: RowMapping) -> Revision:
    return Revision(**{key: value for key, value in row.items() if key != "id"})


def entry_of(row: RowMapping) -> Entry:
    return Entry(**row)


def user_of(row: RowMapping) -> User:
    return User(
        row["id"],
        row["name"],
        row["role"],
        row["subject"] or "",
        row["disabled"],
        row["created_at"],
        row["last_seen"],
    )


def token_of(row: RowMapping) -> AccessToken:
    return AccessToken(**{key: value for key, value in row.items() if key != "digest"})
