"""What must be observed before anything can be decided: little for a check, more where something is to be created."""

from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.model.objects import Cluster, Declared, Ref
from innkeeper.model.observed import ClusterView
from innkeeper.planner.addresses import claims
from innkeeper.planner.build import guests_of
from innkeeper.planner.pair import MAKING, Absent, Ours, host_name, pair
from innkeeper.planner.policy import Policy


def first_look(declared: Declared, cluster: str) -> tuple[frozenset[int], frozenset[str]]:
    """The vmids and the names whose guests must be read in any case (those with our tag are always read)."""
    vmids: set[int] = set()
    names: set[str] = set()
    for guest in guests_of(declared, cluster):
        names.add(host_name(guest))
        if guest.spec.vmid is not None:
            vmids.add(guest.spec.vmid)
        if isinstance(guest.spec, VirtualMachineSpec) and guest.spec.clone is not None:
            template = guest.spec.clone.template
            if isinstance(template, int):
                vmids.add(template)
            else:
                names.add(template)
    return frozenset(vmids), frozenset(names)


def unpaired(declared: Declared, cluster: str, view: ClusterView, policy: Policy) -> frozenset[Ref]:
    """The guests that seem not to exist: before one is created, every guest's marker is looked at.

    A guest that may be replaced counts: it needs a node, a template, a vmid as well.
    """
    guests = guests_of(declared, cluster)
    outcomes = pair(guests, view, policy.source, policy.take_over)
    return frozenset(
        guest.ref
        for guest in guests
        if policy.selects(guest.ref) and (isinstance(outcomes[guest.ref], Absent) or policy.may_replace(guest.ref))
    )


def moving(declared: Declared, cluster: str, view: ClusterView, policy: Policy) -> bool:
    """Whether a guest that is configured is to get another address: then every guest's addresses are looked at."""
    worked_in = {guest.ref for guest in guests_of(declared, cluster) if guest.spec.configure or guest.spec.health}
    return bool(worked_in) and any(claim.guest.ref in worked_in for claim in claims(declared, cluster, view, policy))


def being_made(declared: Declared, cluster: Cluster, view: ClusterView) -> tuple[int, ...]:
    """Guests that are being created right now and may be declared ones: made by an earlier run, or by another."""
    guests = guests_of(declared, cluster.name)
    ours = {guest.spec.vmid for guest in guests}
    pool = cluster.spec.vmids if any(guest.spec.vmid is None for guest in guests) else None
    return tuple(
        vmid
        for vmid, seen in sorted(view.guests.items())
        if seen.lock in MAKING and (vmid in ours or (pool is not None and pool.first <= vmid <= pool.last))
    )


def doubtful(declared: Declared, cluster: str, view: ClusterView, policy: Policy) -> tuple[int, ...]:
    """Guests whose power is not as declared by a list that lags some ten seconds behind (pvestatd's interval).

    Their own status is asked before anything is decided about power.
    """
    guests = guests_of(declared, cluster)
    outcomes = pair(guests, view, policy.source, policy.take_over)
    wanted = {True: "running", False: "stopped"}
    return tuple(
        outcome.observed.vmid
        for guest in guests
        if guest.spec.running is not None
        and isinstance(outcome := outcomes[guest.ref], Ours)
        and outcome.observed.power != wanted[guest.spec.running]
    )
