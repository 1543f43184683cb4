"""The parameters of the calls that make or change a guest: everything in one call wherever Proxmox allows it."""

from collections.abc import Sequence

from innkeeper.model.objects import Guest
from innkeeper.model.observed import Marker, ObservedGuest
from innkeeper.settings.compare import Difference
from innkeeper.settings.desired import Desired

Params = tuple[tuple[str, str], ...]


def made(guest: Guest, desired: Desired, template: str | None = None, clone: ObservedGuest | None = None) -> Params:
    """`Marker.made` of a guest that is about to be created: template, hash of ssh keys, clone source (`9000 name`)."""
    raise NotImplementedError


def owned_at_create(guest: Guest, desired: Desired) -> tuple[str, ...]:
    """`Marker.settings` of a guest that is about to be created; afterwards `compare` gives the same names."""
    raise NotImplementedError


def create_params(
    guest: Guest, desired: Desired, vmid: int, template: str | None, marker: Marker, version: tuple[int, int]
) -> Params:
    """Body of `POST /nodes/{node}/lxc` or `/qemu`: all settings, notes with marker, tags, pool, and `start=1` if
    `starts_itself`. `template` is a container's template as a volume id; None for a VM."""
    raise NotImplementedError


def starts_itself(desired: Desired) -> bool:
    """Whether `create_params` starts the guest; otherwise (kept stopped, or volumes to grow first) the plan does."""
    raise NotImplementedError


def resizes_after_create(desired: Desired) -> tuple[tuple[str, int], ...]:
    """(slot, bytes) to grow once created: imported disks come in the size of their image."""
    raise NotImplementedError


def clone_params(guest: Guest, desired: Desired, newid: int, marker: Marker, target: str | None = None) -> Params:
    """Body of `POST /nodes/{node}/qemu/{template}/clone`: name, notes with marker, pool, full, storage, target node.

    Everything else follows by `compare` against the cloned guest as it is read back (`update_params`).
    """
    raise NotImplementedError


def update_params(difference: Difference, observed: ObservedGuest, marker: Marker, desired: Desired) -> Params:
    """Body of one `PUT …/config`: set, delete, tags, and the notes with this marker. Empty when nothing is due.

    The digest is not in it: the call is guarded.
    """
    raise NotImplementedError


def resize_params(slot: str, size: int) -> Params:
    """Body of `PUT …/resize`; size in bytes."""
    raise NotImplementedError


def release_params(observed: ObservedGuest, names: Sequence[str] = ()) -> Params:
    """Body of the `PUT …/config` that takes marker and tag off a guest that we let go."""
    raise NotImplementedError
