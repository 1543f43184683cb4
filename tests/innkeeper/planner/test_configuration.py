"""What is run inside guests, decided from what was run last; and addresses that are taken."""

from dataclasses import replace
from typing import Any

import pytest

from innkeeper.model.inside import Configure
from innkeeper.model.objects import Guest, Ref
from innkeeper.model.observed import UNFINISHED, ClusterView, ObservedGuest
from innkeeper.model.plan import Plan, Step
from innkeeper.planner.addresses import claims, conflicts
from innkeeper.planner.build import plan
from innkeeper.planner.check import check
from innkeeper.planner.look import moving
from innkeeper.planner.policy import NOTHING, Insights
from tests.innkeeper.planner import worlds

WEB = Ref("Container", "web")
OURS = {"hostname": "web", "arch": "amd64", "tags": "innkeeper"}


def inside(**fingerprints: str | None) -> Insights:
    return Insights(fingerprints={Ref("Container", name): value for name, value in fingerprints.items()})


def planned(view: ClusterView, insights: Insights, *guests: Guest, **policy: Any) -> Plan:
    declared = worlds.declared(*(guests or (worlds.container("web", running=True),)))
    allowed = replace(worlds.POLICY, **policy)
    made = plan(declared, {"lab": view}, allowed, insights)
    assert check(made, declared, {"lab": view}, allowed) == ()
    return made


def configured(text: str, **other: Any) -> ObservedGuest:
    marker = replace(worlds.marker("web", 1000), configured=text)
    return worlds.seen(1000, "web", marker, **{"power": "running", "config": OURS} | other)


def only(made: Plan) -> Step:
    (step,) = made.steps
    return step


@pytest.mark.parametrize(
    ("last", "wanted", "when", "action", "runs", "says"),
    [
        ("aa", "aa", "changed", "noop", "", "configuration up to date"),
        ("aa", "bb", "changed", "update", "bb", "has changed"),
        ("", "bb", "changed", "update", "bb", "not configured yet"),
        (UNFINISHED, "aa", "changed", "update", "aa", "not finished"),
        ("aa", "aa", "always", "update", "aa", "asked for"),
        ("aa", "bb", "never", "noop", "", "up to date"),
        ("aa", None, "changed", "noop", "", "cannot be prepared"),
    ],
)
def test_a_guest_that_is_there(last: str, wanted: str | None, when: str, action: str, runs: str, says: str) -> None:
    step = only(planned(worlds.view(configured(last)), inside(web=wanted), configure=when))
    assert (step.action, step.configure) == (action, runs)
    assert says in step.reason
    changes = [(change.field, change.after) for change in step.changes if change.field == "configure"]
    assert changes == ([("configure", wanted)] if runs else [])
    assert step.impact == ("live" if runs else "none")


def test_a_new_guest_is_configured_and_takes_our_key() -> None:
    insights = replace(inside(web="aa"), keys={"lab": ("ssh-ed25519 AAAA ours",)}, reached=frozenset({WEB}))
    guest = worlds.container("web", running=True, sshKeys=["ssh-ed25519 BBBB mine"])
    step = only(planned(worlds.view(), insights, guest))
    assert (step.action, step.configure) == ("create", "aa")
    assert dict(step.operations[0].params)["ssh-public-keys"] == "ssh-ed25519 BBBB mine\nssh-ed25519 AAAA ours\n"
    plain = only(planned(worlds.view(), NOTHING, guest))
    assert dict(step.operations[0].params)["description"] == dict(plain.operations[0].params)["description"]
    assert planned(worlds.view(), insights, guest).writes == planned(worlds.view(), NOTHING, guest).writes + 1


def test_what_cannot_be_prepared_is_not_created() -> None:
    step = only(planned(worlds.view(), inside(web=None)))
    assert (step.operations, step.refused) == ((), "its configuration cannot be prepared")


def test_a_refused_guest_is_not_configured() -> None:
    db = worlds.container("db", node="pve9", running=True)
    web = worlds.container("web", running=True, needs=["Container/db"])
    made = planned(worlds.view(configured("aa")), inside(web="bb"), web, db)
    assert [(step.refused != "", step.configure) for step in made.steps if step.ref == WEB] == [(True, "")]


def test_without_provisioning_only_the_inside_is_touched() -> None:
    web, db = worlds.container("web", running=True, memory="1Gi"), worlds.container("db", running=True)
    made = planned(worlds.view(configured("aa")), inside(web="bb", db="cc"), web, db, provision=False)
    assert [(step.ref.name, step.action, step.operations, step.configure) for step in made.steps] == [
        ("web", "update", (), "bb"),
        ("db", "noop", (), ""),
    ]
    assert [change.field for change in made.steps[0].changes] == ["configure"]


NEW: dict[str, Any] = {"network": [{"name": "eth0", "ip": "10.0.0.5/24"}]}


@pytest.mark.parametrize(
    ("others", "answering", "problem"),
    [
        ([], [], ""),
        ([], ["10.0.0.5"], "something answers at 10.0.0.5"),
        ([("Container", {"net0": "name=eth0,bridge=vmbr0,ip=10.0.0.5/16"})], [], "belongs to container 300"),
        ([("Container", {"net0": "name=eth0,bridge=vmbr0,ip=10.0.0.50/16"})], [], ""),
        ([("Container", {"net3": "name=eth0,bridge=vmbr0,tag=7,ip=10.0.0.5/16"})], [], ""),
        ([("VirtualMachine", {"net0": "virtio=BC:24:11:00:00:01", "ipconfig0": "gw=1.1.1.1,ip=10.0.0.5/8"})],
         [], "belongs to virtual machine 300"),
    ],
)  # fmt: skip
def test_an_address_in_use(others: list[tuple[str, dict[str, str]]], answering: list[str], problem: str) -> None:
    found = [worlds.seen(300, "other", None, kind=kind, config=config) for kind, config in others]
    view, guest = worlds.view(*found), worlds.container("web", running=True, **NEW)
    declared, lab = worlds.declared(guest), worlds.cluster()
    new = claims(declared, "lab", view, worlds.POLICY)
    assert [claim.address for claim in new] == ["10.0.0.5"]
    refused, said = conflicts(lab, view, new, answering, worlds.POLICY)
    assert [item.severity for item in said] == (["error"] if problem else [])
    if problem:
        assert problem in refused[WEB]
        step = only(planned(view, Insights(refused=refused), guest))
        assert (step.operations, step.refused) == ((), refused[WEB])
    refused, said = conflicts(lab, view, new, answering, replace(worlds.POLICY, allow_ip_conflicts=True))
    assert (dict(refused), [item.severity for item in said]) == ({}, ["warning"] if problem else [])


def test_a_guests_own_address_is_not_new_on_the_next_run() -> None:
    own = configured("aa", config=OURS | {"net0": "name=eth0,bridge=vmbr0,ip=10.0.0.5/24"})
    there = worlds.container("web", running=True, **NEW)
    assert claims(worlds.declared(there), "lab", worlds.view(own), worlds.POLICY) == ()
    moved = worlds.container("web", running=True, network=[{"name": "eth0", "ip": "10.0.0.6/24"}])
    assert [item.address for item in claims(worlds.declared(moved), "lab", worlds.view(own), worlds.POLICY)] == [
        "10.0.0.6"
    ]
    assert not moving(worlds.declared(moved), "lab", worlds.view(own), worlds.POLICY)
    spec = moved.spec.model_copy(update={"configure": Configure()})
    assert moving(worlds.declared(replace(moved, spec=spec)), "lab", worlds.view(own), worlds.POLICY)
