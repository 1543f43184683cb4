"""Prune: every brake, each shown to hold by a world in which only it does."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from innkeeper.model.objects import Declared, Guest
from innkeeper.model.observed import ClusterView, Node, ObservedGuest
from innkeeper.model.plan import Plan
from innkeeper.planner.build import plan
from innkeeper.planner.check import check
from innkeeper.planner.policy import Policy, Unreachable
from tests.innkeeper.planner.worlds import POLICY, cluster, container, declared, marker, seen, view

WEB = seen(100, "web", marker("web", 100))
OLD = seen(101, "old", marker("old", 101))
PRUNE = replace(POLICY, prune=True)


def planned(world: ClusterView | Unreachable, *guests: Guest, policy: Policy = PRUNE) -> Plan:
    found = plan(declared(*guests), {"lab": world}, policy)
    assert check(found, declared(*guests), {"lab": world}, policy) == ()
    return found


def deletes(found: Plan) -> list[tuple[int, str]]:
    return [(step.vmid, step.refused) for step in found.steps if step.action == "delete"]


def codes(found: Plan) -> list[str]:
    return [finding.code for finding in found.diagnostics]


def test_what_is_declared_no_more_is_deleted() -> None:
    found = planned(view(WEB, OLD), container("web"))
    assert deletes(found) == [(101, "")]
    assert [(op.method, op.path, op.params) for op in found.steps[-1].operations] == [
        ("DELETE", "/nodes/pve1/lxc/101", (("purge", "1"),))
    ]


def test_a_running_machine_is_stopped_first() -> None:
    vm = seen(101, "old", marker("old", 101, "VirtualMachine"), kind="VirtualMachine", power="running")
    found = planned(view(WEB, vm), container("web"))
    assert [op.phase for op in found.steps[-1].operations] == ["stop", "delete"]


def test_not_without_being_asked() -> None:
    found = planned(view(WEB, OLD), container("web"), policy=POLICY)
    assert deletes(found) == []
    assert codes(found) == ["Orphaned"]


def refused(old: ObservedGuest = OLD, *more: ObservedGuest, **other: Any) -> str:
    ((_, refusal),) = deletes(planned(view(WEB, old, *more, **other), container("web")))
    return refusal


def test_protected_in_every_spelling() -> None:
    assert "tag protected" in refused(replace(OLD, tags=("innkeeper", "Protected")))
    assert "protection is on" in refused(replace(OLD, config={"protection": "1"}))


def test_not_when_guests_may_be_hidden() -> None:
    assert "not every guest" in refused(complete=False)


def test_not_when_nothing_stays_declared() -> None:
    found = planned(view(WEB, OLD))
    assert all("nothing of ours would stay declared" in reason for _, reason in deletes(found))
    assert len(deletes(found)) == 2


def test_the_last_may_go_where_a_person_is_asked_for_each() -> None:
    everybody = frozenset({"Container/web", "Container/old"})
    found = planned(view(WEB, OLD), policy=replace(PRUNE, last=everybody))
    assert deletes(found) == [(100, ""), (101, "")]
    assert all("nothing of ours would stay declared on cluster lab" in step.reason for step in found.steps)
    found = planned(view(WEB, OLD), policy=replace(PRUNE, last=frozenset({"Container/web"})))
    assert all(reason for _, reason in deletes(found))


def test_none_at_all_above_the_limit() -> None:
    many = [seen(vmid, f"g{vmid}", marker(f"g{vmid}", vmid)) for vmid in range(200, 204)]
    found = planned(view(WEB, *many), container("web"))
    assert len(deletes(found)) == 4
    assert all("4 guests would be deleted, at most 3" in reason for _, reason in deletes(found))
    assert "TooManyDeletes" in codes(found)
    found = planned(view(WEB, *many), container("web"), policy=replace(PRUNE, max_deletes=4))
    assert all(not reason for _, reason in deletes(found))


def test_nothing_that_is_not_ours() -> None:
    world = view(
        WEB,
        seen(101, "a"),
        seen(102, "b", marker("b", 102, source="other")),
        seen(103, "copy", marker("old", 101)),
        seen(104, "dark", config=None),
        replace(OLD, vmid=105, marker=marker("web", 105)),
    )
    found = planned(world, container("web", vmid=100))
    assert deletes(found) == []
    assert codes(found) == ["Copy", "Copy"]


def test_nothing_on_a_cluster_that_cannot_be_seen() -> None:
    found = planned(Unreachable("no route"), container("web"))
    assert found.steps == ()
    assert codes(found) == ["ClusterUnreachable"]


def test_guests_of_an_offline_node_stay() -> None:
    dark = {"pve1": Node("pve1", True, 1, 1), "pve2": Node("pve2", False)}
    world = view(WEB, seen(101, "old", config=None, node="pve2", tags=("innkeeper",)), nodes=dark)
    assert deletes(planned(world, container("web"))) == []


def test_a_guest_that_is_declared_on_another_cluster_now_goes() -> None:
    moved = (container("web", cluster="lab"), container("old", cluster="new"))
    both = Declared((cluster("lab"), cluster("new")), (), moved)
    views = {"lab": view(WEB, OLD), "new": replace(view(), cluster="new")}
    found = plan(both, views, PRUNE)
    assert check(found, both, views, PRUNE) == ()
    assert [(step.action, step.cluster, step.vmid) for step in found.steps] == [
        ("update", "lab", 100),
        ("create", "new", 1000),
        ("delete", "lab", 101),
    ]


def test_only_names_limit_the_prune() -> None:
    world = view(WEB, OLD, seen(102, "older", marker("older", 102)))
    found = planned(world, container("web"), policy=replace(PRUNE, only=frozenset({"older"})))
    assert deletes(found) == [(102, "")]


@given(
    orphans=st.integers(0, 8),
    declared_count=st.integers(0, 3),
    limit=st.integers(0, 5),
    complete=st.booleans(),
    prune=st.booleans(),
    protected=st.sets(st.integers(0, 7)),
)
def test_never_more_than_allowed_and_never_what_is_protected(
    orphans: int, declared_count: int, limit: int, complete: bool, prune: bool, protected: set[int]
) -> None:
    guests = [container(f"g{at}") for at in range(declared_count)]
    ours = [seen(100 + at, f"g{at}", marker(f"g{at}", 100 + at)) for at in range(declared_count)]
    old = [
        seen(
            200 + at,
            f"old{at}",
            marker(f"old{at}", 200 + at),
            tags=("innkeeper", "PROTECTED") if at in protected else ("innkeeper",),
        )
        for at in range(orphans)
    ]
    policy = Policy(POLICY.source, prune=prune, max_deletes=limit)
    going = [
        vmid
        for vmid, reason in deletes(planned(view(*ours, *old, complete=complete), *guests, policy=policy))
        if not reason
    ]
    free = [guest.vmid for guest in old if guest.vmid - 200 not in protected]
    allowed = prune and complete and declared_count > 0 and len(free) <= limit
    assert going == (free if allowed else [])
