"""What happened to one guest, in one row: commits, jobs, drift, Proxmox's own tasks, snapshots."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from innkeeper.control.ports import Commit, Snapshot, Task
from innkeeper.model.jobs import Job
from innkeeper.model.records import Drift
from innkeeper.web.views.words import JOBS, spelled

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Event:
    at: datetime
    kind: str
    title: str
    tone: str = "idle"
    text: str = ""
    address: str = ""
    commit: str = ""


def timeline(
    commits: Iterable[Commit] = (),
    jobs: Iterable[Job] = (),
    drifts: Iterable[Drift] = (),
    tasks: Iterable[Task] = (),
    snapshots: Iterable[Snapshot] = (),
) -> tuple[Event, ...]:
    """Newest first, at most 40."""
    events = [
        *(Event(item.at, "commit", item.subject, "ok", item.author, commit=item.revision) for item in commits),
        *(_job(job) for job in jobs),
        *(event for item in drifts for event in _drift(item)),
        *(_task(item) for item in tasks),
        *(Event(item.at, "snapshot", item.name, "busy", item.description) for item in snapshots if item.at),
    ]
    return tuple(sorted(events, key=lambda event: event.at, reverse=True)[:_SHOWN])


def _job(job: Job) -> Event:
    state = JOBS[job.state]
    title = f"{job.request.type.capitalize()}: {state.word.lower()}"
    return Event(
        job.created_at, f"job {job.id}", title, state.tone, job.error or job.summary, f"/jobs/{job.id}", job.revision
    )


def _drift(item: Drift) -> Iterator[Event]:
    change = f"{item.field}: {spelled(item.before)} → {spelled(item.after)}"
    yield Event(item.found_at, "drift", change, "warn", item.hand)
    if item.ended_at:
        yield Event(item.ended_at, "drift", f"{item.field} is as declared again", "ok")


def _task(item: Task) -> Event:
    good = item.status == "OK" or item.status.startswith("WARNINGS")
    tone = "busy" if not item.ended_at else "idle" if good else "bad"
    text = "running" if not item.ended_at else "" if good else item.status
    return Event(item.started_at, "Proxmox task", f"{item.type} by {item.user}", tone, text)
