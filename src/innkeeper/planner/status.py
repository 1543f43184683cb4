"""Where every declared guest stands: sync and health, and the conditions that explain them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from innkeeper.model.inside import CheckResult
from innkeeper.model.objects import Ref
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Step
from innkeeper.model.status import Condition, GuestStatus, Health, Sync
from innkeeper.planner.decide import Decision
from innkeeper.planner.pair import Absent, Adopt, Blocked, true_marker
from innkeeper.planner.policy import Unreachable, Views

_UNKNOWN = frozenset({"NodeOffline", "Unreadable", "ViewIncomplete", "Creating"})
_BUSY = frozenset({"create", "migrate", "rollback", "clone", "disk", "destroyed"})


def statuses(
    decisions: Iterable[Decision], views: Views, checks: Mapping[Ref, tuple[CheckResult, ...]] | None = None
) -> tuple[GuestStatus, ...]:
    """One status for each decision, in their order. `checks` are the results of health checks that were made."""
    found = checks or {}
    return tuple(
        _with_checks(_status(decision, views.get(decision.cluster)), found.get(decision.guest.ref, ()))
        for decision in decisions
    )


def _with_checks(status: GuestStatus, checks: tuple[CheckResult, ...]) -> GuestStatus:
    """A running guest is as healthy as what should run in it."""
    failed = [check for check in checks if not check.ok]
    if not failed or status.health != "Healthy":
        return replace(status, checks=checks)
    message = "; ".join(f"{check.name}: {check.detail or 'failed'}" for check in failed)
    condition = Condition("Checked", "False", "CheckFailed", message)
    return replace(status, health="Degraded", checks=checks, conditions=(*status.conditions, condition))


def orphan_statuses(decisions: Iterable[Decision], views: Views, source: str) -> tuple[GuestStatus, ...]:
    """Guests of ours that no decision is about: declared no more, and waiting for a prune."""
    known = {(item.cluster, item.observed.vmid) for item in decisions if item.observed is not None}
    found: list[GuestStatus] = []
    for cluster, view in views.items():
        if not isinstance(view, ClusterView):
            continue
        for vmid, seen in sorted(view.guests.items()):
            marker = true_marker(seen)
            if marker is None or marker.source != source or (cluster, vmid) in known:
                continue
            condition = Condition("Orphaned", "True", "DeclaredNoMore", "no manifest declares it; --prune deletes it")
            ref = Ref(marker.kind, marker.name)
            found.append(GuestStatus(ref, cluster, seen.node, vmid, "OutOfSync", _health(seen, None), (condition,)))
    return tuple(found)


def _status(decision: Decision, view: ClusterView | Unreachable | None) -> GuestStatus:
    seen, ref, cluster = decision.observed, decision.guest.ref, decision.cluster
    node = seen.node if seen else (decision.step.node if decision.step else "")
    vmid = seen.vmid if seen else decision.guest.spec.vmid
    if decision.outcome is None:
        message = view.message if isinstance(view, Unreachable) else "the cluster was not looked at"
        unknown = Condition("Reachable", "False", "ClusterUnreachable", message)
        return GuestStatus(ref, cluster, node, vmid, "Unknown", "Unknown", (unknown,))
    conditions = tuple(_conditions(decision, seen))
    return GuestStatus(ref, cluster, node, vmid, _sync(decision), _of(decision), conditions)


def _sync(decision: Decision) -> Sync:
    outcome, difference = decision.outcome, decision.difference
    if isinstance(outcome, Blocked):
        return "Unknown" if outcome.code in _UNKNOWN else "OutOfSync"
    if decision.step is not None and decision.step.action == "noop":
        if decision.unprepared:
            return "Unknown"
        # Accepted is not in effect: what waits for a restart is not in sync.
        return "OutOfSync" if difference is not None and difference.waiting else "Synced"
    return "OutOfSync"


def _of(decision: Decision) -> Health:
    outcome = decision.outcome
    if isinstance(outcome, Absent):
        return "Missing"
    if isinstance(outcome, Blocked):
        if outcome.code == "Creating":
            return "Progressing"
        if outcome.code in _UNKNOWN or outcome.observed is None:
            return "Unknown"
    return _health(decision.observed, decision.guest.spec.running)


def _health(seen: ObservedGuest | None, running: bool | None) -> Health:
    if seen is None or seen.power == "unknown":
        return "Unknown"
    if seen.lock in _BUSY:
        return "Progressing"
    if seen.power == "paused":
        return "Suspended"
    if seen.power == "stopped":
        return "Degraded" if running else "Suspended"
    return "Healthy"


def _conditions(decision: Decision, seen: ObservedGuest | None) -> Iterable[Condition]:
    difference = decision.difference
    yield from _of_outcome(decision)
    if seen is not None and seen.lock:
        yield Condition("Locked", "True", "Lock", f"Proxmox holds its lock ({seen.lock})")
    if difference is not None and difference.waiting:
        fields = ", ".join(change.field for change in difference.waiting)
        yield Condition("PendingReboot", "True", "WaitsForRestart", f"accepted, in effect after a restart: {fields}")
    if decision.unprepared:
        yield Condition("Prepared", "False", "NotPrepared", "its configuration cannot be prepared, as said below")
    if decision.step is not None:
        yield from _of_step(decision, decision.step)
    if decision.guest.spec.running and seen is not None and seen.power == "stopped":
        yield Condition("Running", "False", "Stopped", "declared running, and stopped")


def _of_outcome(decision: Decision) -> Iterable[Condition]:
    outcome = decision.outcome
    if isinstance(outcome, Blocked):
        yield Condition(_type(outcome.code), "True", outcome.code, f"{outcome.summary}. {outcome.detail}".strip())
        return
    if isinstance(outcome, Absent):
        yield Condition("Missing", "True", "NotCreated", "declared, and not on the cluster")
    elif isinstance(outcome, Adopt):
        owner = f"it belongs to source {outcome.owner}" if outcome.owner else "it has no marker yet"
        yield Condition("Adoptable", "True", "OwnedByOther" if outcome.owner else "NotMarked", owner)
    if decision.step is None:
        for finding in decision.diagnostics:
            if finding.severity == "error":
                yield Condition("Invalid", "True", finding.code, finding.summary)


def _of_step(decision: Decision, step: Step) -> Iterable[Condition]:
    if step.action in ("update", "replace"):
        fields = ", ".join(change.field for change in step.changes)
        if not fields:
            yield Condition("Pending", "True", "MarkerDiffers", step.reason)
        elif decision.drifted:
            yield Condition("Drifted", "True", "ChangedOnCluster", f"changed since it was last applied: {fields}")
        else:
            yield Condition("Pending", "True", "ManifestDiffers", f"to be applied: {fields}")
    if step.refused:
        yield Condition("Refused", "True", "NotAllowed", step.refused)


def _type(code: str) -> str:
    """The condition that a pairing's reason is told as."""
    return {"NotOurs": "OwnershipConflict", "Creating": "Locked"}.get(code, code)
