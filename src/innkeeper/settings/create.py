"""The parameters of the calls that make or change a guest: everything in one call wherever Proxmox allows it."""

from collections.abc import Iterator

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.model.objects import Guest
from innkeeper.model.observed import Marker, ObservedGuest
from innkeeper.settings import canonical, table
from innkeeper.settings.compare import Difference
from innkeeper.settings.desired import Desired, problem
from innkeeper.settings.made import NAME
from innkeeper.settings.marker import NOTES_LIMIT, TAG, room, write_marker
from innkeeper.settings.volumes import ROOT_DISK, Volume, gib, missing, request

Params = tuple[tuple[str, str], ...]


def create_problems(guest: Guest, desired: Desired) -> tuple[Diagnostic, ...]:
    """Why a guest that does not exist yet cannot be made: volumes without a storage or size, a boot order that names
    what is not there, notes that leave no room for the marker."""
    if isinstance(guest.spec, VirtualMachineSpec) and guest.spec.clone:
        return tuple(_too_long(guest, desired))
    lacking = (
        problem(guest, volume.where, *trouble)
        for volume in desired.volumes
        if not (volume.cloud_init and not volume.storage)
        if (trouble := missing(volume, desired.storage))
    )
    return (*lacking, *_boot_order(guest, desired), *_too_long(guest, desired))


def _boot_order(guest: Guest, desired: Desired) -> Iterator[Diagnostic]:
    there = {*desired.parts, *(slot for _, slot in _slots(guest, desired))}
    for device in canonical.items(desired.parts.get("boot", {}).get("order", "")):
        if device not in there:
            detail = f"declare it, or name one of {', '.join(sorted(there - {'boot'})) or 'the disks'}"
            yield problem(guest, "bootOrder", "NoSuchDevice", f"bootOrder names {device}, which does not exist", detail)


def _too_long(guest: Guest, desired: Desired) -> Iterator[Diagnostic]:
    left = room(desired.description or "", owned_at_create(guest, desired))
    if left < 0:
        text = f"description is {-left} characters too long: Innkeeper's marker needs room in the notes, too"
        yield problem(guest, "description", "DescriptionTooLong", text, f"Proxmox keeps {NOTES_LIMIT} characters")


def owned_at_create(guest: Guest, desired: Desired) -> tuple[str, ...]:
    """`Marker.settings` of a guest about to be created or cloned; afterwards `compare` gives the same names."""
    names = {NAME[guest.ref.kind], *desired.scalars}
    for name, parts in desired.parts.items():
        names |= {f"{name}.{part}" for part in parts} or {name}
    for volume, slot in _slots(guest, desired):
        setting = table.find(guest.ref.kind, slot)
        assert setting is not None
        names |= {f"{slot}.{part}" for part in (setting.key, *volume.parts)}
        names |= {f"{slot}={volume.path}"} if volume.path else set()
    fields = {"pool": desired.pool, "tags": desired.tags, "description": desired.description}
    names |= {f"tags.{mark}" for mark in desired.marks}
    return tuple(sorted(names | {name for name, value in fields.items() if value is not None}))


def create_params(
    guest: Guest, desired: Desired, vmid: int, template: str | None, marker: Marker, version: tuple[int, int]
) -> Params:
    """Body of `POST /nodes/{node}/lxc` or `/qemu`.

    All settings, volumes, notes with marker, tags, pool, and `start=1` if `starts_itself`. `template` is a container's
    template as a volume id; None for a VM. ValueError where `create_problems` has something to say.
    """
    params = {"vmid": str(vmid), NAME[guest.ref.kind]: desired.name}
    params |= {name: value for name, value in desired.scalars.items() if value}
    for name, parts in desired.parts.items():
        setting = table.find(guest.ref.kind, name)
        whole = {**desired.fallbacks.get(name, {}), **{part: value for part, value in parts.items() if value}}
        if setting and whole:
            params[name] = setting.render(whole)
    for volume, slot in _slots(guest, desired):
        params[slot] = request(guest.ref.kind, volume, slot, desired.storage)
    if template:
        params["ostemplate"] = template
        if desired.storage:
            params.setdefault("rootfs", f"{desired.storage}:{gib(ROOT_DISK)}")
    if desired.ssh_keys:
        params["ssh-public-keys"] = "\n".join(desired.ssh_keys) + "\n"
    if desired.pool:
        params["pool"] = desired.pool
    params["tags"] = ";".join(_tags(desired))
    params["description"] = write_marker(desired.description or "", marker)
    if starts_itself(desired):
        params["start"] = "1"
    return tuple(sorted(params.items()))


def starts_itself(desired: Desired) -> bool:
    """Whether `create_params` starts the guest; otherwise (kept stopped, or volumes to grow first) the plan does."""
    return desired.running is True and not resizes_after_create(desired)


def resizes_after_create(desired: Desired) -> tuple[tuple[str, int], ...]:
    """(slot, bytes) to grow once created: imported disks come in the size of their image.

    Compare again before growing: an image may have that size already.
    """
    return tuple(
        (volume.slot, volume.size) for volume in desired.volumes if volume.import_from and volume.slot and volume.size
    )


def clone_params(guest: Guest, desired: Desired, newid: int, marker: Marker, target: str | None = None) -> Params:
    """Body of `POST /nodes/{node}/qemu/{template}/clone`: name, notes with marker, pool, full, storage, target node.

    Everything else follows by `compare` against the cloned guest as it is read back (`update_params`).
    """
    assert isinstance(guest.spec, VirtualMachineSpec)
    assert guest.spec.clone is not None
    params = {
        "newid": str(newid),
        "name": desired.name,
        "description": write_marker(desired.description or "", marker),
        "full": str(int(guest.spec.clone.full)),
    }
    if guest.spec.clone.full and guest.spec.clone.storage:
        params["storage"] = guest.spec.clone.storage
    if desired.pool:
        params["pool"] = desired.pool
    if target:
        params["target"] = target
    return tuple(sorted(params.items()))


def update_params(difference: Difference, observed: ObservedGuest, marker: Marker, desired: Desired) -> Params:
    """Body of one `PUT …/config`: set, delete, tags, and the notes with this marker. Empty when nothing is due.

    The digest is not in it: the call is guarded.
    """
    if not difference.writes_config:
        return ()
    visible = observed.description if difference.description is None else difference.description
    params = {**difference.set, "description": write_marker(visible, marker)}
    if difference.delete:
        params["delete"] = ",".join(difference.delete)
    if difference.tags is not None:
        params["tags"] = ";".join(difference.tags)
    return tuple(sorted(params.items()))


def resize_params(slot: str, size: int) -> Params:
    """Body of `PUT …/resize`: to this many bytes."""
    return (("disk", slot), ("size", f"{size >> 10}K" if size % 1024 == 0 else str(size)))


def _tags(desired: Desired) -> tuple[str, ...]:
    return canonical.tags(" ".join((*(desired.tags or ()), *desired.marks, TAG)))


def _slots(guest: Guest, desired: Desired) -> Iterator[tuple[Volume, str]]:
    """Each volume that creation makes, with its slot: mounts without one take the lowest free."""
    taken = {volume.slot for volume in desired.volumes if volume.slot}
    free = (slot for slot in table.slots("Container", "mp") if slot not in taken)
    for volume in desired.volumes:
        if volume.cloud_init and not (volume.storage or desired.storage):
            continue
        yield volume, volume.slot or next(free)
