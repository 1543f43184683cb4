"""What a guest is to be, what it is, and what waits for a restart, side by side, field by field."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from innkeeper.model.plan import Json

State = Literal["same", "differs", "waits", "unmanaged"]
_NAMES = ("name", "path", "slot", "role", "port")
"""Fields by which the items of a list are known to people, in this order."""
Flat = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Row:
    """One field; None: not set. `state` is `unmanaged` where the manifest says nothing about it."""

    field: str
    desired: Json
    live: Json
    pending: Json
    state: State


@dataclass(frozen=True, slots=True)
class Comparison:
    managed: tuple[Row, ...]
    unmanaged: tuple[Row, ...]

    @property
    def differing(self) -> int:
        return sum(row.state != "same" for row in self.managed)


def compare(desired: Flat, live: Flat, pending: Flat, changes: Sequence[Mapping[str, Json]] = ()) -> Comparison:
    """`changes` is what a sync would do: those fields differ, however the values are spelled; the others do not."""
    wanted, found, waiting = dict(flatten(desired)), dict(flatten(live)), dict(flatten(pending))
    changed = [str(change.get("field", "")) for change in changes]
    rows = [
        Row(
            field,
            wanted.get(field),
            _seen(field, wanted, found),
            waiting.get(field),
            _state(field, wanted, waiting, changed),
        )
        for field in dict.fromkeys((*wanted, *found, *waiting))
    ]
    managed = tuple(row for row in rows if row.state != "unmanaged")
    return Comparison(managed, tuple(row for row in rows if row.state == "unmanaged"))


def _state(field: str, wanted: Flat, waiting: Flat, changed: Sequence[str]) -> State:
    if field in waiting:
        return "waits"
    if any(field == name or field.startswith(f"{name}.") or name.startswith(f"{field}.") for name in changed):
        return "differs"
    return "same" if field in wanted else "unmanaged"


def _seen(field: str, wanted: Flat, found: Flat) -> Json:
    """What is there; of an item that is declared by its name alone, that it is there."""
    if wanted.get(field) is True and any(name.startswith(f"{field}.") for name in found):
        return True
    return found.get(field)


def flatten(value: Mapping[str, Json], path: str = "") -> Iterator[tuple[str, Json]]:
    """Dotted fields; the items of a list by their name, else by their place."""
    for name, item in value.items():
        yield from _flat(item, f"{path}.{name}" if path else name)


def _flat(item: Json, path: str) -> Iterator[tuple[str, Json]]:
    if isinstance(item, Mapping) and item:
        yield from flatten(item, path)
    elif isinstance(item, (list, tuple)) and any(isinstance(part, Mapping) for part in item):
        for place, part in enumerate(item):
            label, rest = _label(part, place)
            yield from _flat(rest, f"{path}.{label}")
    else:
        yield path, item


def _label(part: Json, place: int) -> tuple[str, Json]:
    """What an item is called, and the rest of it."""
    if isinstance(part, Mapping):
        for name in _NAMES:
            if isinstance(part.get(name), str):
                rest = {key: value for key, value in part.items() if key != name}
                return str(part[name]), rest or True
    return str(place), part
