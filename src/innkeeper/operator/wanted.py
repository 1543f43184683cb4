"""From an object to the guest that the planner knows, by the same ways that files take.

A Machine is converted as a Machine in a file is. A native object is a manifest, and is loaded as one, with the Profiles
of its namespace beside it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from innkeeper.manifests.formats.vitistack import virtual_machine
from innkeeper.manifests.loading import load
from innkeeper.manifests.validation import validate
from innkeeper.model.diagnostics import Location
from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.model.objects import API_VERSION, Cluster, Guest, Origin, Ref
from innkeeper.model.vitistack import MachineSpec
from innkeeper.operator.objects import ADOPT, CONTAINERS, POWER, RESOURCES, RESTART, VMID, Key, Object
from innkeeper.operator.reports import Report, of_findings, problem

_POWERS = ("start", "stop", "restart")


def ref_of(key: Key) -> Ref:
    """The name that the guest's marker carries: of this kind, in this namespace, of this name."""
    return Ref("Container" if key.plural == CONTAINERS else "VirtualMachine", str(key))


def recorded(annotations: Mapping[str, str]) -> int | None:
    """The vmid that was promised to an object before its machine was made."""
    vmid = annotations.get(VMID, "")
    return int(vmid) if vmid.isdecimal() else None


def guest_of(item: Object, cluster: Cluster, profiles: Iterable[Object] = ()) -> Guest | Report:
    """The guest that an object asks for, with the vmid that was recorded for it; or what is wrong."""
    power, restart = item.annotations.get(POWER), item.annotations.get(RESTART)
    if power not in (None, *_POWERS):
        return problem("Invalid", f"the annotation {POWER} is {power!r}, not one of {', '.join(_POWERS)}")
    if restart not in (None, "never", "whenNeeded"):
        return problem("Invalid", f"the annotation {RESTART} is {restart!r}, neither never nor whenNeeded")
    guest = _native(item, cluster, profiles) if item.key.native else _machine(item)
    if isinstance(guest, Report):
        return guest
    own: dict[str, object] = {"cluster": cluster.name, "vmid": guest.spec.vmid or recorded(item.annotations)}
    own |= {"running": power != "stop"} if power else {}
    own |= {"restart": restart} if restart else {}
    adopt = ((ADOPT, "true"),) if item.annotations.get(ADOPT) == "true" else ()
    return replace(guest, ref=ref_of(item.key), spec=guest.spec.model_copy(update=own), annotations=adopt)


def _machine(item: Object) -> Guest | Report:
    try:
        machine = MachineSpec.model_validate_json(json.dumps(item.spec))
    except ValidationError as error:
        said = "; ".join(
            f"spec.{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors(include_url=False)
        )
        return problem("Invalid", said)
    origin = Origin(Location(str(item.key)))
    spec: dict[str, Any] = {"hostname": item.key.name, **virtual_machine(machine)[0]}
    valid = validate(VirtualMachineSpec, spec, "spec", origin)
    return of_findings(valid) if isinstance(valid, tuple) else Guest(ref_of(item.key), valid, origin)


def _native(item: Object, cluster: Cluster, profiles: Iterable[Object]) -> Guest | Report:
    if item.spec.get("configure") or item.spec.get("health"):
        said = "the operator makes guests and does not work inside them: leave configure and health out"
        return problem("NotSupported", f"{said}, or declare the guest in a source of `innkeeper serve`")
    if item.spec.get("needs"):
        return problem("NotSupported", "spec.needs: the operator keeps each object by itself; leave it out")
    name = cluster.name.rpartition("/")[2]
    documents = [_document(one, one.spec) for one in profiles]
    documents.append(_document(item, {**item.spec, "cluster": name}))
    with TemporaryDirectory(prefix="innkeeper-") as folder:
        file = Path(folder) / "objects.yaml"
        file.write_text("\n---\n".join(documents))
        loaded = load([file], clusters=[replace(cluster, name=name)])
    errors = [finding for finding in loaded.diagnostics if finding.severity == "error"]
    if errors or len(loaded.declared.guests) != 1:
        return of_findings(errors)
    guest = loaded.declared.guests[0]
    if guest.spec.configure is not None or guest.spec.health:
        return problem("NotSupported", f"profile {guest.spec.profile} works inside guests, which the operator does not")
    named = guest.spec.model_copy(update={"hostname": guest.spec.hostname or item.key.name})
    return replace(guest, spec=named, origin=Origin(Location(str(item.key))))


def _document(item: Object, spec: Mapping[str, Any]) -> str:
    kind = RESOURCES[item.key.plural][1]
    return json.dumps({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": item.key.name}, "spec": spec})
