"""Which of our guests are declared no more, and every brake that keeps one from being deleted by mistake.

Source of the brakes: nothing is destroyed on missing evidence. A guest may go only when it carries our marker of this
source, was made under this vmid (a copy of ours is somebody else's), is declared nowhere on this cluster, is not
protected, when every guest of the cluster can be seen, when something of ours stays declared there or a person is asked
for all that go, and when not more go than a run may delete.
"""

from collections.abc import Collection
from dataclasses import replace

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Cluster, Ref
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Step
from innkeeper.planner import calls
from innkeeper.planner.decide import protection
from innkeeper.planner.pair import MAKING, true_marker
from innkeeper.planner.policy import Policy

NOTHING_STAYS = "nothing of ours would stay declared"
"""How the refusal begins that a person can lift."""


def orphans(
    cluster: Cluster, view: ClusterView, declared: Collection[Ref], paired: Collection[int], policy: Policy
) -> tuple[tuple[Step, ...], tuple[Diagnostic, ...]]:
    """Delete steps (refused where a brake holds) for one cluster, and what a person must know."""
    found: list[tuple[Ref, ObservedGuest]] = []
    notes: list[Diagnostic] = []
    for vmid, seen in sorted(view.guests.items()):
        if seen.marker is None or seen.marker.source != policy.source or vmid in paired:
            continue
        ref = Ref(seen.marker.kind, seen.marker.name)
        if true_marker(seen) is None or ref in declared or ref.kind != seen.kind:
            notes.append(_copy(cluster, ref, seen))
        elif policy.selects(ref):
            found.append((ref, seen))
    if not found:
        return (), tuple(notes)
    if not policy.prune:
        return (), (*notes, _would(cluster, found))
    stays = bool(declared)
    brake = _brake(cluster, view, stays=stays or all(str(ref) in policy.last for ref, _ in found))
    reason = "declared no more" if stays else f"declared no more, and {NOTHING_STAYS} on cluster {cluster.name}"
    steps = [_step(cluster, ref, seen, brake or _unsure(view, seen), reason) for ref, seen in found]
    notes += [_refusal(cluster, step) for step in steps if step.refused]
    return tuple(steps), tuple(notes)


def cap(steps: Collection[Step], policy: Policy) -> tuple[tuple[Step, ...], tuple[Diagnostic, ...]]:
    """All of the delete steps of a run, or none at all where they are more than one run may delete."""
    going = [step for step in steps if not step.refused]
    if len(going) <= policy.max_deletes:
        return tuple(steps), ()
    refusal = f"{len(going)} guests would be deleted, at most {policy.max_deletes} may be in one run"
    finding = Diagnostic(
        "error",
        "TooManyDeletes",
        refusal,
        f"Nothing is deleted. If all of them are to go ({_names(going)}), allow it with --max-deletes {len(going)}.",
    )
    return tuple(replace(step, refused=step.refused or refusal, operations=()) for step in steps), (finding,)


def _names(steps: Collection[Step]) -> str:
    names = [str(step.ref) for step in steps]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _brake(cluster: Cluster, view: ClusterView, *, stays: bool) -> str:
    if not view.complete:
        return "not every guest of the cluster can be seen: " + (" ".join(view.gaps) or "the view is incomplete")
    if not stays:
        return f"{NOTHING_STAYS} on cluster {cluster.name}; such a run prunes nothing"
    return ""


def _unsure(view: ClusterView, seen: ObservedGuest) -> str:
    node = view.nodes.get(seen.node)
    if node is None or not node.online:
        return f"its node {seen.node} is offline"
    return "" if seen.config is not None and seen.lock not in MAKING else "its configuration is not known"


def _step(cluster: Cluster, ref: Ref, seen: ObservedGuest, brake: str, reason: str) -> Step:
    protected = protection(seen)
    refused = brake or (f"it is protected: {protected}" if protected else "")
    return Step(
        "delete",
        ref,
        cluster.name,
        seen.node,
        seen.vmid,
        "data-loss",
        reason=reason,
        operations=() if refused else calls.delete(seen),
        digest=seen.digest,
        refused=refused,
    )


def _refusal(cluster: Cluster, step: Step) -> Diagnostic:
    return Diagnostic(
        "error",
        "PruneRefused",
        f"{step.ref} (vmid {step.vmid} on {cluster.name}) is declared no more and is not deleted: {step.refused}",
        "Declare it again, or take the protection away and prune once more."
        if step.refused.startswith("it is protected")
        else "Mend that first; delete it by hand if it is really to go.",
    )


def _would(cluster: Cluster, found: Collection[tuple[Ref, ObservedGuest]]) -> Diagnostic:
    names = ", ".join(f"{ref} ({seen.vmid})" for ref, seen in list(found)[:10])
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    return Diagnostic(
        "warning",
        "Orphaned",
        f"{len(found)} of our guests on cluster {cluster.name} {'is' if len(found) == 1 else 'are'} declared no more: "
        f"{names}{more}",
        "They are left alone. --prune deletes them.",
    )


def _copy(cluster: Cluster, ref: Ref, seen: ObservedGuest) -> Diagnostic:
    return Diagnostic(
        "warning",
        "Copy",
        f"guest {seen.vmid} on cluster {cluster.name} carries the marker of {ref}, but is not that guest",
        "It is a clone or a restored backup and is left alone. Remove the marker from its notes.",
    )
