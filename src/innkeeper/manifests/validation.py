"""Plain data to the model's values, and every complaint of pydantic in our own words."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from innkeeper.manifests.origins import finding, printable, shown
from innkeeper.manifests.vocabulary import Vocabulary, nearest, vocabulary
from innkeeper.model.base import QUANTITY_PATTERN
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Origin

Model = TypeVar("Model", bound=BaseModel)
Raw = Mapping[str, object]

_SECRET = re.compile(r"(?i)(password|secret|token)$")
_RANGES = ("greater_than", "less_than", "multiple_of", "finite_number")
_SWITCHES = {"yes": "true", "on": "true", "1": "true", "true": "true", "no": "false", "off": "false"} | {
    "0": "false",
    "false": "false",
}


def validate(model: type[Model], raw: object, root: str, origin: Origin) -> Model | tuple[Diagnostic, ...]:
    """The value, or what is wrong. `root` is the path of `raw` in the document: `spec`, `metadata`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        return tuple(_translate(model, error, raw, root, origin))


def _translate(
    model: type[BaseModel], error: ValidationError, raw: object, root: str, origin: Origin
) -> Iterable[Diagnostic]:
    words = vocabulary(model)
    by_field: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # It has items; those are complained of themselves.
        by_field.setdefault(_path(detail, raw), []).append(detail)
    for path, details in by_field.items():
        yield _Complaint(words, path, details, root, origin).told()


def _path(detail: ErrorDetails, raw: object) -> tuple[str, ...]:
    """The field that an error is about: its location without pydantic's names of unions' branches."""
    path: list[str] = []
    here = raw
    for part in detail["loc"]:
        if isinstance(here, Mapping) and part in here:
            here = here[str(part)]
        elif isinstance(here, tuple | list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            if detail["type"] == "missing":
                path.append(str(part))
            break
        path.append(str(part))
    return tuple(path)


class _Complaint:
    """One field with what pydantic says of it (several sentences where the field takes several types)."""

    def __init__(
        self, words: Vocabulary, path: tuple[str, ...], details: list[ErrorDetails], root: str, origin: Origin
    ) -> None:
        self._words, self._path, self._root, self._origin = words, path, root, origin
        self._detail = details[0]
        self._several = len(details) > 1
        self._value: Any = self._detail["input"]

    def told(self) -> Diagnostic:
        kind = self._detail["type"]
        if kind == "missing":
            return self._missing()
        if kind == "extra_forbidden":
            return self._unknown()
        if self._is_plain_secret():
            advice = "Write {env: NAME} for an environment variable, or {file: PATH}."
            return self._say("PlainSecret", "a secret never stands in a manifest", advice)
        if self._several:
            return self._wrong_type()
        if kind == "value_error":
            return self._refused()
        if kind == "literal_error":
            return self._unknown_value()
        if kind == "string_pattern_mismatch":
            return self._misspelt()
        if kind.startswith(_RANGES):
            return self._say("OutOfRange", f"{self._found()} is out of range", f"Allowed: {self._allowed()}.")
        if kind == "string_too_long":
            return self._say("TooLong", f"{len(self._value)} characters are too many", f"Allowed: {self._allowed()}.")
        if kind == "too_short":
            return self._say("MissingField", "the list is empty", "Give at least one item.")
        return self._wrong_type()

    def _say(self, code: str, problem: str, advice: str) -> Diagnostic:
        return finding(code, self._origin, ".".join((self._root, *self._path)), problem, advice)

    def _allowed(self) -> str:
        return self._words.allowed(self._path)

    def _found(self) -> str:
        secret = any(_SECRET.search(part) for part in self._path)
        return "what stands there" if secret else described(self._value)

    def _is_plain_secret(self) -> bool:
        return isinstance(self._value, str) and self._path[-1:] in (("password",), ("tokenSecret",))

    def _missing(self) -> Diagnostic:
        return self._say("MissingField", "this field is required", f"Expected {self._allowed()}.")

    def _unknown(self) -> Diagnostic:
        parent, name = self._path[:-1], self._path[-1]
        fields = self._words.fields(parent)
        meant = self._words.meant(parent, name)
        where = shown(".".join((self._root, *parent)))
        advice = f"Fields of {where}: {', '.join(fields)}." if fields else f"{where} has no fields."
        if meant:
            same_place = meant.rpartition(".")[0] == ".".join(parent)
            short = meant.rpartition(".")[2] if same_place else f"{self._root}.{meant}"
            advice = f"Did you mean {short}? {advice}"
        elif "options" in fields:
            advice = f"Other Proxmox settings go into {where}.options. {advice}"
        return self._say("UnknownField", "there is no such field", advice)

    def _unknown_value(self) -> Diagnostic:
        valid = self._words.enum(self._path)
        if not isinstance(self._value, str):
            return self._wrong_type()
        near = nearest(self._value, valid)
        advice = (f"Did you mean {near}? " if near else "") + f"Allowed: {', '.join(valid)}."
        return self._say("UnknownValue", f"{self._found()} is none of the allowed words", advice)

    def _misspelt(self) -> Diagnostic:
        pattern = str(self._detail.get("ctx", {}).get("pattern", ""))
        if not self._value:
            return self._say("BadValue", "the text is empty", f"Allowed: {self._allowed()}.")
        if "," in pattern and re.search(r"[,=\s\x00-\x1f]", self._value):
            problem = f"{self._found()} would reach Proxmox as more than one setting"
            return self._say("UnsafeValue", problem, f"Allowed: {self._allowed()}.")
        code = "BadName" if self._path[-1:] == ("name",) and self._root == "metadata" else "BadValue"
        near = self._repaired()
        advice = (f"Did you mean {near}? " if near else "") + f"Allowed: {self._allowed()}."
        return self._say(code, f"{self._found()} is not valid here", advice)

    def _repaired(self) -> str | None:
        """A spelling that would be valid: lower case, hyphens for underscores, the kind of a need spelt right."""
        pattern = self._words.pattern(self._path)
        if pattern is None:
            return None
        kind, _, name = self._value.partition("/")
        near = nearest(kind, ("Container", "VirtualMachine")) if name else "Container"
        candidates = (
            self._value.lower().replace("_", "-").replace(" ", "-").strip("-"),
            f"{near}/{name or kind}" if near else "",
            self._value.replace("-", ":").upper(),
            self._value.replace("http://", "https://"),
            re.sub(r"(https://[^/]+)/.*", r"\1", self._value),
        )
        return next((word for word in candidates if re.search(pattern, word)), None)

    def _refused(self) -> Diagnostic:
        problem = str(self._detail.get("ctx", {}).get("error", "")) or "this value is refused"
        if self._words.pattern(self._path) == QUANTITY_PATTERN or "quantity" in self._allowed():
            return self._say("BadQuantity", problem, f"Allowed: {self._allowed()}.")
        if isinstance(self._value, str):
            return self._say("BadValue", problem, f"Allowed: {self._allowed()}.")
        return self._say("BadCombination", problem, f"Here goes {self._allowed()}.")

    def _wrong_type(self) -> Diagnostic:
        return self._say("WrongType", f"expected {self._allowed()}, found {self._found()}", self._repair_advice())

    def _repair_advice(self) -> str:
        kinds, value = self._words.kinds(self._path), self._value
        if "boolean" in kinds and str(value).lower() in _SWITCHES:
            return f"Write {_SWITCHES[str(value).lower()]}, without quotes."
        if kinds & {"integer", "number"} and isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
            return f"Write {value}, without quotes."
        if kinds & {"string", "enum"} and isinstance(value, bool | int | float):
            return f'Put it in quotes: "{described(value)}".'
        if "array" in kinds and not isinstance(value, tuple | None):
            return "Write a list: begin each item with `- `, or put them in [ ]."
        if "object" in kinds and not isinstance(value, Mapping):
            return "Write fields below it, or in { }."
        return ""


def described(value: object) -> str:
    """A value in a sentence: text in quotes and short, collections by their kind."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{printable(value)}"' if len(value) <= 60 else f'"{printable(value[:57])}…"'
    if isinstance(value, tuple | list):
        return "a list"
    return "a map" if isinstance(value, Mapping) else str(value)
