"""Whether what manifests name exists on the cluster: nodes, storages, bridges, pools, templates."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import ContainerNic, ContainerSpec, VirtualMachineNic, VirtualMachineSpec
from innkeeper.model.images import REFERENCE
from innkeeper.model.objects import Cluster, Declared, Guest, Origin
from innkeeper.model.observed import ClusterView
from innkeeper.planner import templates
from innkeeper.planner.build import guests_of

_CONTENTS = {
    "rootdir": "volumes of containers",
    "images": "disks of virtual machines",
    "vztmpl": "templates of containers",
    "import": "disks to import",
}


@dataclass(frozen=True, slots=True)
class _Name:
    """A name in a manifest and where it stands; `content` is what a storage must be able to hold."""

    kind: str
    name: str
    origin: Origin
    path: str
    content: str = ""

    @property
    def shown(self) -> str:
        return re.sub(r"\.(\d+)", r"[\1]", self.path)


def missing_things(declared: Declared, cluster: Cluster, view: ClusterView) -> Iterator[Diagnostic]:
    """An error for every name that the cluster does not have. What the view could not see counts as there."""
    known = _known(view)
    said: set[tuple[str, str, str]] = set()
    names = [*_defaults(cluster)]
    for guest in guests_of(declared, cluster.name):
        names += _named(guest)
    for item in names:
        there = known.get(item.kind)
        if there and item.name not in there:
            yield _unknown(item, cluster, there)
        elif item.content and item.kind == "storage" and there:
            yield from _unfit(item, view)
        elif item.kind == "template" and view.templates and (item.kind, item.name, "") not in said:
            said.add((item.kind, item.name, ""))
            yield from _no_template(item, cluster, view)
    if view.complete:
        for guest in guests_of(declared, cluster.name):
            yield from _no_clone_source(guest, cluster, view)


def _known(view: ClusterView) -> dict[str, Collection[str]]:
    """Empty collections prove nothing: the token may not be allowed to see."""
    bridges = {name for names in (view.bridges or {}).values() for name in names}
    return {
        "node": tuple(view.nodes),
        "storage": {storage.name for storage in view.storages},
        "bridge": bridges,
        "pool": view.pools or (),
    }


def _defaults(cluster: Cluster) -> Iterator[_Name]:
    defaults = cluster.spec.defaults
    for kind in ("node", "storage", "bridge", "template"):
        name = getattr(defaults, kind)
        if name is not None and not (kind == "template" and name.startswith(REFERENCE)):
            yield _Name(kind, name, cluster.origin, f"spec.defaults.{kind}")


def _named(guest: Guest) -> Iterator[_Name]:
    spec, origin = guest.spec, guest.origin
    found: list[tuple[str, str | None, str, str]] = [("node", spec.node, "node", ""), ("pool", spec.pool, "pool", "")]
    nics: Iterable[ContainerNic | VirtualMachineNic] = spec.network or ()
    found += (("bridge", nic.bridge, f"network.{index}.bridge", "") for index, nic in enumerate(nics))
    given = {image.volume: image for image in guest.images if image.provided}
    if isinstance(spec, ContainerSpec):
        if spec.template in given:
            found.append(("storage", given[spec.template].storage, "template", "vztmpl"))
        else:
            found.append(("template", spec.template, "template", ""))
        if spec.root_disk is not None:
            found.append(("storage", spec.root_disk.storage, "rootDisk.storage", "rootdir"))
        mounts = enumerate(spec.mounts or ())
        found += (("storage", mount.storage, f"mounts.{index}.storage", "rootdir") for index, mount in mounts)
    else:
        disks = enumerate(spec.disks or ())
        for index, disk in disks:
            found.append(("storage", disk.storage, f"disks.{index}.storage", "images"))
            if disk.import_from in given:
                found.append(("storage", given[disk.import_from].storage, f"disks.{index}.importFrom", "import"))
        if spec.cloud_init is not None:
            found.append(("storage", spec.cloud_init.storage, "cloudInit.storage", "images"))
        if spec.clone is not None:
            found.append(("storage", spec.clone.storage, "clone.storage", "images"))
    for kind, name, path, content in found:
        if name is not None:
            yield _Name(kind, name, origin, f"spec.{path}", content)


def _unknown(item: _Name, cluster: Cluster, there: Collection[str]) -> Diagnostic:
    near = difflib.get_close_matches(item.name, there, n=1)
    listed = ", ".join(sorted(there)[:20])
    detail = (f"Did you mean {near[0]}? " if near else "") + f"{item.kind.capitalize()}s: {listed}."
    summary = f"{item.shown}: cluster {cluster.name} has no {item.kind} {item.name}"
    return Diagnostic("error", f"Unknown{item.kind.capitalize()}", summary, detail, item.origin.at(item.path))


def _unfit(item: _Name, view: ClusterView) -> Iterator[Diagnostic]:
    if not any(item.content in storage.content for storage in view.storages if storage.name == item.name):
        fit = sorted({storage.name for storage in view.storages if item.content in storage.content})
        what = _CONTENTS[item.content]
        detail = f"Storages that may: {', '.join(fit) or 'none'}."
        summary = f"{item.shown}: storage {item.name} does not hold {what} ({item.content})"
        yield Diagnostic("error", "StorageContent", summary, detail, item.origin.at(item.path))


def _no_template(item: _Name, cluster: Cluster, view: ClusterView) -> Iterator[Diagnostic]:
    volumes = sorted({volume for there in (view.templates or {}).values() for volume in there})
    if volumes and templates.find(item.name, volumes) is None:
        words = volumes if templates.is_volume(item.name) else templates.short_names(volumes)
        near = difflib.get_close_matches(item.name, words, n=1)
        detail = (f"Did you mean {near[0]}? " if near else "") + f"Templates: {', '.join(words[:20])}."
        summary = f"{item.shown}: no node of cluster {cluster.name} has a template {item.name}"
        yield Diagnostic("error", "UnknownTemplate", summary, detail, item.origin.at(item.path))


def _no_clone_source(guest: Guest, cluster: Cluster, view: ClusterView) -> Iterator[Diagnostic]:
    if not isinstance(guest.spec, VirtualMachineSpec) or guest.spec.clone is None:
        return
    sources = [seen for seen in view.guests.values() if seen.template and seen.kind == "VirtualMachine"]
    there = {str(seen.vmid) for seen in sources} | {seen.name for seen in sources if seen.name}
    wanted = str(guest.spec.clone.template)
    if wanted not in there:
        near = difflib.get_close_matches(wanted, there, n=1)
        listed = ", ".join(sorted(there)[:20]) or "none"
        detail = (f"Did you mean {near[0]}? " if near else "") + f"Templates: {listed}."
        summary = f"spec.clone.template: cluster {cluster.name} has no template {wanted}"
        yield Diagnostic("error", "UnknownTemplate", summary, detail, guest.origin.at("spec.clone.template"))
