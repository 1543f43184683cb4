"""The custom resource definitions, generated from the models so that no limit is ever said twice.

Kubernetes wants structural schemas: every field has one type, nothing refers elsewhere, `null` is not a value. Where
a model allows several shapes, the field is opened (`x-kubernetes-preserve-unknown-fields`) and Innkeeper checks it.
Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import BaseModel

from innkeeper.model import kubernetes, vitistack
from innkeeper.model.applications import ApplicationSpec
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.objects import API_VERSION, ProfileSpec

Schema = dict[str, Any]

_KEPT = frozenset(
    {
        *("description", "enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "minProperties", "maxProperties"),
    }
)
_OPEN: Schema = {"x-kubernetes-preserve-unknown-fields": True}
_READY = {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'}
_REASON = {"name": "Reason", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].reason'}
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


@dataclass(frozen=True, slots=True)
class Kind:
    """One custom resource; `columns` are (name, type, path) of what `kubectl get` shows."""

    group: str
    version: str
    kind: str
    plural: str
    short: tuple[str, ...]
    spec: type[BaseModel]
    status: type[BaseModel] | None = None
    """None: nothing is told of it (what a Profile does is told of those that name it)."""
    columns: tuple[tuple[str, str, str], ...] = ()
    defaults: bool = False
    """Whether the API server fills in defaults; native manifests leave what is not named as it is on the guest."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}"


_PLACE = (
    ("Cluster", "string", ".spec.cluster"),
    ("Node", "string", ".status.node"),
    ("VMID", "integer", ".status.vmid"),
)
_GROUP, _, _VERSION = API_VERSION.partition("/")
_FOREIGN, _, _FOREIGN_VERSION = vitistack.VITISTACK.partition("/")

MACHINE = Kind(
    _FOREIGN,
    _FOREIGN_VERSION,
    "Machine",
    "machines",
    ("vm", "mach"),
    vitistack.MachineSpec,
    vitistack.MachineStatus,
    (
        ("Phase", "string", ".status.phase"),
        ("Node", "string", ".status.node"),
        ("VMID", "integer", ".status.vmid"),
        ("IP", "string", ".status.ipAddresses[0]"),
    ),
    defaults=True,
)
PROXMOX_CLUSTER = Kind(
    _FOREIGN,
    _FOREIGN_VERSION,
    "ProxmoxCluster",
    "proxmoxclusters",
    ("pxc",),
    vitistack.ProxmoxClusterSpec,
    vitistack.ProxmoxClusterStatus,
    (("Endpoint", "string", ".spec.endpoint"), ("Version", "string", ".status.version")),
    defaults=True,
)
PROXMOX_NODE = Kind(
    _FOREIGN,
    _FOREIGN_VERSION,
    "ProxmoxNode",
    "proxmoxnodes",
    ("pxn",),
    vitistack.ProxmoxNodeSpec,
    vitistack.ProxmoxNodeStatus,
    (
        ("Cluster", "string", ".spec.cluster"),
        ("Node", "string", ".spec.nodeName"),
        ("VMs", "integer", ".status.vmCount"),
        ("Max", "integer", ".spec.maxVMs"),
    ),
    defaults=True,
)
_HOW = (("Sync", "string", ".status.sync"), ("Health", "string", ".status.health"))


def _native(kind: str, plural: str, short: tuple[str, ...], spec: type[BaseModel], **more: Any) -> Kind:
    return Kind(_GROUP, _VERSION, kind, plural, short, spec, **more)


NATIVE = (
    _native(
        "Application",
        "applications",
        ("app",),
        ApplicationSpec,
        status=kubernetes.ApplicationStatus,
        columns=(("Guests", "string", ".status.ready"), *_HOW),
    ),
    _native(
        "Cluster",
        "clusters",
        ("pve",),
        kubernetes.ClusterObjectSpec,
        status=vitistack.ProxmoxClusterStatus,
        columns=(("Endpoint", "string", ".spec.endpoints[0]"), ("Version", "string", ".status.version")),
    ),
    _native(
        "Container",
        "containers",
        ("ct",),
        ContainerSpec,
        status=kubernetes.GuestObjectStatus,
        columns=(*_PLACE, *_HOW),
    ),
    _native("Profile", "profiles", (), ProfileSpec),
    _native(
        "VirtualMachine",
        "virtualmachines",
        ("qm",),
        VirtualMachineSpec,
        status=kubernetes.GuestObjectStatus,
        columns=(*_PLACE, *_HOW),
    ),
)
"""The kinds of manifests that the operator answers. Source and Server tell a server of git how to run."""
KINDS = (*NATIVE, MACHINE, PROXMOX_CLUSTER, PROXMOX_NODE)


def definitions() -> tuple[Schema, ...]:
    """Every CustomResourceDefinition, in an order that is always the same."""
    return tuple(definition(kind) for kind in KINDS)


def text() -> str:
    """All definitions as YAML."""
    return yaml.dump_all(definitions(), Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True)


def definition(kind: Kind) -> Schema:
    status = {"status": _plain(kind.status, defaults=False)} if kind.status else {}
    columns = [{"name": name, "type": type_, "jsonPath": path} for name, type_, path in kind.columns]
    columns += [_READY, _REASON] if kind.status else []
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                **({"shortNames": list(kind.short)} if kind.short else {}),
                "categories": ["proxmox"],
            },
            "versions": [
                {
                    "name": kind.version,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if kind.status else {}),
                    "additionalPrinterColumns": [*columns, _AGE],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": _plain(kind.spec, defaults=kind.defaults),
                                **status,
                            },
                        }
                    },
                }
            ],
        },
    }


def _plain(model: type[BaseModel], *, defaults: bool) -> Schema:
    schema = model.model_json_schema(by_alias=True)
    found = _structural(schema, schema.get("$defs", {}), defaults)
    fields = found["properties"]
    if "conditions" in fields:
        fields["conditions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return found


_WAY_IN = "name tokenID with tokenSecret, or username with password"
_RULES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "Clone": (("!has(self.storage) || !has(self.full) || self.full", "a linked clone lies on its template's storage"),),
    "ClusterCredentials": (
        ("has(self.tokenID) == has(self.tokenSecret) && has(self.username) == has(self.password)", _WAY_IN),
        ("has(self.tokenID) != has(self.username)", _WAY_IN),
    ),
    "ClusterTls": (
        ("!(has(self.caCertificate) && has(self.fingerprint))", "name only one of caCertificate and fingerprint"),
        ("has(self.clientCertificate) == has(self.clientKey)", "clientCertificate and clientKey go together"),
    ),
    "Configure": (("!has(self.secrets)", "an object's secrets are Secrets of its namespace: name them by secretRef"),),
    "Mount": (
        ("has(self.source) || has(self.size)", "a mount needs a size, or a source"),
        ("!has(self.source) || !(has(self.size) || has(self.storage))", "a source has neither size nor storage"),
    ),
    "ProxmoxCredentials": (("has(self.tokenSecret) != has(self.password)", _WAY_IN),),
    "VmidRange": (("!(has(self.from) && has(self.to)) || self.from <= self.to", "from is above to"),),
}
"""What the fields of a model must be to each other, by the model: a rule for the API server, and its message."""


def _structural(schema: Mapping[str, Any], models: Mapping[str, Any], defaults: bool) -> Schema:
    """One field: references resolved, null taken out, one type. `defaults`: keep what the model fills in."""
    name = schema["$ref"].rpartition("/")[2] if "$ref" in schema else ""
    rules = _RULES.get(name, ())
    if name:
        schema = {**models[name], **{key: value for key, value in schema.items() if key != "$ref"}}
    if branches := [item for item in schema.get("anyOf", ()) if item.get("type") != "null"]:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        if len(branches) == 1:
            return _structural({**branches[0], **rest}, models, defaults)
        return _described(_either([_structural(branch, models, defaults) for branch in branches]), rest)
    found: Schema = {key: value for key, value in schema.items() if key in _KEPT}
    if "const" in schema:
        found |= {"enum": [schema["const"]]}
    for bound, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in schema:
            found |= {plain: schema[bound], bound: True}
    if defaults and (default := _without_null(schema.get("default"))) not in (None, [], ()):
        found["default"] = default
    if name == "Check":
        found["oneOf"] = [{"required": [word]} for word in ("tcp", "http", "systemd", "command")]
    if rules:
        found["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    kind = schema.get("type")
    if kind == "object":
        return found | _object(schema, models, defaults)
    if kind == "array":
        items = _structural(schema["items"], models, defaults) if "items" in schema else _OPEN
        return found | {"type": "array", "items": items}
    return found | ({"type": kind} if kind else _OPEN)


def _object(schema: Mapping[str, Any], models: Mapping[str, Any], defaults: bool) -> Schema:
    if "properties" in schema:
        fields = {name: _structural(item, models, defaults) for name, item in schema["properties"].items()}
        required = {"required": schema["required"]} if schema.get("required") else {}
        return {"type": "object", **required, "properties": fields}
    values = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
    if not isinstance(values, Mapping) or not values:
        return {"type": "object", **_OPEN}
    return {"type": "object", "additionalProperties": _structural(values, models, defaults)}


def _either(branches: list[Schema]) -> Schema:
    """A number or a text has a form of its own in Kubernetes; anything else is left open."""
    by_type = {branch.get("type"): branch for branch in branches}
    if by_type.keys() != {"integer", "string"} or len(branches) != 2:
        return dict(_OPEN)
    number, text = by_type["integer"], by_type["string"]
    limits = {"minimum": min(number["enum"]), "maximum": max(number["enum"])} if "enum" in number else {}
    limits |= {key: number[key] for key in ("minimum", "maximum") if key in number}
    limits |= {key: text[key] for key in ("pattern", "maxLength", "minLength") if key in text}
    said = " or ".join(branch["description"] for branch in branches if "description" in branch)
    return {
        "x-kubernetes-int-or-string": True,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        **limits,
        **({"description": said} if said else {}),
    }


def _described(schema: Schema, rest: Mapping[str, Any]) -> Schema:
    return {**schema, "description": rest["description"]} if "description" in rest else schema


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_null(item) for key, item in value.items() if item not in (None, [], ())}
    return value
