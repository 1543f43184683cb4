"""From a YAML document to a draft of an object: is it one of ours, of which kind, with which name.

A repository holds other YAML too. What is plainly somebody else's is left out with a note; what could be ours with a
slip in it is an error, because a guest that is overlooked would count as declared no more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from innkeeper.manifests.origins import Passage, Places, finding
from innkeeper.manifests.validation import described, validate
from innkeeper.manifests.vocabulary import nearest
from innkeeper.manifests.yamltext import Document
from innkeeper.model.applications import ApplicationSpec
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.images import ImageSpec
from innkeeper.model.objects import API_VERSION, ClusterSpec, Metadata, Origin, ProfileSpec, Ref
from innkeeper.model.server import ServerSpec
from innkeeper.model.sources import SourceSpec

MODELS: Mapping[str, type[BaseModel]] = {
    "Application": ApplicationSpec,
    "Cluster": ClusterSpec,
    "Container": ContainerSpec,
    "Image": ImageSpec,
    "Profile": ProfileSpec,
    "VirtualMachine": VirtualMachineSpec,
}
SETTINGS: Mapping[str, type[BaseModel]] = {"Server": ServerSpec, "Source": SourceSpec}
"""What a server is told about itself; it declares no guests."""
EVERY = {**MODELS, **SETTINGS}
KINDS = tuple(EVERY)
_TOP = ("apiVersion", "kind", "metadata", "spec")
_GROUP = API_VERSION.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Draft:
    """An object whose spec is still plain data."""

    ref: Ref
    metadata: Metadata
    spec: dict[str, object]
    passage: Places
    origin: Origin
    empty_fields: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A document that became no object; `ref` is what it would have been, where that can be told."""

    ref: Ref | None
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, slots=True)
class Foreign:
    """Somebody else's document."""

    location: Location
    why: str


def draft(document: Document, file: str, text: str) -> Draft | Rejected | Foreign:
    passage = Passage(file, text, document.start, document.end, document.line)
    origin = Origin(Location(file, document.line, document.column), passage.locate)
    value = document.value
    if value is None:
        return Rejected(None, _text_problems(document, file))
    if why := _foreign(value):
        return Foreign(origin.location, why)
    if not isinstance(value, Mapping):
        return Rejected(_ref(value), _text_problems(document, file))
    found = _envelope(value, origin)
    kind, spec, raw = value.get("kind"), value.get("spec"), value.get("metadata")
    metadata = validate(Metadata, without_empty(raw), "metadata", origin) if isinstance(raw, Mapping) else ()
    if document.problems or isinstance(metadata, tuple) or found or not isinstance(spec, dict):
        found += metadata if isinstance(metadata, tuple) else ()
        if isinstance(kind, str) and kind in EVERY and isinstance(spec, dict):
            checked = validate(EVERY[kind], without_empty(spec), "spec", origin)
            found += checked if isinstance(checked, tuple) else ()
        return Rejected(_ref(value), _together(document, origin, found))
    return Draft(Ref(str(kind), metadata.name), metadata, spec, passage, origin, document.empty_fields)


def without_empty(value: object) -> object:
    """The same data without the fields that have no value."""
    if isinstance(value, Mapping):
        return {key: without_empty(item) for key, item in value.items() if item is not None}
    if isinstance(value, tuple):
        return tuple(without_empty(item) for item in value)
    return value


def _together(document: Document, origin: Origin, found: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    """What is wrong with the text, and with the fields that it does not touch."""
    file = origin.location.file
    said = {origin.at(item.path) for item in document.problems if item.path}
    said |= {Location(file, item.line, item.column) for item in document.problems}
    return _text_problems(document, file) + tuple(item for item in found if item.location not in said)


def _text_problems(document: Document, file: str) -> tuple[Diagnostic, ...]:
    return tuple(
        finding(item.code, Origin(Location(file, item.line, item.column)), item.path, item.problem, item.advice)
        for item in document.problems
    )


def _ref(value: object) -> Ref | None:
    if not isinstance(value, Mapping):
        return None
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    kind = value.get("kind")
    return Ref(kind, name) if isinstance(kind, str) and isinstance(name, str) else None


def _foreign(value: object) -> str:
    """Why a document is plainly not ours; empty where it is, or could be."""
    if not isinstance(value, Mapping):
        return "it is a list" if isinstance(value, tuple) else "it is a single value"
    api, kind = value.get("apiVersion"), value.get("kind")
    if isinstance(api, str):
        group = api.partition("/")[0]
        near = "innkeeper" in api.lower() or nearest(group, [_GROUP]) or (kind in KINDS and "/" not in api)
        return "" if near else f"its apiVersion is {described(api)}"
    if isinstance(kind, str):
        return "" if nearest(kind, KINDS) or "spec" in value else f"its kind is {described(kind)}"
    slip = any(nearest(key, ("apiVersion", "kind")) for key in value)
    return "" if slip or api or kind or {"metadata", "spec"} <= value.keys() else "it has neither apiVersion nor kind"


def _envelope(value: Mapping[str, object], origin: Origin) -> list[Diagnostic]:
    found = []
    for key in value:
        if key not in _TOP:
            near = nearest(key, _TOP)
            advice = f"Did you mean {near}? " if near else ""
            advice += f"A manifest has the fields {', '.join(_TOP)}."
            found.append(finding("UnknownField", origin, key, "there is no such field", advice))
    found += _word(value, "apiVersion", (API_VERSION,), "UnknownAPIVersion", origin)
    found += _word(value, "kind", KINDS, "UnknownKind", origin)
    for field in ("metadata", "spec"):
        content = value.get(field)
        if content is None:
            advice = "Write {name: …} below it." if field == "metadata" else "Write what is to be below it."
            found.append(finding("MissingField", origin, field, "this field is required", advice))
        elif not isinstance(content, Mapping):
            problem = f"expected a map, found {described(content)}"
            found.append(finding("WrongType", origin, field, problem, "Write fields below it, or in { }."))
    return found


def _word(
    value: Mapping[str, object], field: str, valid: tuple[str, ...], code: str, origin: Origin
) -> list[Diagnostic]:
    word = value.get(field)
    if word in valid:
        return []
    if word is None:
        return [finding("MissingField", origin, field, "this field is required", f"Allowed: {', '.join(valid)}.")]
    near = nearest(str(word), valid)
    advice = (f"Did you mean {near}? " if near else "") + f"Allowed: {', '.join(valid)}."
    return [finding(code, origin, field, f"{described(word)} is not known", advice)]
