"""Where a new guest goes: a node that has everything it asks for, and the lowest free vmid of the pool."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import ContainerNic, ContainerSpec, VirtualMachineNic, VirtualMachineSpec
from innkeeper.model.objects import ClusterSpec, Guest
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.units import MiB
from innkeeper.planner import templates
from innkeeper.settings.desired import Desired

DEFAULT_MEMORY = 512 * MiB
"""What Proxmox gives a guest whose memory is not said."""


@dataclass(slots=True)
class Room:
    """What is left on one cluster while a plan grows: vmids that are taken and memory that is promised."""

    taken: set[int]
    promised: dict[str, int] = field(default_factory=dict)
    _tried: int = 0

    def take_vmid(self, first: int, last: int) -> int | None:
        """The lowest vmid of the pool that is not taken, taken from now on; None where the pool is used up."""
        for vmid in range(max(first, self._tried), last + 1):
            if vmid not in self.taken:
                self.taken.add(vmid)
                self._tried = vmid
                return vmid
        return None

    def promise(self, node: str, memory: int) -> None:
        self.promised[node] = self.promised.get(node, 0) + memory


@dataclass(frozen=True, slots=True)
class Place:
    """`template` is the container's template on that node; `clone` the virtual machine's, with its node."""

    node: str
    template: str | None = None
    clone: ObservedGuest | None = None


@dataclass(frozen=True, slots=True)
class _Wants:
    """What a node must have: (storage, content) → field, bridge → field, template; `given` if it is given that."""

    storages: Mapping[tuple[str, str], str]
    bridges: Mapping[str, str]
    template: str | None
    clone: ObservedGuest | None
    given: bool = False


def memory_of(guest: Guest) -> int:
    return guest.spec.memory or DEFAULT_MEMORY


def place(
    guest: Guest, desired: Desired, cluster: ClusterSpec, view: ClusterView, room: Room, near: str = ""
) -> Place | tuple[Diagnostic, ...]:
    """The node for a new guest, or why there is none. `near`: where a guest that is replaced lives now."""
    clone: ObservedGuest | None = None
    if isinstance(guest.spec, VirtualMachineSpec) and guest.spec.clone is not None:
        found = find_clone(guest, guest.spec.clone.template, view)
        if isinstance(found, Diagnostic):
            return (found,)
        clone = found
    wants = _wants(guest, desired, clone)
    unknown = _unknown(guest, wants, view)
    if isinstance(guest.spec, ContainerSpec) and wants.template is None:
        unknown += (_no_template(guest),)
    pinned = guest.spec.node or cluster.defaults.node
    if pinned is not None and pinned not in view.nodes:
        unknown += (no_such(guest, "spec.node", "node", pinned, view.nodes),)
    if unknown:
        return unknown
    lacks = {name: _lacks(name, wants, view) for name in sorted(view.nodes)}
    if pinned is not None:
        if lacks[pinned]:
            return (_nowhere(guest, "spec.node", {pinned: lacks[pinned]}),)
        return _on(pinned, wants, view)
    fit = [name for name, missing in lacks.items() if not missing]
    if not fit:
        return (_nowhere(guest, "metadata.name", lacks),)
    if near in fit:
        return _on(near, wants, view)
    best = max(fit, key=lambda name: view.nodes[name].free_memory - room.promised.get(name, 0))
    return _on(best, wants, view)


def _on(node: str, wants: _Wants, view: ClusterView) -> Place:
    known = (view.templates or {}).get(node, ())
    template = wants.template if wants.given or not wants.template else templates.find(wants.template, known)
    return Place(node, template, wants.clone)


def _wants(guest: Guest, desired: Desired, clone: ObservedGuest | None) -> _Wants:
    container = isinstance(guest.spec, ContainerSpec)
    storages: dict[tuple[str, str], str] = {}
    # A clone's disks are made by the clone call; they live where the template's do, or on clone.storage.
    for volume in () if clone else desired.volumes:
        storage = volume.storage or desired.storage
        if storage is not None and volume.source is None:
            storages[storage, "rootdir" if container else "images"] = f"spec.{volume.where}.storage"
    if container and desired.storage and all(volume.slot != "rootfs" for volume in desired.volumes):
        storages[desired.storage, "rootdir"] = "spec.rootDisk"
    if clone and isinstance(guest.spec, VirtualMachineSpec) and guest.spec.clone and guest.spec.clone.storage:
        storages[guest.spec.clone.storage, "images"] = "spec.clone.storage"
    given = [image for image in guest.images if image.provided]
    storages.update(((image.storage, image.content), "spec") for image in given)
    bridges: dict[str, str] = {}
    for name in [*desired.parts, *desired.fallbacks]:
        parts = {**desired.fallbacks.get(name, {}), **desired.parts.get(name, {})}
        if name.startswith("net") and parts.get("bridge"):
            bridges[parts["bridge"]] = _nic_field(guest, parts["bridge"])
    template = desired.template if container else None
    return _Wants(storages, bridges, template, clone, any(image.volume == template for image in given))


def _nic_field(guest: Guest, bridge: str) -> str:
    network: Sequence[ContainerNic | VirtualMachineNic] = guest.spec.network or ()
    for at, nic in enumerate(network):
        if nic.bridge == bridge:
            return f"spec.network.{at}.bridge"
    return "spec.network"


def _unknown(guest: Guest, wants: _Wants, view: ClusterView) -> tuple[Diagnostic, ...]:
    """Names that no node of the cluster knows: most likely a slip of the pen."""
    found: list[Diagnostic] = []
    storages = {storage.name for storage in view.storages}
    for (storage, _), where in wants.storages.items():
        if storage not in storages:
            found.append(no_such(guest, where, "storage", storage, storages))
    if view.bridges is not None:
        bridges = set().union(*view.bridges.values())
        found += [
            no_such(guest, where, "bridge", bridge, bridges)
            for bridge, where in wants.bridges.items()
            if bridge not in bridges
        ]
    pool = guest.spec.pool
    if pool is not None and view.pools is not None and pool not in view.pools and _sees_pools(view):
        found.append(no_such(guest, "spec.pool", "pool", pool, view.pools))
    if wants.template is not None and view.templates is not None and not wants.given:
        volumes = [volume for node in view.templates.values() for volume in node]
        if templates.find(wants.template, volumes) is None:
            known = volumes if templates.is_volume(wants.template) else templates.short_names(volumes)
            found.append(no_such(guest, "spec.template", "template", wants.template, known))
    return tuple(found)


def _sees_pools(view: ClusterView) -> bool:
    """Whether a pool that is not shown does not exist: without Pool.Audit the list of pools is empty."""
    rights = view.privileges
    return rights is None or any("Pool.Audit" in rights.get(path, ()) for path in ("/", "/pool"))


def _lacks(name: str, wants: _Wants, view: ClusterView) -> list[str]:
    """What this node has not, as words for a person; empty where the guest may go."""
    if not view.nodes[name].online:
        return ["it is offline"]
    lacks: list[str] = []
    here = {storage.name: storage for storage in view.storages if storage.node == name}
    for storage, content in wants.storages:
        if storage not in here:
            lacks.append(f"no storage {storage}")
        elif content not in here[storage].content:
            lacks.append(f"storage {storage} does not take {content}")
        elif not here[storage].available:
            lacks.append(f"storage {storage} is not available")
    if view.bridges is not None and name in view.bridges:
        lacks += [f"no bridge {bridge}" for bridge in wants.bridges if bridge not in view.bridges[name]]
    if (
        wants.template
        and not wants.given
        and templates.find(wants.template, (view.templates or {}).get(name, ())) is None
    ):
        lacks.append(f"no template {wants.template}")
    if wants.clone is not None and name != wants.clone.node and not _shared(wants.clone, view):
        lacks.append(f"template {wants.clone.vmid} has disks that only {wants.clone.node} can reach")
    return lacks


def _shared(clone: ObservedGuest, view: ClusterView) -> bool:
    """Whether every disk of a template is on storage that all nodes share: only then may a clone go to another node.

    Source: PVE::API2::Qemu, method clone_vm, parameter `target`.
    """
    if clone.config is None:
        return False
    shared = {storage.name for storage in view.storages if storage.shared}
    disks = [value for key, value in clone.config.items() if _is_disk(key)]
    return all(
        value.partition(":")[0] in shared for value in disks if ":" in value.partition(",")[0] and "cdrom" not in value
    )


def _is_disk(key: str) -> bool:
    return key.rstrip("0123456789") in ("ide", "sata", "scsi", "virtio", "efidisk", "tpmstate") and key[-1].isdigit()


def find_clone(guest: Guest, template: int | str, view: ClusterView) -> ObservedGuest | Diagnostic:
    """The virtual machine template that is meant by vmid or name."""
    known = {seen.vmid: seen for seen in view.guests.values() if seen.kind == "VirtualMachine" and seen.template}
    found = [seen for seen in known.values() if template in (seen.vmid, seen.name)]
    if len(found) == 1:
        return found[0]
    if found:
        these = ", ".join(f"{seen.vmid} on {seen.node}" for seen in found)
        return _error(
            guest,
            "spec.clone.template",
            "AmbiguousTemplate",
            f"{len(found)} templates are called {template}",
            f"Name one by its vmid: {these}.",
        )
    plain = view.guests.get(template) if isinstance(template, int) else None
    if plain is not None:
        return _error(
            guest,
            "spec.clone.template",
            "NotATemplate",
            f"guest {template} is not a virtual machine template",
            f"Make it one (qm template {template}), or name another.",
        )
    words = [word for seen in known.values() for word in (str(seen.vmid), seen.name) if word]
    return no_such(guest, "spec.clone.template", "template", str(template), words)


def _no_template(guest: Guest) -> Diagnostic:
    return _error(
        guest,
        "spec.template",
        "NoTemplate",
        f"{guest.ref} names no template to be made from",
        "Set spec.template (debian-12, or a volume id), or spec.defaults.template of the cluster.",
    )


def _nowhere(guest: Guest, where: str, lacks: Mapping[str, Iterable[str]]) -> Diagnostic:
    if len(lacks) == 1:
        node, missing = next(iter(lacks.items()))
        return _error(
            guest,
            where,
            "NodeUnfit",
            f"{guest.ref} cannot be created on node {node}: {', '.join(missing)}",
            "Bring the node what it lacks, or name another node.",
        )
    reasons = "; ".join(f"{node}: {', '.join(missing)}" for node, missing in lacks.items())
    return _error(guest, where, "NoNode", f"no node can take {guest.ref}", f"{reasons}." if reasons else "")


def no_such(guest: Guest, where: str, what: str, word: str, known: Collection[str]) -> Diagnostic:
    """`Unknown…` with the nearest word and what there is."""
    shown, left = sorted(set(known))[:12], len(set(known)) - 12
    more = f" and {left} more" if left > 0 else ""
    there = f"There is {', '.join(shown)}{more}." if shown else f"There is no {what} at all."
    return _error(
        guest,
        where,
        f"Unknown{what.capitalize()}",
        f"{what} {word} does not exist{nearest(word, known)}",
        there,
    )


def nearest(word: str, known: Collection[str]) -> str:
    """` (did you mean …?)`, or nothing where no word is near."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def _error(guest: Guest, where: str, code: str, summary: str, detail: str) -> Diagnostic:
    return Diagnostic("error", code, summary, detail, guest.origin.at(where))
