"""The rules of plans: they hold for every world, and each is seen when it is broken."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innkeeper.model.objects import Declared, Guest, Ref
from innkeeper.model.observed import ClusterView, Node, ObservedGuest
from innkeeper.model.plan import Operation, Plan, Step
from innkeeper.model.units import GiB
from innkeeper.planner.build import examine, plan
from innkeeper.planner.check import check
from innkeeper.planner.policy import Policy
from innkeeper.planner.status import orphan_statuses, statuses
from tests.innkeeper.planner.worlds import POLICY, container, declared, machine, marker, seen, view

NAMES = ("a", "b", "c", "d")
VMIDS = (100, 101, 1000, 1001, 1002)
POWER = ("running", "stopped", "paused", "unknown")


@st.composite
def observed(draw: st.DrawFn, vmid: int) -> ObservedGuest:
    kind = draw(st.sampled_from(["Container", "VirtualMachine"]))
    name = draw(st.sampled_from([*NAMES, "x", None]))
    owner = None
    if draw(st.booleans()):
        owner = marker(
            draw(st.sampled_from(NAMES)),
            draw(st.sampled_from([vmid, vmid, vmid, 999])),
            draw(st.sampled_from([kind, kind, "Container"])),
            draw(st.sampled_from(["home", "home", "other"])),
        )
    config = {"memory": "512", "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01"}
    if kind == "VirtualMachine":
        config = {"memory": "512", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}
    config |= {"protection": "1"} if draw(st.booleans()) else {}
    known = draw(st.integers(0, 5)) > 0
    tags = draw(st.sampled_from([(), ("innkeeper",), ("Protected", "innkeeper")]))
    return seen(
        vmid,
        name,
        owner if known else None,
        kind=kind,
        config=config if known else None,
        tags=tags,
        node=draw(st.sampled_from(["pve1", "pve2"])),
        power=draw(st.sampled_from(POWER)),
        lock=draw(st.sampled_from([None, None, None, "create", "backup"])),
        template=draw(st.integers(0, 7)) == 0,
        unreadable="" if known else draw(st.sampled_from(["", "no right"])),
    )


@st.composite
def manifests(draw: st.DrawFn) -> tuple[Guest, ...]:
    vmids = draw(st.permutations([*VMIDS, None, None, None, None]))
    found: list[Guest] = []
    for at, name in enumerate(draw(st.lists(st.sampled_from(NAMES), unique=True))):
        body: dict[str, Any] = {
            "memory": draw(st.sampled_from(["256Mi", "512Mi"])),
            "running": draw(st.sampled_from([True, False, None])),
            "restart": draw(st.sampled_from(["never", "whenNeeded"])),
            "protected": draw(st.sampled_from([None, True, False])),
        }
        body = {key: value for key, value in body.items() if value is not None}
        if vmids[at] is not None:
            body["vmid"] = vmids[at]
        needs, is_container, adopt = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
        if found and needs:
            body["needs"] = [str(found[-1].ref)]
        if is_container:
            found.append(container(name, adopt, unprivileged=True, **body))
        else:
            found.append(machine(name, adopt, **body))
    return tuple(found)


@st.composite
def worlds(draw: st.DrawFn) -> ClusterView:
    there = [draw(observed(vmid)) for vmid in VMIDS if draw(st.booleans())]
    online = draw(st.booleans())
    nodes = {"pve1": Node("pve1", True, 64 * GiB, GiB), "pve2": Node("pve2", online, 64 * GiB, 2 * GiB)}
    return view(*there, nodes=nodes, complete=draw(st.integers(0, 4)) > 0)


policies = st.builds(
    Policy,
    source=st.just("home"),
    revision=st.just("r1"),
    prune=st.booleans(),
    max_deletes=st.integers(0, 3),
    replace=st.frozensets(st.sampled_from(NAMES)),
    take_over=st.booleans(),
    only=st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from(NAMES))),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(guests=manifests(), world=worlds(), policy=policies)
def test_no_plan_breaks_a_rule(guests: tuple[Guest, ...], world: ClusterView, policy: Policy) -> None:
    found = plan(declared(*guests), {"lab": world}, policy)
    assert check(found, declared(*guests), {"lab": world}, policy) == ()
    assert found.digest == plan(declared(*guests), {"lab": world}, policy).digest
    decisions = examine(declared(*guests), {"lab": world}, policy)
    for status in (*statuses(decisions, {"lab": world}), *orphan_statuses(decisions, {"lab": world}, "home")):
        assert status.sync == "Synced" or status.conditions, status
    planned = {step.ref for step in found.steps}
    for guest in guests:
        if policy.selects(guest.ref) and guest.ref not in planned:
            assert found.diagnostics


WEB = Ref("Container", "web")
OURS = seen(100, "web", marker("web", 100))
GOOD = Step(
    "update",
    WEB,
    "lab",
    "pve1",
    100,
    operations=(Operation("configure", "PUT", "/nodes/pve1/lxc/100/config", (("memory", "1"),), True),),
)
DELETE = replace(
    GOOD,
    action="delete",
    ref=Ref("Container", "old"),
    operations=(Operation("delete", "DELETE", "/nodes/pve1/lxc/100"),),
)


def faults(
    *steps: Step, world: ClusterView | None = None, policy: Policy = POLICY, guests: Declared | None = None
) -> str:
    return "\n".join(check(Plan(steps), guests or declared(container("web")), {"lab": world or view(OURS)}, policy))


@pytest.mark.parametrize(
    ("said", "steps", "world"),
    [
        ("two steps", (GOOD, replace(GOOD, vmid=101)), view(OURS, replace(OURS, vmid=101))),
        ("vmid 100: Container/b and Container/web", (GOOD, replace(GOOD, ref=Ref("Container", "b"))), view(OURS)),
        ("not ours", (GOOD,), view(seen(100))),
        ("not ours", (GOOD,), view(seen(100, owner=marker("web", 100, source="other")))),
        ("not known", (GOOD,), view(replace(OURS, config=None))),
        ("offline", (GOOD,), view(OURS, nodes={"pve1": Node("pve1", False)})),
        ("was not seen", (GOOD,), view()),
        ("which exists", (replace(GOOD, action="create"),), view(OURS)),
        ("without a digest", (replace(GOOD, operations=(replace(GOOD.operations[0], guarded=False),)),), view(OURS)),
        (
            "another guest",
            (replace(GOOD, operations=(replace(GOOD.operations[0], path="/nodes/pve1/lxc/7"),)),),
            view(OURS),
        ),
        (
            "is on pve1",
            (replace(GOOD, operations=(replace(GOOD.operations[0], path="/nodes/pve2/lxc/100/config"),)),),
            view(OURS),
        ),
        ("is no call of", (replace(GOOD, operations=(Operation("x", "PUT", "/access/acl"),)),), view(OURS)),
        ("without --prune", (DELETE,), view(OURS)),
        ("protected", (DELETE,), view(replace(OURS, tags=("PROTECTED",)))),
        ("copy", (DELETE,), view(replace(OURS, marker=marker("web", 7)))),
        (
            "stands before",
            (replace(GOOD, needs=(Ref("Container", "b"),)), replace(GOOD, ref=Ref("Container", "b"), vmid=1)),
            view(OURS),
        ),
        ("has operations", (replace(GOOD, refused="no"),), view(OURS)),
        ("that nobody allowed", (replace(GOOD, action="replace", former=100),), view(OURS)),
        ("a update deletes", (replace(GOOD, operations=DELETE.operations),), view(OURS)),
    ],
)
def test_every_broken_rule_is_seen(said: str, steps: tuple[Step, ...], world: ClusterView) -> None:
    assert said in faults(*steps, world=world)


def test_a_sound_step_breaks_none() -> None:
    assert faults(GOOD) == ""
