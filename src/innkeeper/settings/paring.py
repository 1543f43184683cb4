"""The manifest of a guest that is ours already: it says no more than what its marker says that we set."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from innkeeper.model.diagnostics import Location
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import ClusterDefaults, Guest, Origin, Ref
from innkeeper.model.observed import Marker, ObservedGuest
from innkeeper.settings.compare import compare
from innkeeper.settings.desired import compile_guest

_KEPT = frozenset({"cluster", "vmid", "node", "running"})
"""Fields that no setting stands behind."""
_NAMES = frozenset({"slot", "name", "path", "storage", "size", "source"})
"""What says which nic or volume is meant, and would be needed to make it again."""

Path = tuple[str | int, ...]


def pared(
    spec: Mapping[str, Any], observed: ObservedGuest, marker: Marker, version: tuple[int, int]
) -> Mapping[str, Any]:
    """`spec` (file spelling, true of the guest) without what is not ours to set, so that planning it is empty."""
    wanted = frozenset(marker.settings)
    for name in [name for name in spec if name not in _KEPT]:
        spec = _shrunk(spec, (name,), lambda found: wanted <= _owned(found, observed, marker, version))
    return spec


def _shrunk(spec: Mapping[str, Any], path: Path, enough: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """The spec without what lies at `path`, else without as much of its inside as can go."""
    smaller = cast(dict[str, Any], _without(spec, path))
    if enough(smaller):
        return smaller
    # From the end, so that a list's places stay what they were.
    for part in reversed([part for part in _parts(spec, path) if part not in _NAMES]):
        spec = _shrunk(spec, (*path, part), enough)
    return spec


def _parts(spec: Any, path: Path) -> Iterator[str | int]:
    for part in path:
        spec = spec[part]
    if isinstance(spec, Mapping):
        yield from spec
    elif isinstance(spec, list | tuple):
        yield from range(len(spec))


def _without(value: Any, path: Path) -> dict[str, Any] | list[Any]:
    head, rest = path[0], path[1:]
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    left: list[tuple[Any, Any]] = [
        (name, _without(item, rest) if name == head else item) for name, item in items if rest or name != head
    ]
    return dict(left) if isinstance(value, Mapping) else [item for _, item in left]


def _owned(
    spec: Mapping[str, Any], observed: ObservedGuest, marker: Marker, version: tuple[int, int]
) -> frozenset[str]:
    """The settings that this spec would set; none where it is no valid spec, or not true of the guest."""
    model: type[ContainerSpec] | type[VirtualMachineSpec] = (
        ContainerSpec if observed.kind == "Container" else VirtualMachineSpec
    )
    try:
        valid = model.model_validate_json(json.dumps(spec))
    except ValidationError:
        return frozenset()
    guest = Guest(Ref(marker.kind, marker.name), valid, Origin(Location("")))
    desired, problems = compile_guest(guest, ClusterDefaults(), version)
    if any(item.severity == "error" for item in problems):
        return frozenset()
    difference = compare(guest, desired, observed, version, marker.source)
    return frozenset() if difference.changes or difference.refused else frozenset(difference.owned)
