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

from innkeeper.manifests.drafts import MODELS
from innkeeper.model import vitistack
from innkeeper.model.objects import API_VERSION

Schema = dict[str, Any]

_KEPT = frozenset(
    {"description", "enum", "format", "maxItems", "maxLength", "maximum", "minItems", "minLength", "minimum", "pattern"}
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
    status: type[BaseModel] | None
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
_NATIVE = {
    "Application": ("applications", ("app",), ()),
    "Cluster": ("clusters", ("pve",), ()),
    "Container": ("containers", ("ct",), _PLACE),
    "Profile": ("profiles", (), ()),
    "Image": ("images", (), ()),
    "VirtualMachine": ("virtualmachines", ("qm",), _PLACE),
}
NATIVE = tuple(
    Kind(_GROUP, _VERSION, kind, *_NATIVE[kind][:2], model, None, _NATIVE[kind][2])
    for kind, model in MODELS.items()
    if kind in _NATIVE
)
KINDS = (*NATIVE, MACHINE, PROXMOX_CLUSTER, PROXMOX_NODE)


def definitions() -> tuple[Schema, ...]:
    """Every CustomResourceDefinition, in an order that is always the same."""
    return tuple(definition(kind) for kind in KINDS)


def text() -> str:
    """All definitions as YAML."""
    return yaml.dump_all(definitions(), Dumper=yaml.CSafeDumper, sort_keys=False, width=120, allow_unicode=True)


def definition(kind: Kind) -> Schema:
    status = _plain(kind.status, defaults=False) if kind.status else _NATIVE_STATUS
    columns = [{"name": name, "type": type_, "jsonPath": path} for name, type_, path in kind.columns]
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
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [*columns, _READY, _REASON, _AGE],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": _plain(kind.spec, defaults=kind.defaults),
                                "status": status,
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
    if model is vitistack.ProxmoxClusterSpec:
        fields["credentials"]["x-kubernetes-validations"] = [_ONE_WAY_IN]
    if "conditions" in fields:
        fields["conditions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return found


_ONE_WAY_IN = {
    "rule": "has(self.tokenSecret) != has(self.password)",
    "message": "name tokenID with tokenSecret, or username with password",
}


def _structural(schema: Mapping[str, Any], models: Mapping[str, Any], defaults: bool) -> Schema:
    """One field: references resolved, null taken out, one type. `defaults`: keep what the model fills in."""
    if "$ref" in schema:
        target = models[schema["$ref"].rpartition("/")[2]]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
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


_CONDITIONS = _plain(vitistack.ProxmoxClusterStatus, defaults=False)["properties"]["conditions"]
_NATIVE_STATUS: Schema = {
    "type": "object",
    "properties": {
        "sync": {"type": "string", "enum": ["Synced", "OutOfSync", "Unknown"]},
        "health": {
            "type": "string",
            "enum": ["Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"],
        },
        "vmid": {"type": "integer"},
        "node": {"type": "string"},
        "ipAddresses": {"type": "array", "items": {"type": "string"}},
        "lastUpdated": {"type": "string", "format": "date-time"},
        "conditions": _CONDITIONS,
    },
}
