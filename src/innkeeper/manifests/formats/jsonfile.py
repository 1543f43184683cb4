"""JSON files of other formats: their data, their mistakes, and where each value stands."""

import json
from dataclasses import dataclass, field
from functools import cached_property

from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described
from innkeeper.manifests.yamltext import Place, places
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin

_DEEPEST = 32


@dataclass(frozen=True, eq=False)
class JsonFile:
    """`data` is made of dict, list, str, int, float, bool and None."""

    file: str
    text: str
    data: dict[str, object] = field(default_factory=dict)

    @cached_property
    def _known(self) -> dict[str, Place]:
        # JSON is YAML but for tabs between its values, and those do not move lines.
        return places(self.text.replace("\t", " "), 1)

    def find(self, path: str) -> tuple[str, Location | None]:
        while path and path not in self._known:
            path = path.rpartition(".")[0]
        return path, Location(self.file, *self._known[path]) if path else None


class _Twice(Exception):
    pass


def read_json(file: str, text: str) -> JsonFile | Diagnostic:
    """The object that a file holds, or why it holds none."""
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_refused)
    except json.JSONDecodeError as error:
        place = Origin(Location(file, error.lineno, error.colno))
        return finding("BadJSON", place, "", f"this is not JSON: {error.msg}", "Check commas, quotes and brackets.")
    except _Twice as error:
        return finding(
            "DuplicateKey", Origin(Location(file)), "", f"{described(str(error))} is given twice", "Keep one of them."
        )
    except ValueError as error:
        return finding("BadJSON", Origin(Location(file)), "", f"this is not JSON: {error}", "Write a plain number.")
    except RecursionError:
        return _deep(file)
    if _too_deep(data):
        return _deep(file)
    if not isinstance(data, dict):
        return finding("WrongType", Origin(Location(file)), "", "this is not a JSON object", "Begin it with {.")
    if (odd := _odd_key(data)) is not None:
        problem = f"{described(odd)} as a name holds a control character"
        return finding("BadCharacter", Origin(Location(file)), "", problem, "Remove it.")
    return JsonFile(file, text, data)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(next(name for name in names if names.count(name) > 1))
    return found


def _refused(word: str) -> object:
    raise ValueError(f"{word} is no number")


def _deep(file: str) -> Diagnostic:
    advice = "Look for a bracket too many."
    return finding("TooDeep", Origin(Location(file)), "", f"nested more than {_DEEPEST} deep", advice)


def _odd_key(value: object) -> str | None:
    if isinstance(value, dict):
        return next((key for key in value if not key.isprintable()), None) or next(
            (odd for item in value.values() if (odd := _odd_key(item)) is not None), None
        )
    items = value if isinstance(value, list) else ()
    return next((odd for item in items if (odd := _odd_key(item)) is not None), None)


def _too_deep(value: object, depth: int = 0) -> bool:
    if depth > _DEEPEST:
        return True
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_too_deep(item, depth + 1) for item in items)
