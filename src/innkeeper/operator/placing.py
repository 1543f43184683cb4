"""Where a new machine goes: the node with most memory left that may take it, and a vmid that nobody has.

The planner knows what a node must have (storages, bridges, the template); what is added here is what ProxmoxCluster and
ProxmoxNode allow and whether there is room. Pure.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import Cluster, Guest
from innkeeper.model.observed import ClusterView, Node
from innkeeper.model.units import MiB, format_quantity
from innkeeper.operator.reports import Report, of_findings, problem
from innkeeper.planner.place import Place, Room, memory_of, place
from innkeeper.settings.desired import compile_guest


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a ProxmoxCluster lets its machines use (empty: everything), and how many machines a node may hold."""

    nodes: frozenset[str] = frozenset()
    storages: frozenset[str] = frozenset()
    bridges: frozenset[str] = frozenset()
    machines: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Ground:
    """One cluster while places are given away: each one narrows what is left for the next."""

    cluster: Cluster
    view: ClusterView
    allowed: Allowed
    taken: set[int]
    """Vmids that exist, or that are promised to an object."""
    machines: Counter[str]
    """By node, with those that are promised."""
    memory: Counter[str] = field(default_factory=Counter)
    _tried: int = 0

    def vmid(self) -> int | None:
        """The lowest free one of the cluster's pool, taken from now on."""
        pool = self.cluster.spec.vmids
        for vmid in range(max(self._tried, pool.first), pool.last + 1):
            if vmid not in self.taken:
                self.taken.add(vmid)
                self._tried = vmid
                return vmid
        return None


def forbidden(guest: Guest, allowed: Allowed) -> Report | None:
    """What a machine names and its ProxmoxCluster does not allow."""
    spec = guest.spec
    named = [("storage", name, allowed.storages, "StorageNotAllowed") for name in _storages(spec)]
    named += [("bridge", nic.bridge, allowed.bridges, "BridgeNotAllowed") for nic in spec.network or ()]
    named.append(("node", spec.node, allowed.nodes, "NodeNotAllowed"))
    for what, name, names, reason in named:
        if name is not None and names and name not in names:
            return problem(
                reason, f"{what} {name} is not one that its ProxmoxCluster allows: {', '.join(sorted(names))}"
            )
    return None


def _storages(spec: ContainerSpec | VirtualMachineSpec) -> Iterator[str | None]:
    if isinstance(spec, VirtualMachineSpec):
        yield from (disk.storage for disk in spec.disks or ())
    else:
        yield spec.root_disk.storage if spec.root_disk else None
        yield from (mount.storage for mount in spec.mounts or ())


def choose(guest: Guest, ground: Ground) -> str | Report:
    """The node for a new machine, its room taken from now on; or why no node can have it."""
    desired, _ = compile_guest(guest, ground.cluster.spec.defaults, ground.view.version)
    fit: list[tuple[int, str]] = []
    lacks: dict[str, str] = {}
    findings: tuple[object, ...] = ()
    wanted = guest.spec.node or ground.cluster.spec.defaults.node
    for name, node in sorted(ground.view.nodes.items()):
        if wanted not in (None, name):
            continue
        if missing := _lacks(guest, node, ground):
            lacks[name] = missing
            continue
        pinned = Guest(guest.ref, guest.spec.model_copy(update={"node": name}), guest.origin, guest.labels)
        found = place(pinned, desired, ground.cluster.spec, ground.view, Room(set()))
        if isinstance(found, Place):
            fit.append((_left(node, ground), name))
        else:
            findings = found
            lacks[name] = "; ".join(f"{item.summary}" for item in found)
    if fit:
        _, best = max(fit, key=lambda item: (item[0], item[1]))
        ground.memory[best] += memory_of(guest)
        ground.machines[best] += isinstance(guest.spec, VirtualMachineSpec)
        return best
    if findings and len(lacks) == len(ground.view.nodes) == 1:
        return of_findings(findings)  # type: ignore[arg-type]
    reasons = "; ".join(f"{name}: {missing}" for name, missing in lacks.items())
    return problem("InsufficientResources", f"insufficient resources on node: {reasons or 'there is no such node'}")


def _left(node: Node, ground: Ground) -> int:
    return node.free_memory - ground.memory[node.name]


def _lacks(guest: Guest, node: Node, ground: Ground) -> str:
    spec = guest.spec
    allowed = ground.allowed
    if not node.online:
        return "it is offline"
    if allowed.nodes and node.name not in allowed.nodes:
        return "its ProxmoxCluster does not allow it"
    cores = (spec.cpu.cores or 1) if spec.cpu else 1
    cores *= (spec.cpu.sockets or 1) if isinstance(spec, VirtualMachineSpec) and spec.cpu else 1
    if cores > node.cpus:
        return f"it has {node.cpus} processors, {cores} are asked for"
    if memory_of(guest) > _left(node, ground):
        left = max(0, _left(node, ground)) // MiB * MiB
        return f"it has {format_quantity(left)} of memory left, {format_quantity(memory_of(guest))} are asked for"
    most = allowed.machines.get(node.name)
    here = ground.machines[node.name]
    if most is not None and here >= most and isinstance(spec, VirtualMachineSpec):
        return f"it has {here} machines, maxVMs is {most}"
    return ""


def machines(view: ClusterView) -> Counter[str]:
    """How many virtual machines each node has, templates aside."""
    return Counter(seen.node for seen in view.guests.values() if seen.kind == "VirtualMachine" and not seen.template)
