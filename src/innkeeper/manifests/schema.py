"""JSON Schema of every kind, for editors: completion, and mistakes underlined while they are made."""

from typing import Any

from pydantic import BaseModel

from innkeeper.manifests.drafts import EVERY
from innkeeper.model.objects import API_VERSION, Metadata

_TEMPLATE = "#/$defs/{model}"


def json_schema() -> dict[str, Any]:
    """One schema for all kinds (draft 2020-12); `kind` decides what `spec` may hold."""
    definitions: dict[str, Any] = {}
    models: tuple[type[BaseModel], ...] = (Metadata, *EVERY.values())
    for model in models:
        schema = model.model_json_schema(by_alias=True, ref_template=_TEMPLATE)
        definitions |= schema.pop("$defs", {})
        definitions[model.__name__] = schema
    _describe_defaults(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Innkeeper manifest",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"enum": list(EVERY), "description": "What this manifest declares"},
            "metadata": _reference(Metadata),
            "spec": {"type": "object"},
        },
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"properties": {"spec": _reference(model)}},
            }
            for kind, model in EVERY.items()
        ],
        "$defs": definitions,
    }


def _reference(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": _TEMPLATE.format(model=model.__name__)}


def _describe_defaults(definitions: dict[str, Any]) -> None:
    """A profile's defaults are parts of either kind's spec: every field of both is known there, none is required."""
    kinds = [definitions[name]["properties"] for name in ("ContainerSpec", "VirtualMachineSpec")]
    fields: dict[str, Any] = {}
    for name in kinds[0] | kinds[1]:
        spellings = [fields_of[name] for fields_of in kinds if name in fields_of]
        fields[name] = spellings[0] if spellings[1:] in ([], spellings[:1]) else {"anyOf": spellings}
    definitions["ProfileSpec"]["properties"]["defaults"] = {
        "type": "object",
        "description": "Any part of a guest's spec; the guest's own fields win",
        "additionalProperties": False,
        "properties": fields,
    }
