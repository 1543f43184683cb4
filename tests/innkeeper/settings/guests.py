"""Declared and observed guests, in the few words that a test of the settings needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from innkeeper.model.diagnostics import Location
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import ClusterDefaults, Guest, Origin, Ref
from innkeeper.model.observed import ObservedGuest
from innkeeper.settings.compare import Difference, compare
from innkeeper.settings.desired import Desired, compile_guest
from innkeeper.settings.marker import read_marker

SOURCE = "git@example.org:home.git"
TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
DEFAULTS = ClusterDefaults.model_validate({"storage": "btr", "bridge": "vmbr0", "template": "debian-12"})
V91, V84 = (9, 1), (8, 4)


def declared(kind: str, spec: Mapping[str, Any], name: str = "web") -> Guest:
    """A guest as a manifest's `spec` (file spelling) declares it."""
    model = ContainerSpec if kind == "Container" else VirtualMachineSpec
    place = Location("web.yaml", 1, 1)
    fields = {f"spec.{path}": Location("web.yaml", 10 + at, 3) for at, path in enumerate(_paths(spec))}
    return Guest(Ref(kind, name), model.model_validate_json(json.dumps(spec)), Origin(place, fields.get))


def _paths(value: Any, prefix: str = "") -> list[str]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for name, item in items:
        path = f"{prefix}.{name}".lstrip(".")
        found += [path, *_paths(item, path)]
    return found


def compiled(
    kind: str, spec: Mapping[str, Any], version: tuple[int, int] = V91, name: str | None = None
) -> tuple[Guest, Desired]:
    guest = declared(kind, spec, name or "web")
    desired, problems = compile_guest(guest, DEFAULTS, version)
    assert not [item for item in problems if item.severity == "error"], problems
    return guest, desired


def seen(
    kind: str,
    config: Mapping[str, str],
    pending: Mapping[str, str | None] | None = None,
    power: str = "running",
    pool: str | None = None,
) -> ObservedGuest:
    """A guest with this configuration; its marker is read from the notes in it."""
    visible, marker = read_marker(config.get("description", ""))
    name = config.get("hostname" if kind == "Container" else "name")
    return ObservedGuest(
        vmid=142,
        kind=kind,  # type: ignore[arg-type]
        node="pve",
        name=name,
        power=power,  # type: ignore[arg-type]
        config=dict(config),
        description=visible,
        marker=marker,
        pending=pending or {},
        pool=pool,
    )


def difference(kind: str, spec: Mapping[str, Any], observed: ObservedGuest) -> Difference:
    guest, desired = compiled(kind, spec)
    return compare(guest, desired, observed, V91, SOURCE)
