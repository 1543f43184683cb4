"""The whole way: look at every cluster, plan, and, once a person agreed, carry the plan out and prove it."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from innkeeper.engine import insights as inside
from innkeeper.engine.errors import Conflict, Stalled
from innkeeper.engine.execute import execute
from innkeeper.engine.health import Checks, look, wait
from innkeeper.engine.inside import Insider
from innkeeper.engine.interior import Interior, Place
from innkeeper.engine.observe import observe
from innkeeper.engine.ports import Builder, Hypervisor, Listener, Log
from innkeeper.engine.result import Result
from innkeeper.model.objects import Declared
from innkeeper.model.plan import Plan
from innkeeper.model.status import GuestStatus
from innkeeper.planner.build import assemble, examine
from innkeeper.planner.check import check
from innkeeper.planner.decide import Decision
from innkeeper.planner.policy import NOTHING, Insights, Policy, Unreachable, Views
from innkeeper.planner.status import orphan_statuses, statuses


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """A plan with all that it stands on. It has no repr: asyncio formats a task's result when it restores signals."""

    declared: Declared
    policy: Policy
    views: Views
    decisions: tuple[Decision, ...]
    plan: Plan
    insights: Insights = NOTHING
    interior: Interior | None = None
    checks: Checks = field(default_factory=dict)

    @property
    def statuses(self) -> tuple[GuestStatus, ...]:
        """Every declared guest, then ours that are declared no more."""
        orphans = orphan_statuses(self.decisions, self.views, self.policy.source) if not self.policy.only else ()
        return (*statuses(self.decisions, self.views, self.checks), *orphans)


async def prepare(
    declared: Declared,
    hypervisors: Mapping[str, Hypervisor | Unreachable],
    policy: Policy,
    log: Log = lambda line: None,
    patience: float = 60.0,
    insider: Insider | None = None,
    *,
    health: bool = False,
) -> Prepared:
    """Look at all clusters side by side, and plan. `patience`: seconds to wait for guests that are being created.

    Without an `insider` nothing is known of the inside of guests; `health` asks their checks, too.
    """
    inner = await inside.known(declared, policy, insider)
    declared = inside.accepting(declared, inner.insights)

    async def view(name: str) -> object:
        hypervisor = hypervisors.get(name, Unreachable("it was not connected to"))
        if isinstance(hypervisor, Unreachable):
            return hypervisor
        cluster = next(cluster for cluster in declared.clusters if cluster.name == name)
        return await observe(hypervisor, declared, cluster, policy, log, patience)

    names = [cluster.name for cluster in declared.clusters]
    views: Views = dict(zip(names, await asyncio.gather(*map(view, names)), strict=True))  # type: ignore[arg-type]
    insights, conflicts = await inside.guarded(inner, declared, views, policy)
    decisions = examine(declared, views, policy, insights)
    plan = assemble(decisions, declared, views, policy)
    plan = replace(plan, diagnostics=(*plan.diagnostics, *inner.diagnostics, *conflicts))
    checks = await _health(inner.interior, decisions, declared, hypervisors) if health else {}
    return Prepared(declared, policy, views, decisions, plan, insights, inner.interior, checks)


def plan_again(prepared: Prepared, declared: Declared) -> Prepared:
    """The plan of other manifests for the same clusters, on what was seen already: no call is made."""
    decisions = examine(declared, prepared.views, prepared.policy, prepared.insights)
    plan = assemble(decisions, declared, prepared.views, prepared.policy)
    return replace(prepared, declared=declared, decisions=decisions, plan=plan)


async def _health(
    interior: Interior | None,
    decisions: Iterable[Decision],
    declared: Declared,
    hypervisors: Mapping[str, Hypervisor | Unreachable],
) -> Checks:
    if interior is None:
        return {}
    places = places_of(declared, hypervisors)
    return await look(
        interior, {item.guest.ref: (places[item.cluster], item.observed) for item in decisions if item.observed}
    )


def places_of(declared: Declared, hypervisors: Mapping[str, Hypervisor | Unreachable]) -> dict[str, Place]:
    """The clusters that can be reached."""
    reached = {name: item for name, item in hypervisors.items() if not isinstance(item, Unreachable)}
    return {item.name: Place(item, reached[item.name]) for item in declared.clusters if item.name in reached}


def gate(prepared: Prepared, digest: str | None = None) -> None:
    """Raise where the plan may not run: it is not the approved one (Conflict), or it breaks a rule (Stalled)."""
    plan = prepared.plan
    if digest is not None and digest != plan.digest:
        raise Conflict(
            f"this is not the plan that was approved: its digest is {plan.digest}, not {digest}",
            "Manifests or guests changed since; look at the new plan.",
        )
    if faults := check(plan, prepared.declared, prepared.views, prepared.policy):
        raise Stalled(f"the plan breaks its own rules: {'; '.join(faults)}", "Nothing was done. Report this fault.")


async def carry_out(
    prepared: Prepared,
    hypervisors: Mapping[str, Hypervisor | Unreachable],
    listener: Listener = lambda event: None,
    stop: asyncio.Event | None = None,
    parallel: int = 8,
    patience: float = 300.0,
    healthy: float | None = None,
    builder: Builder | None = None,
) -> Result:
    """Carry out a plan, once it passed the gate. Every step is verified: the guest is read back and planned again.

    `healthy`: how many seconds to wait until all guests are healthy; None: that is not asked. `builder` makes images
    that are built.
    """
    gate(prepared)
    stop = stop or asyncio.Event()
    reached = {name: item for name, item in hypervisors.items() if not isinstance(item, Unreachable)}
    result = await execute(
        prepared.plan,
        prepared.declared,
        prepared.views,
        prepared.policy,
        reached,
        listener,
        stop,
        parallel,
        patience,
        prepared.insights,
        prepared.interior,
        builder,
    )
    if healthy is None:
        return result
    places = places_of(prepared.declared, hypervisors)
    return await wait(result, prepared.interior, places, healthy, listener, stop.is_set)
