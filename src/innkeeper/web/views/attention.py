"""What needs a person, in the order in which a person should look at it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from innkeeper.control.looking import Overview
from innkeeper.model.records import Drift, SourceRecord
from innkeeper.model.status import Condition
from innkeeper.web.views.words import HEALTH, Mark, guest_path, spelled


@dataclass(frozen=True, slots=True)
class Item:
    """`post` is where the button `verb` sends to; empty: the button leads to `address`."""

    mark: Mark
    title: str
    where: str
    address: str
    text: str = ""
    at: datetime | None = None
    verb: str = ""
    post: str = ""


def attention(seen: Overview) -> tuple[Item, ...]:
    """Failed jobs, then what waits for an answer, sick guests, sources, drift, restarts."""
    return (*_jobs(seen), *_guests(seen), *map(_source, seen.sources), *_drifts(seen.drifted), *_restarts(seen))


def _jobs(seen: Overview) -> Iterator[Item]:
    for job in seen.failed:
        title = f"{job.request.type.capitalize()} of {job.request.source}"
        yield Item(
            Mark("bad", "rise", "Failed"),
            title,
            f"job {job.id}",
            f"/jobs/{job.id}",
            job.error or job.summary,
            job.finished_at,
            "Retry",
            f"/jobs/{job.id}/retry",
        )
    for job in seen.waiting:
        title = f"{job.request.type.capitalize()} of {job.request.source}"
        yield Item(
            Mark("warn", "gem", "Approval"),
            title,
            f"job {job.id}",
            f"/jobs/{job.id}/plan",
            job.summary,
            job.created_at,
            "Decide",
        )


def _guests(seen: Overview) -> Iterator[Item]:
    for guest in seen.degraded:
        failing = next((str(check.get("detail") or check["name"]) for check in guest.checks if not check["ok"]), "")
        where = f"{guest.node or guest.cluster}, {guest.source}"
        text = failing or _message(guest.conditions, "Ready")
        yield Item(HEALTH[guest.health], guest.ref.name, where, guest_path(guest.source, guest.ref), text)


def _source(record: SourceRecord) -> Item:
    address = f"/sources/{quote(record.name, safe='')}"
    if record.error:
        return Item(Mark("bad", "rise", "Unreadable"), record.name, "source", address, record.error, record.fetched_at)
    if record.pinned:
        text = f"A rollback holds it at {record.pinned[:10]}."
        return Item(
            Mark("warn", "bars", "Held"), record.name, "source", address, text, None, "Release", f"{address}/release"
        )
    text = "Nothing of it is changed by itself."
    return Item(
        Mark("idle", "bars", "Suspended"), record.name, "source", address, text, None, "Resume", f"{address}/resume"
    )


def _drifts(found: Sequence[Drift]) -> Iterator[Item]:
    """One item for each guest, however many of its fields drift."""
    by_guest: dict[tuple[str, str], list[Drift]] = {}
    for item in found:
        by_guest.setdefault((item.source, str(item.ref)), []).append(item)
    for items in by_guest.values():
        first = items[0]
        path = guest_path(first.source, first.ref)
        told = "; ".join(f"{item.field}: {spelled(item.before)} → {spelled(item.after)}" for item in items)
        text = ", ".join((told, *sorted({item.hand for item in items})))
        when = min(item.found_at for item in items)
        yield Item(
            Mark("warn", "gem", "Drifted"), first.ref.name, first.source, path, text, when, "Heal", f"{path}/heal"
        )


def _restarts(seen: Overview) -> Iterator[Item]:
    for guest in seen.reboot:
        path = guest_path(guest.source, guest.ref)
        text = _message(guest.conditions, "PendingReboot")
        yield Item(Mark("warn", "half", "Restart due"), guest.ref.name, guest.node, path, text)


def _message(conditions: Sequence[Condition], kind: str) -> str:
    return next((item.message for item in conditions if item.type == kind), "")
