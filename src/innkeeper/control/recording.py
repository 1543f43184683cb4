"""From what a run saw to what people see: a record for each guest, a drift for each field that a hand changed. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from innkeeper.engine.interior import preferred
from innkeeper.engine.reconcile import Prepared
from innkeeper.engine.result import Result
from innkeeper.model.diagnostics import Location
from innkeeper.model.objects import Guest, Ref
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import Change, Json, Plan
from innkeeper.model.records import Drift, GuestRecord
from innkeeper.model.status import GuestStatus
from innkeeper.planner.addresses import static_addresses
from innkeeper.planner.decide import Decision, protection
from innkeeper.planner.pair import host_name
from innkeeper.settings.importing import to_spec

Where = Callable[[Location], tuple[str, int]]
"""A place as the repository calls it: path and line."""


def records(
    prepared: Prepared, source: str, former: Mapping[Ref, GuestRecord], now: datetime, where: Where
) -> tuple[GuestRecord, ...]:
    """One for every declared guest, and for those of ours that are declared no more."""
    by_ref = {item.guest.ref: item for item in prepared.decisions}
    return tuple(
        _declared(by_ref[status.ref], status, prepared, source, former.get(status.ref), now, where)
        if status.ref in by_ref
        else _orphan(status, prepared, source, former.get(status.ref), now)
        for status in prepared.statuses
    )


def _declared(
    item: Decision,
    status: GuestStatus,
    prepared: Prepared,
    source: str,
    former: GuestRecord | None,
    now: datetime,
    where: Where,
) -> GuestRecord:
    guest, seen = item.guest, item.observed
    file, line = where(guest.origin.location)
    return GuestRecord(
        source=source,
        ref=guest.ref,
        cluster=status.cluster,
        node=status.node or (former.node if former else ""),
        vmid=status.vmid or (former.vmid if former and status.health == "Unknown" else None),
        hostname=host_name(guest),
        address=_static(guest) or (former.address if former and former.vmid == status.vmid else ""),
        sync=status.sync,
        health=status.health,
        power=seen.power if seen else (former.power if former and status.health == "Unknown" else ""),
        revision=prepared.policy.revision,
        conditions=status.conditions,
        checks=_checks(status, former),
        changes=tuple(_changes(item, guest, where)),
        desired=plain(guest.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)),
        live=_live(seen, status.cluster, former, gone=status.health == "Missing"),
        pending={change.field: change.after for change in item.difference.waiting} if item.difference else {},
        file=file,
        line=line,
        profile=guest.spec.profile or "",
        protected=bool(guest.spec.protected) or bool(seen is not None and protection(seen)),
        created_at=former.created_at if former and former.created_at else (now if seen else None),
        seen_at=now if item.outcome is not None else (former.seen_at if former else None),
    )


def _orphan(
    status: GuestStatus, prepared: Prepared, source: str, former: GuestRecord | None, now: datetime
) -> GuestRecord:
    base = former or GuestRecord(source, status.ref, status.cluster, status.node, status.vmid, status.ref.name, "",
                                 status.sync, status.health, "", prepared.policy.revision, created_at=now)  # fmt: skip
    # Its service is taken back with it, not before: a delete that is refused or waits leaves both.
    going = any(
        step.action == "delete" and (step.cluster, step.vmid) == (status.cluster, status.vmid)
        for step in prepared.plan.steps
    )
    return replace(
        base,
        node=status.node,
        vmid=status.vmid,
        sync=status.sync,
        health=status.health,
        conditions=status.conditions,
        changes=(),
        desired=base.desired if going else {},
        pending={},
        file="",
        line=0,
        seen_at=now,
    )


def _static(guest: Guest) -> str:
    return next((place[1] for place, _ in static_addresses(guest)), "")


def _checks(status: GuestStatus, former: GuestRecord | None) -> tuple[Mapping[str, Json], ...]:
    """Checks that were made; those of before where none were made now."""
    if status.checks:
        return tuple(plain(check.to_json()) for check in status.checks)
    return former.checks if former else ()


def _changes(item: Decision, guest: Guest, where: Where) -> Iterator[Mapping[str, Json]]:
    if item.step is None or item.step.action == "create":
        return
    for change in item.step.changes:
        file, line = where(guest.origin.at(f"spec.{_spec_path(change)}"))
        yield {**change.to_json(), "impact": change.impact, "file": file, "line": line}


def _spec_path(change: Change) -> str:
    return change.field.partition("[")[0]


def shown(plan: Plan, prepared: Prepared, where: Where) -> dict[str, Json]:
    """A plan as a job keeps it: without what is unchanged, each change with its impact and place in the manifest."""
    guests = {guest.ref: guest for guest in prepared.declared.guests}
    body = plain(plan.to_json())
    steps: list[Json] = []
    for step in plan.steps:
        if step.action == "noop":
            continue
        guest = guests.get(step.ref)
        item = plain(step.to_json()) | {"refused": step.refused, "file": "", "line": 0}
        if guest is not None:
            item["file"], item["line"] = where(guest.origin.location)
        item["changes"] = [_placed(change, guest, where) for change in step.changes]
        steps.append(item)
    return body | {"steps": steps}


def _placed(change: Change, guest: Guest | None, where: Where) -> Json:
    file, line = where(guest.origin.at(f"spec.{_spec_path(change)}")) if guest is not None else ("", 0)
    return plain(change.to_json()) | {"impact": change.impact, "file": file, "line": line}


def with_results(body: dict[str, Json], result: Result) -> dict[str, Json]:
    """The same with what became of each step."""
    states = {(str(item.step.action), str(item.step.ref)): item for item in result.results}
    steps = body["steps"]
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, dict) and (found := states.get((str(step["action"]), f"{step['kind']}/{step['name']}"))):
            step |= {"result": found.state, "error": found.error or None, "pending": found.waits or None}
            step |= {"vmid": found.step.vmid, "node": found.step.node}
    return body | {"stopped": result.stopped, "calls": {"read": result.reads, "write": result.writes}}


def _live(seen: ObservedGuest | None, cluster: str, former: GuestRecord | None, *, gone: bool) -> Mapping[str, Json]:
    """What a guest is; what it was where it cannot be seen now."""
    if seen is None or seen.config is None:
        return former.live if former is not None and not gone else {}
    return plain(to_spec(seen, cluster))


def plain(value: Mapping[str, object]) -> dict[str, Json]:
    """Data as JSON has it: what was read from files holds tuples."""
    return {key: cast(Json, _json(item)) for key, item in value.items()}


def _json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list | tuple) else value


def drifts(prepared: Prepared, source: str, former: Mapping[Ref, GuestRecord], now: datetime) -> tuple[Drift, ...]:
    """Every field that departs from what was applied last; a guest that is gone drifts as `guest`."""
    found: list[Drift] = []
    for item in prepared.decisions:
        ref, seen, step = item.guest.ref, item.observed, item.step
        if item.drifted and seen is not None and step is not None:
            found += (
                Drift(0, source, ref, item.cluster, seen.vmid, change.field, change.after, change.before, now)
                for change in step.changes
            )
        was = former.get(ref)
        if step is not None and step.action == "create" and was is not None and was.vmid and was.created_at:
            found.append(Drift(0, source, ref, item.cluster, was.vmid, "guest", "present", "missing", now))
    return tuple(found)


def addressed(record: GuestRecord, addresses: Iterable[str]) -> GuestRecord:
    """The record with the address that a guest has now."""
    found = preferred(tuple(addresses))
    return replace(record, address=found) if found else record
