"""From a Machine to the guest that the planner knows. Pure; the conversion itself is the one that files use."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from innkeeper.manifests.formats.vitistack import virtual_machine
from innkeeper.manifests.validation import validate
from innkeeper.model.diagnostics import Location
from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.model.objects import Guest, Origin, Ref
from innkeeper.model.vitistack import MachineSpec
from innkeeper.operator.objects import ADOPT, POWER, RESTART, VMID, Key, Object
from innkeeper.operator.reports import Report, of_findings, problem

_POWERS = ("start", "stop", "restart")


def ref_of(key: Key) -> Ref:
    """The name that the guest's marker carries: of this kind, in this namespace, of this name."""
    return Ref("VirtualMachine", str(key))


def guest_of(item: Object, cluster: str) -> Guest | Report:
    """The guest that an object asks for, with the vmid that was recorded for it; or what is wrong."""
    try:
        machine = MachineSpec.model_validate_json(json.dumps(item.spec))
    except ValidationError as error:
        said = "; ".join(
            f"spec.{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors(include_url=False)
        )
        return problem("Invalid", said)
    power, restart = item.annotations.get(POWER, "start"), item.annotations.get(RESTART, "never")
    if power not in _POWERS:
        return problem("Invalid", f"the annotation {POWER} is {power!r}, not one of {', '.join(_POWERS)}")
    if restart not in ("never", "whenNeeded"):
        return problem("Invalid", f"the annotation {RESTART} is {restart!r}, neither never nor whenNeeded")
    spec: dict[str, Any] = virtual_machine(machine)[0]
    spec = {"hostname": item.key.name, **spec, "cluster": "x", "running": power != "stop", "restart": restart}
    origin = Origin(Location(str(item.key)))
    valid = validate(VirtualMachineSpec, spec, "spec", origin)
    if isinstance(valid, tuple):
        return of_findings(valid)
    valid = valid.model_copy(update={"cluster": cluster, "vmid": machine.vmid or recorded(item.annotations)})
    adopt = ((ADOPT, "true"),) if item.annotations.get(ADOPT) == "true" else ()
    return Guest(ref_of(item.key), valid, origin, annotations=adopt)


def recorded(annotations: Mapping[str, str]) -> int | None:
    """The vmid that was promised to an object before its machine was made."""
    vmid = annotations.get(VMID, "")
    return int(vmid) if vmid.isdecimal() else None
