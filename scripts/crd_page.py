"""The reference of the custom resources, from the definitions that the API server gets."""

from collections.abc import Iterator
from typing import Any

from innkeeper.operator.crds import MACHINE, NATIVE, PROXMOX_CLUSTER, PROXMOX_NODE, Kind, definition


def kinds() -> str:
    """A section for each kind whose fields are not those of a manifest, and the status of those whose fields are."""
    lines = [line for kind in (MACHINE, PROXMOX_CLUSTER, PROXMOX_NODE) for line in _kind(kind, "spec", "status")]
    for kind in NATIVE:
        parts = ["spec"] if kind.kind == "Cluster" else []
        lines += _kind(kind, *parts, *(["status"] if kind.status else []))
    return "\n".join(lines)


def _kind(kind: Kind, *parts: str) -> Iterator[str]:
    version = definition(kind)["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    columns = ", ".join(column["name"] for column in version["additionalPrinterColumns"])
    yield from (
        f"## {kind.kind}",
        "",
        f"`{kind.api_version}`, `kubectl get {kind.plural}`"
        + (f", short: {_code(kind.short)}." if kind.short else "."),
    )
    yield from (f"Columns: {columns}.", "")
    for part in parts:
        yield from (f"| {part} | type | allowed | default |", "|---|---|---|---|")
        yield from (row for row in _rows(schema[part], part) if row)
        yield ""


def _rows(schema: dict[str, Any], path: str) -> Iterator[str]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        here, field_type = f"{path}.{name}", field.get("type", "any")
        inner = field.get("items", {}) if field_type == "array" else field
        shown = f"list of {inner.get('type', 'any')}s" if field_type == "array" else field_type
        default = field.get("default")
        told = "" if default is None or isinstance(default, dict) else f"`{str(default).lower()}`"
        needed = " (required)" if name in required else ""
        yield f"| `{here}`{needed} | {shown} | {_allowed(inner)} | {told} |"
        yield from _rows(inner, f"{here}[]" if field_type == "array" else here)


def _allowed(field: dict[str, Any]) -> str:
    if "enum" in field:
        return _code(field["enum"])
    if "minimum" in field or "maximum" in field:
        low, high = field.get("minimum"), field.get("maximum")
        return f"{low} to {high}" if high is not None else f"at least {low}"
    if "description" in field and field.get("type") != "object":
        return str(field["description"])
    return ""


def _code(words: Any) -> str:
    return ", ".join(f"`{word}`" for word in words)
