"""Placement: the node that has everything, the vmid that nothing has, and what is said where there is none."""

from dataclasses import replace
from typing import Any

import pytest

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Guest
from innkeeper.model.observed import ClusterView, Node, Storage
from innkeeper.model.units import GiB
from innkeeper.planner.place import Place, Room, place
from innkeeper.settings.desired import compile_guest
from tests.innkeeper.planner.worlds import TEMPLATE, cluster, container, machine, seen, storages, view


def put(guest: Guest, world: ClusterView, room: Room | None = None, **spec: Any) -> Place | tuple[Diagnostic, ...]:
    lab = cluster(**spec)
    desired, findings = compile_guest(guest, lab.spec.defaults, world.version)
    assert not findings
    return place(guest, desired, lab.spec, world, room or Room(set()))


def node_of(guest: Guest, world: ClusterView, room: Room | None = None, **spec: Any) -> str:
    found = put(guest, world, room, **spec)
    assert isinstance(found, Place), found
    return found.node


def refusal(guest: Guest, world: ClusterView, **spec: Any) -> Diagnostic:
    found = put(guest, world, **spec)
    assert isinstance(found, tuple)
    (finding,) = found
    return finding


def test_most_free_memory_wins() -> None:
    assert node_of(container("web"), view()) == "pve2"


def test_what_is_promised_counts() -> None:
    assert node_of(container("web"), view(), Room(set(), {"pve2": 20 * GiB})) == "pve1"


def test_a_preference_wins_over_memory() -> None:
    assert node_of(container("web", node="pve1"), view()) == "pve1"
    assert node_of(container("web"), view(), defaults={"node": "pve1", "template": "debian-12"}) == "pve1"


def test_a_node_that_lacks_something_is_passed_over() -> None:
    world = view(bridges={"pve1": frozenset({"vmbr0", "vmbr7"}), "pve2": frozenset({"vmbr0"})})
    assert node_of(container("web", network=[{"bridge": "vmbr7"}]), world) == "pve1"
    assert node_of(container("web"), view(templates={"pve1": (TEMPLATE,), "pve2": ()})) == "pve1"
    only = (*storages(["pve1", "pve2"]), Storage("fast", "pve1", frozenset({"rootdir"})))
    assert node_of(container("web", rootDisk={"storage": "fast", "size": "1Gi"}), view(storages=only)) == "pve1"
    dark = {"pve1": Node("pve1", True, 1, 1), "pve2": Node("pve2", False, 64 * GiB, 64 * GiB)}
    assert node_of(container("web"), view(nodes=dark)) == "pve1"


def test_the_newest_template_of_that_node() -> None:
    newer = TEMPLATE.replace("12.7", "12.12")
    found = put(container("web"), view(templates={"pve1": (TEMPLATE,), "pve2": (TEMPLATE, newer)}))
    assert isinstance(found, Place)
    assert found.template == newer


@pytest.mark.parametrize(
    ("spec", "code", "said"),
    [
        ({"node": "pve3"}, "UnknownNode", "did you mean pve"),
        ({"rootDisk": {"storage": "btrr", "size": "1Gi"}}, "UnknownStorage", "did you mean btr"),
        ({"mounts": [{"path": "/x", "storage": "nass", "size": "1Gi"}]}, "UnknownStorage", "did you mean nas"),
        ({"network": [{"bridge": "vmbr9"}]}, "UnknownBridge", "did you mean vmbr"),
        ({"pool": "app"}, "UnknownPool", "did you mean apps"),
        ({"template": "debian-21"}, "UnknownTemplate", "did you mean debian-12-standard"),
        ({"template": "local:vztmpl/gone.tar.zst"}, "UnknownTemplate", "does not exist"),
    ],
)
def test_unknown_words(spec: dict[str, Any], code: str, said: str) -> None:
    finding = refusal(container("web", **spec), view())
    assert finding.code == code
    assert said in finding.summary + finding.detail
    assert finding.location is not None


def test_pools_that_may_not_be_seen_are_not_unknown() -> None:
    world = view(pools=frozenset(), privileges={"/": frozenset({"VM.Audit"})})
    assert node_of(container("web", pool="apps"), world) == "pve2"


def test_no_node_says_what_each_lacks() -> None:
    world = view(
        templates={"pve1": (TEMPLATE,), "pve2": ()}, bridges={"pve1": frozenset(), "pve2": frozenset({"vmbr0"})}
    )
    finding = refusal(container("web", network=[{"bridge": "vmbr0"}]), world)
    assert finding.code == "NoNode"
    assert "pve1: no bridge vmbr0" in finding.detail
    assert "pve2: no template debian-12" in finding.detail


def test_a_preferred_node_that_is_offline_is_waited_for() -> None:
    dark = {"pve1": Node("pve1", True, 1, 1), "pve2": Node("pve2", False)}
    finding = refusal(container("web", node="pve2"), view(nodes=dark))
    assert (finding.code, "it is offline" in finding.summary) == ("NodeUnfit", True)


def test_a_container_without_a_template() -> None:
    assert refusal(container("web"), view(), defaults={"storage": "btr"}).code == "NoTemplate"


def disk_template(storage: str, **other: Any) -> Any:
    config = {"scsi0": f"{storage}:base-900-disk-0,size=8G", "ide2": "none,media=cdrom"}
    return replace(seen(900, "golden", kind="VirtualMachine", template=True, config=config), **other)


def test_a_clone_stays_where_its_template_can_be_reached() -> None:
    guest = machine("vm", clone={"template": "golden"})
    assert node_of(guest, view(disk_template("btr"))) == "pve1"
    assert node_of(guest, view(disk_template("nas"))) == "pve2"
    finding = refusal(machine("vm", clone={"template": 900}, node="pve2"), view(disk_template("btr")))
    assert "only pve1 can reach" in finding.summary


def test_clone_templates_that_are_none() -> None:
    world = view(
        disk_template("btr"), replace(disk_template("btr"), vmid=901), seen(902, "plain", kind="VirtualMachine")
    )
    assert refusal(machine("vm", clone={"template": "golden"}), world).code == "AmbiguousTemplate"
    assert refusal(machine("vm", clone={"template": 902}), world).code == "NotATemplate"
    assert "did you mean golden" in refusal(machine("vm", clone={"template": "goldn"}), world).summary


def test_vmids_are_the_lowest_that_are_free() -> None:
    room = Room({1000, 1002})
    assert [room.take_vmid(1000, 1004) for _ in range(4)] == [1001, 1003, 1004, None]
