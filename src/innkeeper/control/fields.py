"""A plan's field (`network.eth0.bridge`, `rootDisk.size`) found in a manifest's spec, and set there. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

_LISTS = {"network": ("name", "slot"), "mounts": ("slot", "path"), "disks": ("slot",)}
"""What items of these lists are called by in a plan."""


def path_of(spec: Mapping[str, Any], field: str) -> tuple[str | int, ...] | None:
    """The way to a field in a spec; its last part need not be there yet. None where it cannot be told."""
    here: Any = spec
    path: list[str | int] = []
    rest = field
    while rest:
        if isinstance(here, Sequence) and not isinstance(here, str):
            found = _item(here, str(path[-1]), rest)
            if found is None:
                return None
            index, rest = found
            path.append(index)
            here = here[index]
            continue
        if path == ["options"]:
            part, rest = rest, ""
        else:
            part, _, rest = rest.partition(".")
        path.append(part)
        here = here.get(part, {}) if isinstance(here, Mapping) else None
        if here is None and rest:
            return None
    return tuple(path)


def _item(items: Sequence[Any], name: str, rest: str) -> tuple[int, str] | None:
    for key in _LISTS.get(name, ()):
        for index, item in enumerate(items):
            word = str(item.get(key, "eth0" if name == "network" and key == "name" else "")) if item else ""
            if word and (rest == word or rest.startswith(f"{word}.")):
                return index, rest[len(word) + 1 :]
    return None


def with_field(spec: Mapping[str, Any], field: str, value: object) -> dict[str, Any] | None:
    """The spec with one field as it shall be; None where the field cannot be told, or is none of a manifest's."""
    path = path_of(spec, field)
    if not path:
        return None
    found: dict[str, Any] = _set(spec, path, value)
    return found


def value_at(spec: Mapping[str, Any], field: str) -> Any:
    """The value of a field; None where it is not there."""
    path = path_of(spec, field)
    here: Any = spec
    for part in path or ():
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            return None
    return here if path else None


def _set(node: Any, path: Sequence[str | int], value: object) -> Any:
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        return [_set(item, rest, value) if index == head and rest else item for index, item in enumerate(node)]
    result = dict(node) if isinstance(node, Mapping) else {}
    if rest:
        result[head] = _set(result.get(head, {}), rest, value)
    elif value is None:
        result.pop(head, None)
    else:
        result[head] = value
    return result
