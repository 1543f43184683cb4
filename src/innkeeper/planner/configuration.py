"""What is to be run inside a guest: its configuration compared with the one that was last applied to it."""

from dataclasses import replace

from innkeeper.model.objects import Ref
from innkeeper.model.observed import UNFINISHED
from innkeeper.model.plan import Change, Step
from innkeeper.planner.decide import Decision, gravest
from innkeeper.planner.policy import Insights, Policy

FIELD = "configure"


def configured(decision: Decision, insights: Insights, policy: Policy) -> Decision:
    """The decision with its configuration beside it; unchanged for a guest that declares none.

    What cannot be prepared, or may not be done (an address in use), refuses the whole step: nothing is half done.
    """
    found = _configured(decision, insights, policy)
    if policy.provision or found.step is None or found.step.refused or found.step.action == "noop":
        return found
    return replace(found, step=_inside_only(found.step))


def _inside_only(step: Step) -> Step:
    """Of a step only what is run inside the guest; one that is not there stays so."""
    if step.configure and step.action == "update":
        changes = tuple(change for change in step.changes if change.field == FIELD)
        return replace(step, operations=(), changes=changes, impact="live", running=None)
    left = "it does not exist yet" if step.action in ("create", "replace") else f"its {step.action} is left to apply"
    return replace(step, action="noop", operations=(), configure="", changes=(), impact="none", reason=left)


def _configured(decision: Decision, insights: Insights, policy: Policy) -> Decision:
    step, ref = decision.step, decision.guest.ref
    if step is None or step.refused:
        return decision
    if (reason := insights.refused.get(ref)) is not None and step.action in ("create", "replace", "update"):
        return replace(decision, step=replace(step, refused=reason, operations=()))
    if ref not in insights.fingerprints or policy.configure == "never" or step.action in ("adopt", "delete"):
        return decision
    wanted = insights.fingerprints[ref]
    if wanted is None:
        why = "its configuration cannot be prepared"
        if step.action == "noop":
            return replace(decision, step=replace(step, reason=f"{step.reason}; {why}"), unprepared=True)
        return replace(decision, step=replace(step, refused=why, operations=()), unprepared=True)
    if step.action in ("create", "replace"):
        if not step.running:
            return decision
        change = Change(FIELD, None, wanted, "none")
        return replace(decision, step=replace(step, changes=(*step.changes, change), configure=wanted))
    return replace(decision, step=_kept(decision, step, ref, wanted, policy))


def _kept(decision: Decision, step: Step, ref: Ref, wanted: str, policy: Policy) -> Step:
    seen = decision.observed
    marker = seen.marker if seen else None
    last = marker.configured if marker else ""
    if decision.guest.spec.running is False:
        return replace(step, reason=f"{step.reason}; not configured, because it is to be stopped")
    if last == wanted and policy.configure == "changed":
        return replace(step, reason=f"{step.reason}; configuration up to date")
    change = Change(FIELD, last or None, wanted, "live")
    why = "its configuration is asked for" if last == wanted else "its configuration has changed"
    if not last:
        why = "it was not configured yet"
    elif last == UNFINISHED:
        why = "its last configuration was not finished"
    return replace(
        step,
        action="update",
        changes=(*step.changes, change),
        impact=gravest((step.impact, "live")),
        reason=why if step.action == "noop" else f"{step.reason}; {why}",
        configure=wanted,
    )
