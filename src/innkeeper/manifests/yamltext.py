"""YAML text to plain data, document by document, with every finding in its place.

Reads the parser's events instead of composing a tree: libyaml's own composer recurses in C and dies of deep nesting.
Data is made of dict, tuple, str, int, float, bool and None. Places are not kept: `places` reads a document once more,
which costs half a millisecond and is needed only where something is to be said about it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from innkeeper.manifests.scalars import Refused, resolve
from innkeeper.manifests.syntax import explain

MAX_DEPTH = 32
MAX_NODES = 20_000

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding about the text itself; `path` is the field that it touches, line and column count from 1."""

    code: str
    path: str
    problem: str
    advice: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document. `value` is only of use where there are no problems; `start` and `end` are
    its place in the text; the text there begins with line `line`."""

    value: object
    line: int
    column: int
    start: int
    end: int
    empty_fields: bool
    problems: tuple[Problem, ...]


Place = tuple[int, int]
Event = Any
"""An event of PyYAML; its types leave out what its scalar and collection events carry."""


class _Broken(Exception):
    """The rest of the text cannot be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.problem)
        self.problem = problem


def documents(text: str) -> Iterator[Document]:
    """Every document that is not empty. After broken syntax comes one last document that holds only the problem."""
    reader = _Reader(text, None)
    try:
        yield from reader.documents()
    except (_Broken, yaml.YAMLError) as broken:
        found = broken.problem if isinstance(broken, _Broken) else Problem(*explain(broken, text))
        yield Document(None, found.line, found.column, 0, 0, False, (*reader.problems, found))


def places(text: str, first_line: int) -> dict[str, Place]:
    """The place of each field (`spec.network.0.ip`) of the first document in `text`, which starts at `first_line`."""
    found: dict[str, Place] = {}
    reader = _Reader(text, found)
    try:
        for _ in reader.documents():
            break
    except (_Broken, yaml.YAMLError):
        pass
    return {path: (line + first_line - 1, column) for path, (line, column) in found.items()}


class _Reader:
    def __init__(self, text: str, found: dict[str, Place] | None) -> None:
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        self._next: Callable[[], Event] = loader.get_event
        self._found = found
        self._nodes = 0
        self._empty_fields = False
        self.problems: list[Problem] = []

    def documents(self) -> Iterator[Document]:
        while True:
            event = self._next()
            if type(event) is StreamEndEvent:
                return
            if type(event) is not DocumentStartEvent:
                continue
            self._nodes, self._empty_fields, self.problems = 0, False, []
            root: Event = self._next()
            mark = root.start_mark
            value = self._value(root, "", 0)
            end: Event = self._next()
            while type(end) is not DocumentEndEvent:
                end = self._next()
            last: Any = end.end_mark
            if value is not None or self.problems:
                line, column = mark.line + 1, mark.column + 1
                problems, start = tuple(self.problems), mark.index - mark.column
                yield Document(value, line, column, start, last.index, self._empty_fields, problems)

    def _value(self, event: Event, path: str, depth: int) -> object:
        kind = type(event)
        if kind is ScalarEvent:
            return self._scalar(event, path)
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            self._give_up(event, path, deep=depth > MAX_DEPTH)
        if kind is AliasEvent:
            self._refuse_anchor(event, path, f"*{event.anchor} refers to an anchor")
            return None
        if event.anchor is not None:
            self._refuse_anchor(event, path, f"&{event.anchor} is an anchor")
        if event.tag is not None:
            self._refuse_tag(event, path)
        if kind is MappingStartEvent:
            return self._mapping(path, depth)
        return self._sequence(path, depth)

    def _mapping(self, path: str, depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        prefix = f"{path}." if path else ""
        event = self._next()
        while type(event) is not MappingEndEvent:
            key = self._key(event, path)
            field = prefix + key
            mark = event.start_mark
            value_event = self._next()
            if key in result:
                self._say("DuplicateKey", event, field, f"{key} is given twice in the same place", "Keep one of them.")
            elif self._found is not None:
                self._found[field] = (mark.line + 1, mark.column + 1)
            if key == "<<":
                advice = "Write the fields out, or put what many guests share into a Profile."
                self._say("MergeKey", event, field, "merge keys are not part of YAML 1.2", advice)
            value = self._value(value_event, field, depth + 1)
            result[key] = value
            if value is None:
                self._empty_fields = True
            event = self._next()
        return result

    def _key(self, event: Event, path: str) -> str:
        if type(event) is not ScalarEvent:
            text, advice = "a field's name is a list or a map", "Write a word before the colon; render templates first."
            mark = event.start_mark
            raise _Broken(Problem("BadKey", path, text, advice, mark.line + 1, mark.column + 1))
        if event.anchor is not None or event.tag is not None:
            self._scalar(event, path)
            return str(event.value)
        name = self._scalar(event, path)
        if not isinstance(name, str):
            if name is not None or event.value:
                text = f"{event.value} as a field's name is not text to YAML"
                self._say("BadKey", event, path, text, f'Put the name in quotes: "{event.value}".')
            else:
                self._say("BadKey", event, path, "a field has no name", "Write a word before the colon.")
            return str(event.value)
        return name

    def _sequence(self, path: str, depth: int) -> tuple[object, ...]:
        items: list[object] = []
        event = self._next()
        while type(event) is not SequenceEndEvent:
            field = f"{path}.{len(items)}"
            if self._found is not None:
                self._found[field] = (event.start_mark.line + 1, event.start_mark.column + 1)
            items.append(self._value(event, field, depth + 1))
            event = self._next()
        return tuple(items)

    def _scalar(self, event: Event, path: str) -> object:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._give_up(event, path, deep=False)
        if event.anchor is not None:
            self._refuse_anchor(event, path, f"&{event.anchor} is an anchor")
        if event.tag is not None:
            self._refuse_tag(event, path)
        text: str = event.value
        if not event.implicit[0]:
            if event.style == '"' and _CONTROL.search(text):
                self._say("BadCharacter", event, path, "the text holds a control character", "Remove its escape.")
            return text
        value = resolve(text)
        if type(value) is Refused:
            self._say(value.code, event, path, value.problem, value.advice)
            return text
        return value

    def _refuse_anchor(self, event: Event, path: str, what: str) -> None:
        advice = "Write the value out, or put what many guests share into a Profile."
        self._say("AnchorRefused", event, path, f"{what}; anchors and aliases are not read", advice)

    def _refuse_tag(self, event: Event, path: str) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        advice = "Leave the tag out; put text that looks like a number or a boolean in quotes."
        self._say("TagRefused", event, path, f"{tag} is a tag; tags are not read", advice)

    def _give_up(self, event: Event, path: str, *, deep: bool) -> None:
        mark = event.start_mark
        shown = ".".join(path.split(".")[:4])
        if deep:
            text, advice = f"nested more than {MAX_DEPTH} deep", "No field lies that deep: look for a bracket too many."
            raise _Broken(Problem("TooDeep", shown, text, advice, mark.line + 1, mark.column + 1))
        text, advice = f"one document with more than {MAX_NODES} values", "Split it: one object a document."
        raise _Broken(Problem("TooLarge", shown, text, advice, mark.line + 1, mark.column + 1))

    def _say(self, code: str, event: Event, path: str, problem: str, advice: str) -> None:
        mark = event.start_mark
        self.problems.append(Problem(code, path, problem, advice, mark.line + 1, mark.column + 1))
