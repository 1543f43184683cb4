"""`vitistack.io/v1alpha1` as files: a Machine becomes a VirtualMachine, a ProxmoxCluster a Cluster.

`virtual_machine` is the one conversion of a Machine; the Kubernetes operator uses it as well. Source of the mapping:
the operator's published API reference.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from innkeeper.manifests.drafts import Draft, without_empty
from innkeeper.manifests.formats.translated import Original, Traced
from innkeeper.manifests.origins import Passage, finding
from innkeeper.manifests.validation import described, validate
from innkeeper.manifests.yamltext import Document
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin
from innkeeper.model.units import MiB
from innkeeper.model.vitistack import (
    CLUSTER_LABEL,
    VITISTACK,
    FromSecret,
    MachineSpec,
    ProxmoxClusterSpec,
    ProxmoxCredentials,
    ProxmoxNodeSpec,
)

_MODELS: Mapping[str, type[BaseModel]] = {
    "Machine": MachineSpec,
    "ProxmoxCluster": ProxmoxClusterSpec,
    "ProxmoxNode": ProxmoxNodeSpec,
}
_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_OS_TYPES = {"linux": "l26", "windows": "win11", "solaris": "solaris", "other": "other"}
_CDROM = "ide2"
_OURS = "innkeeper.dev/"
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9]+")

Moved = dict[str, str]
"""By a field's path in the native manifest: its path in the original."""


def virtual_machine(machine: MachineSpec) -> tuple[dict[str, object], Moved]:
    """The spec of a VirtualMachine in the spelling of files, without its cluster."""
    spec: dict[str, object] = {"running": True, "osType": _OS_TYPES[machine.os_type], "cpu": _cpu(machine)}
    spec["memory"] = f"{machine.memory // MiB}Mi"
    plain = {"hostname": "name", "vmid": "vmid", "node": "node", "agent": "agent", "protected": "protection"}
    for name, theirs in plain.items():
        if (value := getattr(machine, theirs)) is not None:
            spec[name] = value
    if machine.template is not None:
        template = machine.template
        spec["clone"] = {"template": int(template) if template.isdecimal() else template}
    if machine.balloon is not None:
        spec["balloon"] = spec["memory"] if machine.balloon else 0
    slots = _slots(machine)
    if machine.disks:
        spec["disks"] = tuple(_disk(slot, disk.model_dump()) for slot, disk in zip(slots, machine.disks, strict=True))
    if machine.networks:
        spec["network"] = tuple(_nic(index, nic.model_dump()) for index, nic in enumerate(machine.networks))
    if machine.boot_order:
        device = {"disk": slots[0] if slots else "scsi0", "network": "net0", "cdrom": _CDROM}
        spec["bootOrder"] = tuple(device[word] for word in machine.boot_order)
    return spec, _moved(machine)


def _cpu(machine: MachineSpec) -> dict[str, object]:
    return {"cores": machine.cpu.cores, "sockets": machine.cpu.sockets}


def _slots(machine: MachineSpec) -> list[str]:
    """`{type}{index}` for each disk; the index counts the disks of the same type."""
    counts = Counter[str]()
    slots = []
    for disk in machine.disks:
        slots.append(f"{disk.type}{counts[disk.type]}")
        counts[disk.type] += 1
    return slots


def _disk(slot: str, disk: Mapping[str, object]) -> dict[str, object]:
    own = {"slot": slot, "size": f"{disk['size']}i"}
    return own | {name: disk[name] for name in ("storage", "format", "cache") if disk[name] is not None}


def _nic(index: int, nic: Mapping[str, object]) -> dict[str, object]:
    words = {"bridge": "bridge", "mac": "mac_address", "vlan": "vlan", "firewall": "firewall"}
    own: dict[str, object] = {"slot": f"net{index}", "model": nic["model"]}
    return own | {name: nic[theirs] for name, theirs in words.items() if nic[theirs] is not None}


def _moved(machine: MachineSpec) -> Moved:
    moved = {f"spec.{name}": f"spec.{name}" for name in ("vmid", "node", "cpu", "memory", "osType", "balloon", "agent")}
    moved |= {"spec.hostname": "spec.name", "spec.protected": "spec.protection", "spec.clone": "spec.template"}
    moved |= {"spec.bootOrder": "spec.bootOrder", "spec.disks": "spec.disks", "spec.network": "spec.networks"}
    moved |= {f"spec.disks.{index}": f"spec.disks.{index}" for index in range(len(machine.disks))}
    for index in range(len(machine.disks)):
        moved[f"spec.disks.{index}.slot"] = f"spec.disks.{index}.type"
    for index in range(len(machine.networks)):
        moved[f"spec.network.{index}"] = f"spec.networks.{index}"
        moved[f"spec.network.{index}.mac"] = f"spec.networks.{index}.macAddress"
    return moved


def is_ours(document: Document) -> bool:
    """Whether a document is plainly of this format."""
    value = document.value
    if not isinstance(value, Mapping) or value.get("apiVersion") != VITISTACK:
        return False
    kind = value.get("kind")
    return isinstance(kind, str) and kind in _MODELS


def translated(document: Document, file: str, text: str) -> Iterator[Draft | Diagnostic]:
    """The draft of a document that `is_ours`, and what is to be said about it."""
    value = document.value
    assert isinstance(value, Mapping)
    passage = Passage(file, text, document.start, document.end, document.line)
    origin = Origin(Location(file, document.line, document.column), passage.locate)
    metadata = value.get("metadata")
    raw = metadata if isinstance(metadata, Mapping) else {}
    found = [*_problems(document, origin), *_envelope(value, origin)]
    spec = validate(_MODELS[str(value["kind"])], without_empty(value.get("spec") or {}), "spec", origin)
    if isinstance(spec, tuple):
        found += spec
    yield from found
    if found or isinstance(spec, tuple):
        return
    if isinstance(spec, MachineSpec):
        yield from _machine(spec, raw, passage, origin)
    elif isinstance(spec, ProxmoxClusterSpec):
        yield from _cluster(spec, raw, passage, origin)
    elif isinstance(spec, ProxmoxNodeSpec) and spec.max_vms is not None:
        problem = f"the limit of {spec.max_vms} machines on node {spec.node_name} is kept by the operator only"
        yield finding("LimitNotKept", origin, "spec.maxVMs", problem, "Name each machine's node.", "warning")


def _problems(document: Document, origin: Origin) -> Iterator[Diagnostic]:
    for item in document.problems:
        place = Origin(Location(origin.location.file, item.line, item.column))
        yield finding(item.code, place, item.path, item.problem, item.advice)


def _envelope(value: Mapping[str, object], origin: Origin) -> Iterator[Diagnostic]:
    for key in value:
        if key not in _TOP:
            advice = f"It has the fields {', '.join(_TOP)}."
            yield finding("UnknownField", origin, key, "there is no such field", advice)
    metadata = value.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("name"), str):
        yield finding("MissingField", origin, "metadata.name", "this field is required", "Write {name: …}.")
    for field in ("labels", "annotations"):
        entries = metadata.get(field) if isinstance(metadata, Mapping) else None
        if entries is not None and not isinstance(entries, Mapping):
            problem = f"expected a map, found {described(entries)}"
            yield finding("WrongType", origin, f"metadata.{field}", problem, "Write fields below it.")
    if not isinstance(value.get("spec"), Mapping):
        problem = f"expected a map, found {described(value.get('spec'))}"
        yield finding("WrongType", origin, "spec", problem, "Write fields below it.")


def _traced(origin: Origin, passage: Passage, moved: Moved) -> Traced:
    own = {"metadata": "metadata", "spec.cluster": f"metadata.labels.{CLUSTER_LABEL}"}
    return Traced(origin.location, {native: (passage, theirs) for native, theirs in (own | moved).items()})


def _machine(
    machine: MachineSpec, metadata: Mapping[str, object], passage: Passage, origin: Origin
) -> Iterator[Draft | Diagnostic]:
    spec, moved = virtual_machine(machine)
    if machine.cpu.threads_per_core > 1:
        problem = "Proxmox VE gives guests whole cores; threads of a core are not told apart"
        yield finding("ThreadsIgnored", origin, "spec.cpu.threadsPerCore", problem, "Leave it out.", "warning")
    labels, annotations = _map(metadata, "labels"), _map(metadata, "annotations")
    if cluster := labels.get(CLUSTER_LABEL):
        spec["cluster"] = cluster
    own = {name: text for name, text in annotations.items() if name.startswith(_OURS)}
    yield from Original(
        "VirtualMachine", str(metadata["name"]), spec, _traced(origin, passage, moved), labels, own
    ).drafted()


def _cluster(
    cluster: ProxmoxClusterSpec, metadata: Mapping[str, object], passage: Passage, origin: Origin
) -> Iterator[Draft | Diagnostic]:
    credentials = _credentials(cluster.credentials, origin)
    if isinstance(credentials, Diagnostic):
        yield credentials
        return
    for name, field in (("ca_certificate", "caCertificate"), ("client_certificate", "clientCertificate")):
        if getattr(cluster, name) is not None:
            advice = "Declare this cluster in a manifest of kind: Cluster, with tls.caFile or tls.fingerprint."
            yield finding("NotTranslated", origin, f"spec.{field}", "a file's Cluster names files, not texts", advice)
    endpoint = cluster.endpoint.removesuffix("/").removesuffix("/api2/json")
    spec: dict[str, object] = {"endpoints": (endpoint,), "credentials": credentials}
    if cluster.insecure_skip_tls_verify:
        spec["tls"] = {"insecure": True}
    names = {"storage": cluster.storages, "bridge": cluster.networks}
    if defaults := {name: allowed[0] for name, allowed in names.items() if allowed}:
        spec["defaults"] = defaults
    moved = {"spec.endpoints": "spec.endpoint", "spec.credentials": "spec.credentials"}
    moved |= {"spec.tls": "spec.insecureSkipTLSVerify", "spec.defaults.storage": "spec.storages.0"}
    moved |= {"spec.defaults.bridge": "spec.networks.0", "spec.defaults": "spec"}
    yield from Original("Cluster", str(metadata["name"]), spec, _traced(origin, passage, moved)).drafted()


def _map(raw: Mapping[str, object], key: str) -> dict[str, str]:
    value = raw.get(key)
    return dict(value) if isinstance(value, Mapping) else {}


def _credentials(given: ProxmoxCredentials, origin: Origin) -> dict[str, object] | Diagnostic:
    """The same with each secret taken from an environment variable that is named like it: `NAME_KEY`."""
    for field, value in (("username", given.username), ("tokenID", given.token_id)):
        if isinstance(value, FromSecret):
            problem = "outside of Kubernetes a name stands in the file; only secrets are taken from elsewhere"
            return finding("NotTranslated", origin, f"spec.credentials.{field}", problem, "Write the name itself.")
    if given.token_id is not None and given.token_secret is not None:
        token = given.token_id if given.username is None else f"{given.username}!{given.token_id}"
        return {"tokenID": token, "tokenSecret": {"env": variable(given.token_secret)}}
    assert given.password is not None  # one of the two is there
    return {"username": given.username, "password": {"env": variable(given.password)}}


def variable(secret: FromSecret) -> str:
    """The environment variable that stands for a key of a Secret: `PROXMOX_CREDENTIALS_TOKEN_SECRET`."""
    return _NOT_A_WORD.sub("_", f"{secret.secret_ref.name}_{secret.secret_ref.key}").upper()
