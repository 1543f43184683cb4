"""What may go by itself, and what waits for a person. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from innkeeper.model.objects import Ref
from innkeeper.model.plan import Plan, Step
from innkeeper.model.server import OwnGuest
from innkeeper.model.sources import SourceSpec
from innkeeper.planner.policy import Policy
from innkeeper.planner.prune import NOTHING_STAYS


@dataclass(frozen=True, slots=True)
class Wish:
    """What one run asks for beyond what its source always allows."""

    replace: frozenset[str] = frozenset()
    prune: bool = False


def bold(policy: Policy, plan: Plan, wish: Wish) -> Policy:
    """The policy under which a person is asked: all that `plan` refused only because nobody had allowed it."""
    refused = {str(step.ref) for step in plan.steps if step.action == "replace" and _only_needs_leave(step)}
    deletes = [step for step in plan.steps if step.action == "delete"]
    last = frozenset(str(step.ref) for step in deletes if step.refused.startswith(NOTHING_STAYS))
    prune = policy.prune or wish.prune
    most = max(policy.max_deletes, len(deletes)) if prune else policy.max_deletes
    return replace(policy, replace=policy.replace | refused | wish.replace, prune=prune, max_deletes=most, last=last)


def _only_needs_leave(step: Step) -> bool:
    return step.refused.startswith("needs --replace")


def grave(plan: Plan, spec: SourceSpec, own: OwnGuest | None = None, ordinary: Plan | None = None) -> tuple[Step, ...]:
    """Steps that wait for a person whatever the source says: replacements, lost data, deletes beyond its policy.

    `own` is the guest that the server runs in: whatever ends it, and be it for a moment, waits as well. So does a
    delete that `ordinary`, the plan under what the source always allows, refuses.
    """
    braked = {_place(step) for step in ordinary.steps if step.action == "delete" and step.refused} if ordinary else ()
    deletes = [step for step in plan.steps if step.action == "delete" and not step.refused]
    allowed = spec.prune and len(deletes) <= spec.max_deletes
    return tuple(
        step
        for step in plan.steps
        if not step.refused
        and (
            (step.action == "delete" and (not allowed or _place(step) in braked))
            or step.action == "replace"
            or (step.action != "delete" and step.impact in ("replace", "data-loss"))
            or (_is_own(step, own) and (step.action == "delete" or step.impact == "restart"))
        )
    )


def _is_own(step: Step, own: OwnGuest | None) -> bool:
    return own is not None and _place(step) == (own.cluster, own.vmid)


def _place(step: Step) -> tuple[str, int]:
    return step.cluster, step.vmid


def harmless(waiting: Iterable[Step], all_refs: Collection[Ref]) -> frozenset[str]:
    """The guests that may be worked on while others wait; those that need a waiting one are planned to wait, too."""
    held = {step.ref for step in waiting}
    return frozenset(str(ref) for ref in all_refs if ref not in held)
