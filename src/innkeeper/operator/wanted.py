"""From an object to the guest that the planner knows, by the same ways that files take.

A Machine is converted as a Machine in a file is. A native object is a manifest, and is loaded as one, with the Profiles
of its namespace beside it. What a manifest may say only to the machine that reads it has no place in an object.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from innkeeper.control.permissions import reaching
from innkeeper.manifests.files import role_names
from innkeeper.manifests.formats.vitistack import virtual_machine
from innkeeper.manifests.loading import Loaded, load
from innkeeper.manifests.validation import validate
from innkeeper.manifests.writing import manifest_of
from innkeeper.model.diagnostics import Location
from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.model.inside import CONTROL_PLANE
from innkeeper.model.objects import API_VERSION, Cluster, ClusterSpec, Credentials, Guest, Origin, Ref
from innkeeper.model.vitistack import MachineSpec
from innkeeper.operator.objects import ADOPT, CONTAINERS, POWER, RESOURCES, RESTART, VMID, Key, Object
from innkeeper.operator.reports import Report, of_findings, problem
from innkeeper.planner.addresses import static_addresses

_POWERS = ("start", "stop", "restart")
_ELSEWHERE = "or declare the guest in a source of `innkeeper serve`"


def ref_of(key: Key) -> Ref:
    """The name that the guest's marker carries: of this kind, in this namespace, of this name."""
    return Ref("Container" if key.plural == CONTAINERS else "VirtualMachine", str(key))


def recorded(annotations: Mapping[str, str]) -> int | None:
    """The vmid that was promised to an object before its machine was made."""
    vmid = annotations.get(VMID, "")
    return int(vmid) if vmid.isdecimal() else None


def guest_of(
    item: Object, cluster: Cluster, profiles: Iterable[Object] = (), needs: Iterable[Key] = ()
) -> Guest | Report:
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
    own |= {"needs": tuple(str(ref_of(need)) for need in needs)}
    adopt = ((ADOPT, "true"),) if item.annotations.get(ADOPT) == "true" else ()
    return replace(guest, ref=ref_of(item.key), spec=guest.spec.model_copy(update=own), annotations=adopt)


def containers_of(application: Object, profiles: Iterable[Object]) -> tuple[Mapping[str, Any], ...] | Report:
    """The Containers that an Application stands for, as manifests; its profile is written out in each."""
    if wrong := _elsewhere(application.spec):
        return wrong
    named = _words(application, "cluster")
    clusters = [_some(name) for name in sorted(named) or ["unnamed"]]
    loaded = _loaded(application, application.spec, profiles, clusters)
    errors = [finding for finding in loaded.diagnostics if finding.severity == "error"]
    if errors or not loaded.declared.guests:
        return of_findings(errors, None)
    found: list[Mapping[str, Any]] = []
    for guest in loaded.declared.guests:
        made: dict[str, Any] = manifest_of(guest)
        if guest.spec.cluster not in named:
            del made["spec"]["cluster"]
        found.append(made)
    return tuple(found)


def _words(item: Object, field: str) -> set[str]:
    """What an object and, where it is an Application, its environments say in a field."""
    parts = [item.spec, *(item.spec.get("environments") or {}).values()]
    return {str(part[field]) for part in parts if isinstance(part, Mapping) and part.get(field)}


def _some(name: str) -> Cluster:
    """A cluster of which only the name counts."""
    spec = ClusterSpec(endpoints=(f"https://{name}",), credentials=Credentials(file="-"))
    return Cluster(name, spec, Origin(Location("-")))


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
    if wrong := _elsewhere(item.spec):
        return wrong
    name = cluster.name.rpartition("/")[2]
    # What it needs are objects of their own, which the operator knows.
    spec = {**{key: value for key, value in item.spec.items() if key != "needs"}, "cluster": name}
    loaded = _loaded(item, spec, profiles, [replace(cluster, name=name)])
    errors = [finding for finding in loaded.diagnostics if finding.severity == "error"]
    if errors or len(loaded.declared.guests) != 1:
        return of_findings(errors)
    guest = loaded.declared.guests[0]
    if wrong := _beyond(guest):
        return wrong
    named = guest.spec.model_copy(update={"hostname": guest.spec.hostname or item.key.name})
    return replace(guest, spec=named, origin=Origin(Location(str(item.key))))


def _elsewhere(spec: Mapping[str, Any]) -> Report | None:
    """What stands in an object and means files of a machine: stores of secrets, roles of one's own."""
    configure = spec.get("configure") or {}
    if configure.get("secrets"):
        said = "spec.configure.secrets: an object's stores are the Secrets of its namespace: leave it out, and write"
        return problem("NotSupported", f"{said} secretRef: {{name: a Secret, key: its key}}")
    known = role_names(())
    for index, call in enumerate(configure.get("roles") or ()):
        if call.get("role") not in known:
            said = f"spec.configure.roles.{index}.role: {call.get('role')} does not come with Innkeeper, and an object"
            advice = f"has no directory that holds it: name one of {', '.join(known)}, {_ELSEWHERE}"
            return problem("UnknownRole", f"{said} {advice}")
    return None


def _beyond(guest: Guest) -> Report | None:
    """What of a guest's inside would reach the operator instead of the guest."""
    configure = guest.spec.configure
    if configure is not None and configure.secrets:
        said = f"profile {guest.spec.profile} declares stores of secrets, which are files of a machine"
        return problem("NotSupported", f"{said}: let it name Secrets by secretRef")
    for index, call in enumerate(configure.roles if configure is not None else ()):
        if call.role == CONTROL_PLANE:
            said = f"spec.configure.roles.{index}.role: {call.role} hands on the keys of who runs it"
            return problem("NotAllowed", f"{said}, which are the operator's; {_ELSEWHERE.removeprefix('or ')}")
        if (variable := reaching(call)) is not None:
            said = f"spec.configure.roles.{index}.vars.{variable}: it tells Ansible itself what to do"
            return problem("NotAllowed", f"{said}; variables of the role {call.role} begin with {call.role}_")
    if configure is not None or guest.spec.health:
        for (_, address), field in static_addresses(guest):
            found = ip_address(address)
            if found.is_loopback or found.is_link_local or found.is_unspecified or found.is_multicast:
                return problem("NotAllowed", f"{field}: {address} is no guest's, and would lead to the operator itself")
    return None


def _loaded(item: Object, spec: Mapping[str, Any], profiles: Iterable[Object], clusters: Iterable[Cluster]) -> Loaded:
    used = _words(item, "profile")
    documents = [_document(profile, profile.spec) for profile in profiles if profile.key.name in used]
    documents.append(_document(item, spec))
    with TemporaryDirectory(prefix="innkeeper-") as folder:
        file = Path(folder) / "objects.yaml"
        file.write_text("\n---\n".join(documents))
        return load([file], clusters=clusters, any_store=True)


def _document(item: Object, spec: Mapping[str, Any]) -> str:
    kind = RESOURCES[item.key.plural][1]
    metadata = {"name": item.key.name, "labels": dict(item.labels)}
    return json.dumps({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
