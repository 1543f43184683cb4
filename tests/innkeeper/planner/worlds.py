"""Small worlds to plan on: declared guests and what a cluster shows of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from innkeeper.model.diagnostics import Location
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import ADOPT, Cluster, ClusterSpec, Declared, Guest, Origin, Ref
from innkeeper.model.observed import ClusterView, Marker, Node, ObservedGuest, Storage
from innkeeper.model.units import GiB
from innkeeper.planner.policy import Policy

SOURCE = "home"
TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
POLICY = Policy(SOURCE, "r1")


def cluster(name: str = "lab", **spec: Any) -> Cluster:
    body = {
        "endpoints": ("https://127.0.0.1:8006",),
        "credentials": {"tokenID": "root@pam!full", "tokenSecret": {"env": "X"}},
        "defaults": {"storage": "btr", "bridge": "vmbr0", "template": "debian-12"},
        "vmids": {"from": 1000, "to": 1999},
    } | spec
    return Cluster(name, ClusterSpec.model_validate(body), Origin(Location("cluster.yaml", 1, 1)))


def container(name: str, adopt: bool = False, **spec: Any) -> Guest:
    return _guest("Container", name, ContainerSpec.model_validate(_tuples(spec)), adopt)


def machine(name: str, adopt: bool = False, **spec: Any) -> Guest:
    return _guest("VirtualMachine", name, VirtualMachineSpec.model_validate(_tuples(spec)), adopt)


def _guest(kind: str, name: str, spec: ContainerSpec | VirtualMachineSpec, adopt: bool) -> Guest:
    annotations = ((ADOPT, "true"),) if adopt else ()
    return Guest(Ref(kind, name), spec, Origin(Location(f"{name}.yaml", 1, 1)), annotations=annotations)


def _tuples(value: Any) -> Any:
    """Strict models take tuples; tests read better with lists."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def marker(name: str, vmid: int, kind: str = "Container", source: str = SOURCE, **made: str) -> Marker:
    facts = {"vmid": str(vmid)} | made
    return Marker(source, kind, name, "r0", (), tuple(sorted(facts.items())))


def seen(vmid: int, name: str | None = "web", owner: Marker | None = None, **other: Any) -> ObservedGuest:
    body: dict[str, Any] = {
        "kind": "Container",
        "node": "pve1",
        "power": "stopped",
        "config": {"hostname": name or "", "arch": "amd64"},
        "tags": ("innkeeper",) if owner else (),
        "digest": f"d{vmid}",
    } | other
    return ObservedGuest(vmid=vmid, name=name, marker=owner, **body)


def storages(nodes: Iterable[str]) -> tuple[Storage, ...]:
    found: list[Storage] = []
    for node in nodes:
        found.append(Storage("local", node, frozenset({"vztmpl", "iso", "images", "rootdir", "import"})))
        found.append(Storage("btr", node, frozenset({"images", "rootdir"})))
        found.append(Storage("nas", node, frozenset({"images", "rootdir"}), shared=True))
    return tuple(found)


def view(*guests: ObservedGuest, nodes: Mapping[str, Node] | None = None, **other: Any) -> ClusterView:
    nodes = nodes or {"pve1": Node("pve1", True, 64 * GiB, 30 * GiB), "pve2": Node("pve2", True, 64 * GiB, 40 * GiB)}
    body: dict[str, Any] = {
        "storages": storages(nodes),
        "bridges": {name: frozenset({"vmbr0", "vmbr1"}) for name in nodes},
        "templates": dict.fromkeys(nodes, (TEMPLATE,)),
        "pools": frozenset({"apps"}),
    } | other
    return ClusterView("lab", (9, 1), nodes, {guest.vmid: guest for guest in guests}, **body)


def declared(*guests: Guest) -> Declared:
    return Declared((cluster(),), (), guests)
