"""Manifests as a person would write them: short maps and lists on one line, long ones below each other."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from innkeeper.manifests.scalars import resolve
from innkeeper.model.objects import API_VERSION, Cluster, Guest, Profile

_LINE = 100
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_NO_BLOCK = re.compile(r"\t|^\s|[ ]\n|[ ]$")

_ORDER = {
    name: place
    for place, name in enumerate(
        (
            *("cluster", "vmid", "node", "hostname", "profile", "template", "clone", "osType", "machine", "firmware"),
            *("cpu", "memory", "balloon", "swap", "rootDisk", "mounts", "disks", "bootOrder", "network", "dns"),
            *("cloudInit", "agent", "features", "unprivileged", "startOnBoot", "running", "tags", "description"),
            *("pool", "protected", "sshKeys", "needs", "restart", "configure", "health", "expose", "monitoring"),
        )
    )
}
Manifest = Mapping[str, object]


def manifest(
    kind: str,
    name: str,
    spec: Mapping[str, object],
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """A manifest in file spelling from a spec in file spelling."""
    metadata: dict[str, object] = {"name": name}
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": _arranged(spec)}


def file_name(item: Manifest) -> str:
    """The name of a file of its own: `container-web.yaml`."""
    metadata = item["metadata"]
    name = metadata["name"] if isinstance(metadata, Mapping) else ""
    return f"{item['kind']}-{name}.yaml".lower()


def _arranged(spec: Mapping[str, object]) -> dict[str, object]:
    """The fields in the order that people write them in: where, what, how it behaves."""
    return {name: spec[name] for name in sorted(spec, key=lambda name: _ORDER.get(name, len(_ORDER)))}


def manifest_of(item: Cluster | Profile | Guest) -> dict[str, object]:
    """The manifest that declares an object. A guest's profile is written out; what it was made of is in its spec."""
    spec = item.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if not isinstance(item, Guest):
        return manifest(type(item).__name__, item.name, spec)
    spec.pop("profile", None)
    result = manifest(item.ref.kind, item.ref.name, spec)
    metadata: dict[str, object] = {"name": item.ref.name}
    if item.labels:
        metadata["labels"] = dict(item.labels)
    if item.annotations:
        metadata["annotations"] = dict(item.annotations)
    return result | {"metadata": metadata}


def to_yaml(manifests: Iterable[Manifest]) -> str:
    """One YAML text that `load` reads back to equal data; documents are separated by `---`."""
    texts = (
        yaml.dump(item, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000, indent=2)
        for item in manifests
    )
    return "---\n".join(texts)


def flow(value: object) -> str:
    """A value on one line, as it may stand behind a field's name."""
    # As the only item of a list, so that text is quoted wherever it could end a list or map around it.
    text: str = yaml.dump([value], Dumper=_Flow, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text.rstrip("\n")[1:-1]


class _Dumper(yaml.SafeDumper):
    """PyYAML quotes what YAML 1.1 would misread; this also quotes what YAML 1.2 and our own reader would."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_data(self, data: Any) -> yaml.Node:
        node: yaml.Node = super().represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = _width(node) <= _LINE
        return node

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def serialize(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            node.flow_style = False
            for key, value in node.value:
                # The spec is written field by field, however short it is.
                if key.value == "spec" and isinstance(value, yaml.MappingNode) and value.value:
                    value.flow_style = False
        super().serialize(node)


def _width(node: yaml.Node) -> int:
    """The length of a node on one line; too much where it cannot stand on one."""
    if isinstance(node, yaml.ScalarNode):
        return _LINE + 1 if node.style == "|" else len(node.value) + (2 if node.style else 0)
    if isinstance(node, yaml.SequenceNode):
        return sum(_width(item) + 2 for item in node.value) + 2
    if isinstance(node, yaml.MappingNode):
        return sum(_width(key) + _width(value) + 4 for key, value in node.value) + 2
    return 0


def _text(dumper: _Dumper, text: str) -> yaml.Node:
    style: str | None = None
    if "\n" in text and not _CONTROL.search(text) and not _NO_BLOCK.search(text):
        style = "|"
    elif resolve(text) != text or _CONTROL.search(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(tuple, yaml.SafeDumper.represent_list)


class _Flow(_Dumper):
    """Everything on one line: text of several lines is quoted."""

    def represent_data(self, data: Any) -> yaml.Node:
        node = super().represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = True
        elif isinstance(node, yaml.ScalarNode) and node.style == "|":
            node.style = '"'
        return node

    def serialize(self, node: yaml.Node) -> None:
        yaml.SafeDumper.serialize(self, node)
