"""What happens to one declared guest: from its pairing to its step, with the reason.

Exactly one step for every guest about which something is known; none, and a diagnostic, where nothing may be decided.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from innkeeper.model.diagnostics import Diagnostic, has_errors
from innkeeper.model.objects import Cluster, Guest
from innkeeper.model.observed import ClusterView, Marker, ObservedGuest
from innkeeper.model.plan import IMPACTS, Change, Impact, Operation, Step
from innkeeper.planner import calls, creation
from innkeeper.planner.pair import Absent, Adopt, Blocked, Ours, Outcome
from innkeeper.planner.place import Room
from innkeeper.planner.policy import NOTHING, Insights, Policy
from innkeeper.settings.compare import Difference, compare
from innkeeper.settings.create import update_params
from innkeeper.settings.desired import Desired, compile_guest
from innkeeper.settings.marker import TAG


@dataclass(frozen=True, slots=True)
class Ground:
    """What decisions on one cluster stand on. `room` grows fuller with every guest that is placed."""

    cluster: Cluster
    view: ClusterView
    policy: Policy
    room: Room
    insights: Insights = NOTHING


@dataclass(frozen=True, slots=True)
class Decision:
    """`outcome` is None where the cluster could not be seen; `drifted`: it departs from what was applied last.

    `unprepared`: what should run in it cannot be found out, so that nobody knows whether it does.
    """

    guest: Guest
    cluster: str
    outcome: Outcome | None
    step: Step | None = None
    difference: Difference | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    drifted: bool = False
    unprepared: bool = False

    @property
    def observed(self) -> ObservedGuest | None:
        return getattr(self.outcome, "observed", None)


def decide(guest: Guest, outcome: Outcome, ground: Ground) -> Decision:
    """The step for a guest that was paired, or the diagnostics that say why there is none."""
    if isinstance(outcome, Blocked):
        severity = "warning" if outcome.passing else "error"
        finding = Diagnostic(
            severity,  # type: ignore[arg-type]
            outcome.code,
            outcome.summary,
            outcome.detail,
            guest.origin.at(outcome.field),
        )
        return Decision(guest, ground.cluster.name, outcome, diagnostics=(finding,))
    desired, findings = compile_guest(guest, ground.cluster.spec.defaults, ground.view.version)
    if has_errors(findings):
        return Decision(guest, ground.cluster.name, outcome, diagnostics=findings)
    if isinstance(outcome, Absent):
        made = _create(guest, desired, ground)
        step, more = (made, ()) if isinstance(made, Step) else (None, made)
        return Decision(guest, ground.cluster.name, outcome, step, diagnostics=findings + more)
    seen = outcome.observed
    difference = compare(guest, desired, seen, ground.view.version, ground.policy.source)
    if isinstance(outcome, Adopt):
        decision = _adopt(guest, desired, outcome, difference, ground)
    else:
        decision = _keep(guest, desired, outcome, difference, ground)
    return replace(decision, diagnostics=findings + decision.diagnostics)


def _create(
    guest: Guest, desired: Desired, ground: Ground, former: ObservedGuest | None = None
) -> Step | tuple[Diagnostic, ...]:
    keys = ground.insights.keys_of(guest.ref, ground.cluster.name)
    return creation.create(
        guest, desired, ground.cluster, ground.view, ground.policy, ground.room, applied(desired), former, keys
    )


def applied(desired: Desired) -> str:
    """A short hash of what a manifest asks for, power aside: tells drift from a manifest that was changed."""
    volumes = [
        [item.slot, item.path, item.storage, item.size, sorted(item.parts.items()), item.source]
        for item in desired.volumes
    ]
    body = [
        sorted(desired.scalars.items()),
        [(key, sorted(parts.items())) for key, parts in sorted(desired.parts.items())],
        volumes,
        desired.description,
        desired.tags,
        desired.pool,
        desired.template,
        desired.ssh_keys,
    ]
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()[:12]


def _marker(guest: Guest, desired: Desired, seen: ObservedGuest, owned: Sequence[str], policy: Policy) -> Marker:
    old = seen.marker
    made = {**dict(old.made if old else ()), "vmid": str(seen.vmid), "applied": applied(desired)}
    return Marker(
        policy.source,
        guest.ref.kind,
        guest.ref.name,
        policy.revision,
        tuple(owned),
        tuple(sorted(made.items())),
        old.configured if old else "",
    )


def _adopt(guest: Guest, desired: Desired, outcome: Adopt, difference: Difference, ground: Ground) -> Decision:
    """Marker and tag, and nothing else: what differs is shown, and left to the next apply."""
    seen = outcome.observed
    tags = None if TAG in seen.tags else (*seen.tags, TAG)
    only = Difference(set={}, tags=tags, owned=difference.owned, marker_changed=True)
    marker = _marker(guest, desired, seen, difference.owned, ground.policy)
    # `running` and `applied` are left out of the marker's promise: nothing was applied yet.
    params = update_params(only, seen, replace(marker, made=_without(marker.made, "applied")), desired)
    reason = f"taken over from source {outcome.owner}" if outcome.owner else "its annotation says so"
    step = Step(
        "adopt",
        guest.ref,
        ground.cluster.name,
        seen.node,
        seen.vmid,
        "none",
        reason=reason,
        needs=creation.needs_of(guest),
        operations=(calls.configure(seen, params),),
        digest=seen.digest,
    )
    return Decision(guest, ground.cluster.name, outcome, step, difference, _still(guest, difference))


def _still(guest: Guest, difference: Difference) -> tuple[Diagnostic, ...]:
    fields = [change.field for change in (*difference.changes, *difference.replace)]
    if not fields:
        return ()
    return (
        Diagnostic(
            "info",
            "DiffersAfterAdoption",
            f"{guest.ref} is adopted as it is; it differs from the manifest in {', '.join(fields)}",
            "The next plan shows these as changes.",
            guest.origin.location,
        ),
    )


def _without(pairs: tuple[tuple[str, str], ...], key: str) -> tuple[tuple[str, str], ...]:
    return tuple(pair for pair in pairs if pair[0] != key)


def _keep(guest: Guest, desired: Desired, outcome: Ours, difference: Difference, ground: Ground) -> Decision:
    """A guest that is ours: nothing, an update, a replacement, or a refusal."""
    seen = outcome.observed
    policy, cluster = ground.policy, ground.cluster.name
    was = dict(seen.marker.made).get("applied") if seen.marker else None
    moved = guest.spec.vmid is not None and guest.spec.vmid != seen.vmid
    reasons = difference.replace
    if moved:
        reasons = (*reasons, Change("vmid", seen.vmid, guest.spec.vmid, "replace"))
    power = _power(guest, desired, seen)
    reboots = seen.power == "running" and guest.spec.restart == "whenNeeded" and bool(difference.waiting)
    if difference.empty and not (reasons or power or reboots):
        step = _unchanged(guest, difference, seen, cluster)
        return Decision(guest, cluster, outcome, step, difference)
    drifted = was is not None and was == applied(desired)
    if seen.template:
        finding = _error(guest, "IsTemplate", f"guest {seen.vmid} was turned into a template", "It is left alone.")
        return Decision(guest, cluster, outcome, None, difference, (finding,))
    if difference.refused:
        step = _step(guest, "update", difference.changes, seen, cluster, drifted)
        reason = step.reason if difference.changes else "it cannot be made what the manifest says"
        step = replace(step, reason=reason, refused="; ".join(item.summary for item in difference.refused))
        return Decision(guest, cluster, outcome, step, difference, difference.refused, drifted)
    if reasons:
        return _replace(guest, desired, outcome, difference, reasons, ground)
    marker = _marker(guest, desired, seen, difference.owned, policy)
    changes = (*difference.changes, *power, *(difference.waiting if reboots and not power else ()))
    if outcome.renamed:
        changes = (Change("metadata.name", outcome.renamed, str(guest.ref), "none"), *changes)
    step = replace(
        _step(guest, "update", changes, seen, cluster, drifted),
        operations=_operations(guest, desired, difference, seen, marker),
        running=desired.running,
    )
    return Decision(guest, cluster, outcome, step, difference, (), drifted)


def _unchanged(guest: Guest, difference: Difference, seen: ObservedGuest, cluster: str) -> Step:
    fields = ", ".join(change.field for change in difference.waiting)
    reason = f"PendingReboot: {fields} in effect after a restart" if fields else "up to date"
    return Step("noop", guest.ref, cluster, seen.node, seen.vmid, reason=reason, needs=creation.needs_of(guest))


def _step(
    guest: Guest, action: str, changes: Sequence[Change], seen: ObservedGuest, cluster: str, drifted: bool
) -> Step:
    reason = "changed on the cluster since it was last applied" if drifted else "differs from the manifest"
    if not changes:
        reason = "the marker or the tag is not as it should be"
    if seen.lock:
        reason += f"; waits for the lock ({seen.lock})"
    if guest.spec.restart == "never" and any(change.impact == "restart" for change in changes):
        reason += "; some of it in effect after a restart, which the manifest leaves to you (restart: never)"
    return Step(
        action,  # type: ignore[arg-type]
        guest.ref,
        cluster,
        seen.node,
        seen.vmid,
        gravest(change.impact for change in changes),
        tuple(changes),
        reason,
        creation.needs_of(guest),
        digest=seen.digest,
    )


def gravest(impacts: Iterable[Impact]) -> Impact:
    return max(impacts, key=IMPACTS.index, default="none")


def _power(guest: Guest, desired: Desired, seen: ObservedGuest) -> tuple[Change, ...]:
    """Power as declared; a restart that waiting values need, where the manifest allows it, is not in here."""
    if desired.running is None or seen.power == "unknown" or seen.template:
        return ()
    runs = seen.power == "running"
    if desired.running and not runs:
        return (Change("running", False, True, "live"),)
    if not desired.running and seen.power != "stopped":
        return (Change("running", True, False, "restart"),)
    return ()


def _operations(
    guest: Guest, desired: Desired, difference: Difference, seen: ObservedGuest, marker: Marker
) -> tuple[Operation, ...]:
    """Down first, then the configuration, the disks, the pool; up last: so that what waits for a stop gets it."""
    off = desired.running is False and seen.power in ("running", "paused")
    runs = seen.power == "running" and not off
    calls_: list[Operation] = [calls.shutdown(seen)] if off else []
    if difference.unprotects:
        calls_.append(calls.configure(seen, (("protection", "0"),)))
    there = [(slot, size) for slot, size in difference.resizes if slot in (seen.config or {})]
    calls_ += calls.resize(calls.of(seen), there)
    if params := update_params(difference, seen, marker, desired) if difference.writes_config else ():
        calls_.append(calls.configure(seen, params))
    calls_ += calls.resize(calls.of(seen), [item for item in difference.resizes if item not in there])
    if difference.pool is not None:
        calls_.append(calls.move_pool(seen.vmid, *difference.pool))
    if runs:
        calls_ += calls.regenerate(seen, difference.set, difference.delete)
    if runs and guest.spec.restart == "whenNeeded" and _needs_restart(difference):
        calls_.append(calls.reboot(seen))
    if desired.running and seen.power == "stopped":
        calls_.append(calls.start(calls.of(seen)))
    if desired.running and seen.power == "paused":
        calls_.append(calls.resume(seen))
    return tuple(calls_)


def _needs_restart(difference: Difference) -> bool:
    return bool(difference.waiting) or any(change.impact == "restart" for change in difference.changes)


def _replace(
    guest: Guest,
    desired: Desired,
    outcome: Ours,
    difference: Difference,
    reasons: Sequence[Change],
    ground: Ground,
) -> Decision:
    seen, cluster = outcome.observed, ground.cluster.name
    changes = tuple(replace(change, impact="replace") for change in reasons)
    fields = ", ".join(change.field for change in reasons)
    step = Step(
        "replace",
        guest.ref,
        cluster,
        seen.node,
        seen.vmid,
        "replace",
        (*changes, *difference.changes),
        f"{fields} can only be had by a new guest",
        creation.needs_of(guest),
        digest=seen.digest,
        former=seen.vmid,
    )
    guarded = protection(seen) or ("its manifest says protected: true" if guest.spec.protected else "")
    if guarded:
        refusal = f"it is protected: {guarded}"
        advice = "Take the protection away first, apply, then replace."
    elif not ground.policy.may_replace(guest.ref):
        refusal = f"needs --replace {guest.ref.name}"
        advice = f"A replacement deletes guest {seen.vmid} with its disks. Allow it with --replace {guest.ref.name}."
    else:
        made = _create(guest, desired, ground, seen)
        if isinstance(made, tuple):
            return Decision(guest, cluster, outcome, None, difference, made)
        # What the new one is made from is brought while the old one is still there.
        brought = [item for item in made.operations if item.phase == calls.PROVIDE]
        operations = (*brought, *calls.delete(seen), *made.operations[len(brought) :])
        step = replace(step, node=made.node, vmid=made.vmid, operations=operations, running=made.running)
        return Decision(guest, cluster, outcome, step, difference)
    summary = f"{guest.ref}: {fields} can only be had by a new guest; {refusal}"
    # A plan may well show what a person has still to allow; an apply that leaves it undone fails.
    finding = (
        _error(guest, "Protected", summary, advice)
        if guarded
        else Diagnostic("warning", "ReplaceNeeded", summary, advice, guest.origin.location)
    )
    return Decision(guest, cluster, outcome, replace(step, refused=refusal), difference, (finding,))


def protection(seen: ObservedGuest) -> str:
    """Why a guest may not be deleted; empty where it may."""
    if any(tag.casefold() == "protected" for tag in seen.tags):
        return "it has the tag protected"
    if (seen.config or {}).get("protection") == "1":
        return "its protection is on (Proxmox's own flag)"
    return ""


def _error(guest: Guest, code: str, summary: str, detail: str) -> Diagnostic:
    return Diagnostic("error", code, summary, detail, guest.origin.location)
