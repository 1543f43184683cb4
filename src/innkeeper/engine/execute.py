"""A plan carried out: every step after what it needs, several at once, each failure for itself."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from innkeeper.engine.images import Images
from innkeeper.engine.interior import Interior
from innkeeper.engine.ports import Builder, Event, Hypervisor, Listener
from innkeeper.engine.result import Result, StepResult
from innkeeper.engine.work import Site, Work
from innkeeper.model.objects import Declared, Ref
from innkeeper.model.observed import ClusterView
from innkeeper.model.plan import Plan, Step
from innkeeper.planner.build import guests_of, room_of
from innkeeper.planner.policy import NOTHING, Insights, Policy, Views


async def execute(
    plan: Plan,
    declared: Declared,
    views: Views,
    policy: Policy,
    hypervisors: Mapping[str, Hypervisor],
    listener: Listener,
    stop: asyncio.Event,
    parallel: int = 8,
    patience: float = 300.0,
    insights: Insights = NOTHING,
    interior: Interior | None = None,
    builder: Builder | None = None,
) -> Result:
    """Deletes come after everything else. Once `stop` is set no further call is made; those that run are awaited."""
    sites = {
        name: replace(
            _site(name, view, declared, policy, hypervisors[name], plan, patience),
            insights=insights,
            interior=interior,
            images=Images(builder, frozenset(storage.name for storage in view.storages if storage.shared)),
        )
        for name, view in views.items()
        if isinstance(view, ClusterView)
    }
    turns = _Turns(declared, sites, listener, stop, asyncio.Semaphore(parallel))
    before = [(hypervisor.reads, hypervisor.writes) for hypervisor in hypervisors.values()]
    first = [step for step in plan.steps if step.action != "delete"]
    last = [step for step in plan.steps if step.action == "delete"]
    results = {id(step): result for step, result in zip(first, await turns.take(first), strict=True)}
    results.update((id(step), result) for step, result in zip(last, await turns.take(last), strict=True))
    after = [(hypervisor.reads, hypervisor.writes) for hypervisor in hypervisors.values()]
    reads = sum(now[0] - then[0] for now, then in zip(after, before, strict=True))
    writes = sum(now[1] - then[1] for now, then in zip(after, before, strict=True))
    ordered = tuple(results[id(step)] for step in plan.steps)
    return Result(plan, ordered, plan.reads + reads, writes, stop.is_set())


def _site(
    name: str,
    view: ClusterView,
    declared: Declared,
    policy: Policy,
    hypervisor: Hypervisor,
    plan: Plan,
    patience: float,
) -> Site:
    guests = guests_of(declared, name)
    room = room_of(guests, view)
    for step in plan.steps:
        if step.cluster == name:
            room.taken.add(step.vmid)
    cluster = next(cluster for cluster in declared.clusters if cluster.name == name)
    others = frozenset(guest.ref for guest in guests)
    return Site(hypervisor, cluster, view, policy, room, others, patience)


class _Turns:
    """The steps of one run, each waiting for those that it needs."""

    def __init__(
        self,
        declared: Declared,
        sites: Mapping[str, Site],
        listener: Listener,
        stop: asyncio.Event,
        places: asyncio.Semaphore,
    ) -> None:
        self._guests = {guest.ref: guest for guest in declared.guests}
        self._sites = sites
        self._listener = listener
        self._stop = stop
        self._places = places
        self._running: dict[Ref, asyncio.Task[StepResult]] = {}

    async def take(self, steps: list[Step]) -> list[StepResult]:
        """All of these steps, in their order (what is needed stands before what needs it)."""
        turns: list[StepResult | asyncio.Task[StepResult]] = []
        async with asyncio.TaskGroup() as group:
            for step in steps:
                if step.action == "noop":
                    turns.append(StepResult(step, "done"))
                elif step.refused:
                    turns.append(self._skip(step, step.refused))
                else:
                    task = group.create_task(self._turn(step))
                    turns.append(task)
                    if step.action != "delete":
                        self._running[step.ref] = task
        return [turn if isinstance(turn, StepResult) else turn.result() for turn in turns]

    async def _turn(self, step: Step) -> StepResult:
        for need in step.needs:
            task = self._running.get(need)
            if task is not None and (await task).state != "done":
                return self._skip(step, f"needs {need}, which {(await task).state}")
        async with self._places:
            if self._stop.is_set():
                return self._skip(step, "stopped before it began")
            guest = self._guests.get(step.ref) if step.action != "delete" else None
            return await Work(self._sites[step.cluster], guest, step, self._listener, self._stop.is_set).run()

    def _skip(self, step: Step, reason: str) -> StepResult:
        self._listener(Event(step.ref, step, "skipped", reason))
        return StepResult(step, "skipped", reason)
