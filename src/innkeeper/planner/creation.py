"""The step that makes a guest: its node, its vmid, its calls."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.images import Image
from innkeeper.model.objects import Cluster, Guest, Ref
from innkeeper.model.observed import ClusterView, Marker, ObservedGuest
from innkeeper.model.plan import Change, Json, Operation, Step
from innkeeper.model.units import format_quantity
from innkeeper.planner import calls
from innkeeper.planner.place import Place, Room, memory_of, place
from innkeeper.planner.policy import Policy
from innkeeper.settings.create import (
    clone_params,
    create_params,
    create_problems,
    owned_at_create,
    resizes_after_create,
    starts_itself,
)
from innkeeper.settings.desired import Desired
from innkeeper.settings.made import made

_QUANTITIES = frozenset({"memory", "swap", "balloon", "size"})
_NOT_SHOWN = frozenset(
    {"cluster", "vmid", "node", "profile", "needs", "restart", "options", "configure", "health", "expose", "monitoring"}
)
_KEYS = {"mounts": "path", "disks": "slot"}


def create(
    guest: Guest,
    desired: Desired,
    cluster: Cluster,
    view: ClusterView,
    policy: Policy,
    room: Room,
    applied: str,
    former: ObservedGuest | None = None,
    keys: tuple[str, ...] = (),
) -> Step | tuple[Diagnostic, ...]:
    """The create step, or why the guest cannot be made. `former`: the guest that it replaces; `keys` are public keys
    that a container accepts beside the declared ones."""
    if problems := create_problems(guest, desired):
        return problems
    found = place(guest, desired, cluster.spec, view, room, former.node if former else "")
    if not isinstance(found, Place):
        return found
    vmid = _vmid(guest, cluster, room)
    if isinstance(vmid, Diagnostic):
        return (vmid,)
    room.promise(found.node, memory_of(guest))
    facts = {**dict(made(guest, desired, found.template, found.clone)), "vmid": str(vmid), "applied": applied}
    owned = owned_at_create(guest, desired)
    lacking = _lacking(guest, found, view)
    marker = Marker(policy.source, guest.ref.kind, guest.ref.name, policy.revision, owned, tuple(sorted(facts.items())))
    return Step(
        "create",
        guest.ref,
        cluster.name,
        found.node,
        vmid,
        "none",
        changes_of(guest),
        "; ".join(("declared, and not on the cluster", *map(_brought, lacking))),
        needs_of(guest),
        operations=(
            *(calls.provide(image, found.node) for image in lacking),
            *_operations(guest, with_keys(desired, keys), found, vmid, marker, view),
        ),
        running=desired.running,
    )


def _lacking(guest: Guest, found: Place, view: ClusterView) -> list[Image]:
    """The images of the guest that its node is to be given."""
    there = (view.templates or {}).get(found.node, ())
    return [image for image in guest.images if image.provided and image.volume not in there]


def _brought(image: Image) -> str:
    return f"image {image.name} is {'built' if image.build is not None else 'downloaded'} first"


def with_keys(desired: Desired, keys: tuple[str, ...]) -> Desired:
    """For the create call only: what a container was made with, as its marker remembers it, is what is declared."""
    own = desired.ssh_keys or ()
    return replace(desired, ssh_keys=(*own, *(key for key in keys if key not in own))) if keys else desired


def _vmid(guest: Guest, cluster: Cluster, room: Room) -> int | Diagnostic:
    if guest.spec.vmid is not None:
        return guest.spec.vmid
    pool = cluster.spec.vmids
    vmid = room.take_vmid(pool.first, pool.last)
    if vmid is not None:
        return vmid
    return Diagnostic(
        "error",
        "NoFreeVmid",
        f"cluster {cluster.name} has no free vmid from {pool.first} to {pool.last} for {guest.ref}",
        "Widen spec.vmids of the cluster, or remove guests.",
        cluster.origin.at("spec.vmids"),
    )


def _operations(
    guest: Guest, desired: Desired, found: Place, vmid: int, marker: Marker, view: ClusterView
) -> tuple[Operation, ...]:
    path = f"{calls.base(guest.ref.kind, found.node)}/{vmid}"
    if found.clone is not None:
        target = found.node if found.node != found.clone.node else None
        first = calls.clone(found.clone, clone_params(guest, desired, vmid, marker, target))
        return first, calls.finish(guest.ref.kind, found.node, vmid)
    params = create_params(guest, desired, vmid, found.template, marker, view.version)
    new = calls.create(guest, found.node, params)
    if resizes_after_create(desired):
        return new, calls.finish(guest.ref.kind, found.node, vmid)
    if desired.running and not starts_itself(desired):
        return new, calls.start(path)
    return (new,)


def needs_of(guest: Guest) -> tuple[Ref, ...]:
    return tuple(Ref(*need.split("/", 1)) for need in guest.spec.needs)


def changes_of(guest: Guest) -> tuple[Change, ...]:
    """All that the manifest names, one field a change, as a person would read it."""
    spec = guest.spec.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    nic = "eth0" if guest.ref.kind == "Container" else "net0"
    fields = [item for key, value in spec.items() if key not in _NOT_SHOWN for item in _flat(key, value, key, nic)]
    fields += [(f"options.{key}", value) for key, value in guest.spec.options.items()]
    return tuple(Change(field, None, value, "none") for field, value in fields)


def _flat(field: str, value: Json, key: str, nic: str) -> Iterable[tuple[str, Json]]:
    if isinstance(value, Mapping):
        for inner, item in value.items():
            yield from _flat(f"{field}.{inner}", item, inner, nic)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for item in value:
            assert isinstance(item, Mapping)
            name = item.get(_KEYS.get(key, "name")) or item.get("slot") or (nic if key == "network" else "")
            rest = {inner: part for inner, part in item.items() if inner not in ("name", "slot", "path")}
            if rest:
                yield from _flat(f"{field}.{name}", rest, str(name), nic)
            else:
                yield f"{field}.{name}", "new"
    elif key in _QUANTITIES and isinstance(value, int):
        yield field, format_quantity(value) if value else 0
    else:
        yield field, int(value) if isinstance(value, float) and value.is_integer() else value
