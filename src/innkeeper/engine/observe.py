"""Seeing one cluster well enough to plan on it, with as few calls as the plan allows.

The first look reads the declared guests and ours. Only where something seems to be missing a second look reads every
guest's marker, for a guest that an earlier run made may have been renamed or have lost its tag. What is being created
at this moment is waited for: it may be ours, and its configuration shows nothing until it is done. Where power seems
not to be as declared, the guest's own status is asked: the list lags behind.
"""

import asyncio
from dataclasses import replace

from innkeeper.engine.errors import EngineError
from innkeeper.engine.ports import Hypervisor, Log, Scope
from innkeeper.model.objects import Cluster, Declared
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.planner import look
from innkeeper.planner.policy import Policy, Unreachable

_LOOK_SECONDS = 0.5


async def observe(
    hypervisor: Hypervisor, declared: Declared, cluster: Cluster, policy: Policy, log: Log, patience: float
) -> ClusterView | Unreachable:
    """The view to plan on. A cluster that cannot be seen is a value, so that the others go on.

    `patience`: seconds to wait for guests that are being created.
    """
    before = hypervisor.reads
    try:
        view = await _observe(hypervisor, declared, cluster, policy, log, patience)
    except EngineError as error:
        return Unreachable(error.message, error.advice, type(error).__name__)
    return replace(view, reads=hypervisor.reads - before)


async def _observe(
    hypervisor: Hypervisor, declared: Declared, cluster: Cluster, policy: Policy, log: Log, patience: float
) -> ClusterView:
    vmids, names = look.first_look(declared, cluster.name)
    view = await hypervisor.observe(Scope(vmids, names))
    view = await _made(hypervisor, declared, cluster, view, log, patience)
    if look.unpaired(declared, cluster.name, view, policy):
        view = await hypervisor.observe(Scope(vmids, names, catalog=True, everything=True))
        view = await _made(hypervisor, declared, cluster, view, log, patience)
    elif look.moving(declared, cluster.name, view, policy):
        view = await hypervisor.observe(Scope(vmids, names, everything=True))
    return await _read_again(hypervisor, view, look.doubtful(declared, cluster.name, view, policy))


async def _made(
    hypervisor: Hypervisor, declared: Declared, cluster: Cluster, view: ClusterView, log: Log, patience: float
) -> ClusterView:
    running = look.being_made(declared, cluster, view)
    await asyncio.gather(*(_settle(hypervisor, vmid, log, patience) for vmid in running))
    return await _read_again(hypervisor, view, running)


async def _settle(hypervisor: Hypervisor, vmid: int, log: Log, patience: float) -> None:
    """Wait until a guest is made. A clone's task runs under its template's vmid: its lock is watched instead."""
    deadline = asyncio.get_running_loop().time() + patience
    try:
        await hypervisor.settle(vmid, log, patience)
        while (seen := await hypervisor.guest(vmid)) is not None and seen.lock == "clone":
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(_LOOK_SECONDS)
    except EngineError as error:
        log(error.message)  # The plan says of that guest that it is still being created.


async def _read_again(hypervisor: Hypervisor, view: ClusterView, vmids: tuple[int, ...]) -> ClusterView:
    """The view with these guests as they are now; one that cannot be read now stays as it was seen."""

    async def read(vmid: int) -> ObservedGuest | None:
        try:
            return await hypervisor.guest(vmid)
        except EngineError:
            return view.guests[vmid]

    if not vmids:
        return view
    guests: dict[int, ObservedGuest] = dict(view.guests)
    for vmid, seen in zip(vmids, await asyncio.gather(*map(read, vmids)), strict=True):
        if seen is None:
            del guests[vmid]
        else:
            guests[vmid] = seen
    return replace(view, guests=guests)
