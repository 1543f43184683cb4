"""A manifest's text with one thing changed: comments, order and layout of all else stay as a person wrote them. Pure.

The place of a value comes from the YAML parser's marks, its new text from the writer of manifests. Whatever the layout,
the edited text is read again: where it does not say exactly what was meant, the edit is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from innkeeper.engine.errors import Stalled
from innkeeper.manifests.writing import flow
from innkeeper.manifests.yamltext import documents
from innkeeper.model.objects import Ref

Path = tuple[str | int, ...]
_ADVICE = "Change it in the repository by hand."


class Removed:
    """In place of a value: the field goes."""


REMOVED = Removed()


def edited(text: str, ref: Ref, changes: Mapping[Path, object]) -> str:
    """The text with fields of one object set or taken out; paths begin at `spec`. Stalled where that cannot be done."""
    wanted = data_of(text, ref)
    if wanted is None:
        raise Stalled(f"the file holds no {ref}", _ADVICE)
    for path, value in changes.items():
        wanted = put(wanted, path, value)
        text = _applied(text, ref, path, value)
    if _plain(data_of(text, ref)) != _plain(wanted):
        raise Stalled(f"{ref} is written in a way that cannot be edited here", _ADVICE)
    return text


def without(text: str, ref: Ref) -> str | None:
    """The text without one object's document; None where nothing of ours is left."""
    found = list(documents(text))
    at = next((index for index, item in enumerate(found) if _is(item.value, ref)), None)
    if at is None:
        raise Stalled(f"the file holds no {ref}", _ADVICE)
    if len(found) == 1:
        return None
    begin = found[at].start
    end = found[at + 1].start if at + 1 < len(found) else len(text)
    head, tail = text[:begin], text[end:]
    if not tail:
        head = head.rstrip()
        head = head.removesuffix("---").rstrip() + "\n"
    left = head + tail
    if [item.value for item in documents(left)] != [item.value for item in found if item is not found[at]]:
        raise Stalled(f"{ref} cannot be taken out of its file here", _ADVICE)
    return left


def data_of(text: str, ref: Ref) -> Any:
    """An object's whole document as data; None where it is not there."""
    return next((item.value for item in documents(text) if _is(item.value, ref)), None)


def put(data: Any, path: Path, value: object) -> Any:
    """Data with one value set or removed; maps that are not there are made."""
    head, rest = path[0], path[1:]
    if isinstance(head, int):
        items = list(data) if isinstance(data, Sequence) else []
        if head >= len(items):
            raise Stalled("a list cannot grow here", _ADVICE)
        items[head] = put(items[head], rest, value) if rest else value
        return tuple(items)
    result = dict(data) if isinstance(data, Mapping) else {}
    if rest:
        if head in result or value is not REMOVED:
            result[head] = put(result.get(head, {}), rest, value)
    elif value is REMOVED:
        result.pop(head, None)
    else:
        result[head] = value
    return result


def _is(value: object, ref: Ref) -> bool:
    if not isinstance(value, Mapping):
        return False
    metadata = value.get("metadata")
    return value.get("kind") == ref.kind and isinstance(metadata, Mapping) and metadata.get("name") == ref.name


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _applied(text: str, ref: Ref, path: Path, value: object) -> str:
    node = _root(text, ref)
    for index, part in enumerate(path):
        found = _child(node, part)
        if found is None:
            return text if value is REMOVED else _added(text, node, path[index:], value)
        key, child = found
        if index + 1 == len(path):
            return _taken_out(text, node, key, child) if value is REMOVED else _replaced(text, key, child, value)
        node = child
    raise Stalled(f"{ref} is not changed as a whole", _ADVICE)


def _root(text: str, ref: Ref) -> yaml.Node:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for node in yaml.compose_all(text, loader):
        if isinstance(node, yaml.MappingNode):
            metadata = _child(node, "metadata")
            name = _child(metadata[1], "name") if metadata else None
            kind = _child(node, "kind")
            if name and kind and (kind[1].value, name[1].value) == (ref.kind, ref.name):
                return node
    raise Stalled(f"the file holds no {ref}", _ADVICE)


def _child(node: yaml.Node, part: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(part, int):
        if isinstance(node, yaml.SequenceNode) and part < len(node.value):
            return None, node.value[part]
        return None
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    return None


def _end(node: yaml.Node) -> int:
    """Where a node's own text ends; a block's mark lies behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _replaced(text: str, key: yaml.Node | None, node: yaml.Node, value: object) -> str:
    begin, end = node.start_mark.index, _end(node)
    new = flow(value)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        end = len(text[:end].rstrip())
    elif isinstance(node, yaml.CollectionNode) and not node.flow_style and key is not None:
        # A block below its key becomes one line behind it.
        begin = text.index(":", key.end_mark.index) + 1
        new = f" {new}"
    return text[:begin] + new + text[end:]


def _added(text: str, node: yaml.Node, path: Path, value: object) -> str:
    """A field that was not there: at the end of the map that it belongs to."""
    for part in reversed(path[1:]):
        value = {part: value}
    entry = f"{path[0]}: {flow(value)}"
    if not isinstance(node, yaml.MappingNode):
        raise Stalled(f"{path[0]} cannot be added there", _ADVICE)
    if node.flow_style:
        close = text.rindex("}", 0, node.end_mark.index)
        inside = text[node.start_mark.index + 1 : close].strip()
        comma = ", " if inside and not inside.endswith(",") else ""
        return text[:close].rstrip() + comma + entry + text[close:]
    if not node.value:
        raise Stalled(f"{path[0]} cannot be added there", _ADVICE)
    first, (_, last) = node.value[0][0], node.value[-1]
    end = _end(last)
    if isinstance(last, yaml.ScalarNode) and last.style in ("|", ">"):
        end = len(text[:end].rstrip())
    line = text.find("\n", end)
    line = len(text) if line < 0 else line
    return f"{text[:line]}\n{' ' * first.start_mark.column}{entry}{text[line:]}"


def _taken_out(text: str, parent: yaml.Node, key: yaml.Node | None, node: yaml.Node) -> str:
    if key is None or not isinstance(parent, yaml.MappingNode):
        raise Stalled("an item of a list cannot be taken out here", _ADVICE)
    if len(parent.value) == 1:
        return _replaced(text, None, parent, {}) if parent.flow_style else _emptied(text, key, node)
    begin, end = key.start_mark.index, _end(node)
    if not parent.flow_style:
        begin = text.rindex("\n", 0, begin) + 1 if "\n" in text[:begin] else 0
        line = text.find("\n", end)
        return text[:begin] + (text[line + 1 :] if line >= 0 else "")
    after = text[end:].lstrip()
    if after.startswith(","):
        return text[:begin] + text[end + text[end:].index(",") + 1 :].lstrip()
    before = text[:begin].rstrip().removesuffix(",").rstrip()
    return before + text[end:]


def _emptied(text: str, key: yaml.Node, node: yaml.Node) -> str:
    return text[: key.start_mark.index] + "{}" + text[_end(node) :]
