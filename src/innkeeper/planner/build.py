"""The plan: every declared guest of every cluster decided, the orphans beside them, in the order of their needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Cluster, Declared, Guest, Ref
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Plan, Step
from innkeeper.planner import prune
from innkeeper.planner.configuration import configured
from innkeeper.planner.creation import needs_of
from innkeeper.planner.decide import Decision, Ground, decide
from innkeeper.planner.order import waves
from innkeeper.planner.pair import Adopt, Blocked, Ours, pair
from innkeeper.planner.place import Room, nearest
from innkeeper.planner.policy import NOTHING, Insights, Policy, Unreachable, Views, named
from innkeeper.planner.rights import permitted


def plan(declared: Declared, views: Views, policy: Policy, insights: Insights = NOTHING) -> Plan:
    """What would be done. Never raises for what people or clusters do: it ends up in the diagnostics."""
    return assemble(examine(declared, views, policy, insights), declared, views, policy)


def examine(declared: Declared, views: Views, policy: Policy, insights: Insights = NOTHING) -> tuple[Decision, ...]:
    """One decision for each selected guest, in the order of the declaration."""
    decisions: list[Decision] = []
    for cluster in declared.clusters:
        guests = guests_of(declared, cluster.name)
        chosen = [guest for guest in guests if policy.selects(guest.ref)]
        view = views.get(cluster.name, Unreachable("it was not looked at"))
        if isinstance(view, Unreachable):
            decisions += [Decision(guest, cluster.name, None) for guest in chosen]
            continue
        ground = Ground(cluster, view, policy, room_of(guests, view), insights)
        outcomes = pair(guests, view, policy.source, policy.take_over)
        defaults = cluster.spec.defaults
        found = [permitted(decide(guest, outcomes[guest.ref], ground), view, defaults) for guest in chosen]
        found = [configured(decision, insights, policy) for decision in found]
        decisions += found if view.quorate else [_frozen(decision) for decision in found]
    return tuple(decisions)


def _frozen(decision: Decision) -> Decision:
    """Nothing can be written to a cluster without a quorum: said now, not call by call after minutes of waiting."""
    step = decision.step
    if step is None or step.refused or not step.operations:
        return decision
    problem = f"{step.ref} cannot be changed: cluster {step.cluster} has no quorum"
    finding = Diagnostic(
        "error",
        "NoQuorum",
        problem,
        "Most of its nodes must be up; run this again then.",
        decision.guest.origin.location,
    )
    step = replace(step, refused="the cluster has no quorum")
    return replace(decision, step=step, diagnostics=(*decision.diagnostics, finding))


def decide_again(
    guest: Guest,
    seen: ObservedGuest | None,
    cluster: Cluster,
    view: ClusterView,
    policy: Policy,
    room: Room,
    others: Iterable[Ref] = (),
    insights: Insights = NOTHING,
) -> Decision:
    """The decision for one guest whose observation is newer than the view (None: it is proved to be absent).

    What is to be run inside it is not decided again.
    """
    guests: Mapping[int, ObservedGuest] = {} if seen is None else {seen.vmid: seen}
    outcome = pair([guest], replace(view, guests=guests), policy.source, policy.take_over, frozenset(others))[guest.ref]
    # Clones need the templates of the whole view.
    return decide(guest, outcome, Ground(cluster, view, policy, room, insights))


def guests_of(declared: Declared, cluster: str) -> list[Guest]:
    """The guests of one cluster; a guest that names none belongs to the only one that there is."""
    only = declared.clusters[0].name if len(declared.clusters) == 1 else None
    return [guest for guest in declared.guests if (guest.spec.cluster or only) == cluster]


def room_of(guests: Iterable[Guest], view: ClusterView) -> Room:
    """The room on a cluster where nothing is placed yet: vmids that are seen or declared are taken."""
    return Room({*view.guests, *(guest.spec.vmid for guest in guests if guest.spec.vmid is not None)})


def assemble(decisions: Sequence[Decision], declared: Declared, views: Views, policy: Policy) -> Plan:
    """The plan of these decisions: prune, order, and what stands in the way."""
    findings = [finding for decision in decisions for finding in decision.diagnostics]
    deletes: list[Step] = []
    for cluster in declared.clusters:
        view = views.get(cluster.name, Unreachable("it was not looked at"))
        if isinstance(view, Unreachable):
            findings.append(_unreachable(cluster, view))
            continue
        guests = guests_of(declared, cluster.name)
        refs = {guest.ref for guest in guests}
        if policy.only:
            # All of them, not only the selected: what is declared is no orphan.
            outcomes = pair(guests, view, policy.source, policy.take_over)
        else:
            outcomes = {
                item.guest.ref: item.outcome for item in decisions if item.cluster == cluster.name and item.outcome
            }
        paired = {item.observed.vmid for item in outcomes.values() if isinstance(item, Ours | Adopt)}
        paired |= {item.observed.vmid for item in outcomes.values() if isinstance(item, Blocked) and item.observed}
        steps, notes = prune.orphans(cluster, view, refs, paired, policy)
        deletes += steps
        findings += notes
    capped, notes = prune.cap(deletes, policy)
    findings += [*notes, *_unknown_names(declared, capped, policy)]
    steps = (*_ordered(decisions), *capped)
    reads = sum(view.reads for view in views.values() if isinstance(view, ClusterView))
    undecided = sum(1 for decision in decisions if decision.step is None)
    return Plan(steps, tuple(findings), reads, policy.source, policy.revision, undecided)


def _ordered(decisions: Sequence[Decision]) -> list[Step]:
    """Steps by wave; what needs a guest that cannot be had is refused, with the reason."""
    needs = {item.guest.ref: needs_of(item.guest) for item in decisions}
    wave = waves(needs)
    broken: dict[Ref, str] = {}
    result: list[Step] = []
    for item in sorted(decisions, key=lambda item: wave[item.guest.ref]):
        ref, step = item.guest.ref, item.step
        missing = next((need for need in needs[ref] if need in broken), None)
        if step is None:
            broken[ref] = item.diagnostics[-1].summary if item.diagnostics else "its cluster cannot be seen"
            continue
        if missing is not None and step.action != "noop" and not step.refused:
            step = replace(step, refused=f"needs {missing}: {broken[missing]}", operations=(), configure="")
        if step.refused:
            step = replace(step, operations=(), configure="")
            broken[ref] = step.refused
        result.append(replace(step, wave=wave[ref]) if wave[ref] else step)
    return result


def _unreachable(cluster: Cluster, view: Unreachable) -> Diagnostic:
    return Diagnostic(
        "error",
        "ClusterUnreachable",
        f"cluster {cluster.name} cannot be seen: {view.message}",
        view.advice or "Nothing is decided about its guests.",
        cluster.origin.at("spec.endpoints"),
    )


def _unknown_names(declared: Declared, deletes: Iterable[Step], policy: Policy) -> list[Diagnostic]:
    """Names given to --only and --replace that nothing has."""
    refs = [guest.ref for guest in declared.guests] + [step.ref for step in deletes]
    words = {ref.name for ref in refs} | {str(ref) for ref in refs}
    found: list[Diagnostic] = []
    for option, names in (("--only", policy.only), ("--replace", policy.replace)):
        for name in sorted(names):
            if not any(named(ref, (name,)) for ref in refs):
                near = nearest(name, words)
                found.append(
                    Diagnostic("error", "UnknownName", f"{option} {name}: no such guest is declared{near}", "")
                )
    return found
