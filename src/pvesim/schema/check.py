"""Checks parameters and property strings against their facts, with Proxmox's own messages (PVE::JSONSchema)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pvesim.schema import formats
from pvesim.schema.types import FormatError, Method, Param

MISSING = "property is missing and it is not optional"
UNKNOWN = "property is not defined in schema and the schema does not allow additional properties"
INTEGER = re.compile(r"[+-]?\d+\n?$")
NUMBER = re.compile(r"[+-]?(\d+\.\d+|\d+\.|\.\d+|\d+)([eE][+-]?\d+)?\n?$")
TRUE, FALSE = re.compile(r"(1|on|yes|true)$", re.I), re.compile(r"(0|off|no|false)$", re.I)

Properties = dict[str, str]  # a parsed property string; booleans are "1" and "0"


def check(method: Method, raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The typed values and the error of each parameter that is wrong (then the values mean nothing).

    `raw` holds text, or what JSON had: numbers, booleans, lists, None (which counts as absent but stays in the values).
    Integers become int, numbers int or float, booleans bool; property strings stay text.
    """
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, given in raw.items():
        param = method.params.get(name)
        if param is None:
            if not method.open:
                errors[name] = UNKNOWN
            values[name] = given
            continue
        if given is None:
            values[name] = None
            continue
        value = _legacy(param, given)
        found: dict[str, str] = {}
        check_value(param, value, name, found)
        errors |= found
        if not found:
            values[name] = _typed(param, value)
        if param.requires and raw.get(param.requires) is None:
            _add(errors, param.requires, f"missing property - '{name}' requires this property")
    for name in method.required:
        if raw.get(name) is None:
            _add(errors, name, MISSING)
    return values, errors


def check_value(param: Param, value: Any, path: str, errors: dict[str, str]) -> None:
    """Adds to `errors` what is wrong with one value (PVE::JSONSchema, check_prop)."""
    wrong = _wrong_type(param.type, value)
    if wrong:
        _add(errors, path, wrong)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if param.items:
                check_value(param.items, item, f"{path}[{index}]", errors)
    elif not isinstance(value, (dict, bool)):
        text = _wrong_text(param, str(value), path)
        if text:
            _add(errors, path, text)


def parse(table: Mapping[str, Param], text: str, path: str = "") -> Properties:
    """The keys of a property string, its default key and aliases resolved; FormatError as Proxmox words it.

    (PVE::JSONSchema, parse_property_string)
    """
    found: Properties = {}
    default_key = next((name for name, param in table.items() if param.key), None)
    default_used = False
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, value = part.partition("=")
        if not equals:
            if default_used or (default_key and found.get(default_key)):
                raise FormatError(f"duplicate key in comma-separated list property: {default_key}")
            if default_key is None:
                raise FormatError("value without key, but schema does not define a default key")
            found[default_key] = part
            default_used = True
        elif not name or not value:
            raise FormatError("missing key in comma-separated list property")
        else:
            _put(table, found, name, value)
    errors = {f"{path}.{name}" if path else name: UNKNOWN for name in found if name not in table}
    for name, param in table.items():
        at = f"{path}.{name}" if path else name
        if name in found:
            check_value(param, found[name], at, errors)
            if param.requires and param.requires not in found:
                _add(
                    errors,
                    f"{path}.{param.requires}" if path else param.requires,
                    f"missing property - '{at}' requires this property",
                )
        elif not param.optional and not param.alias:
            _add(errors, at, MISSING)
    if errors:
        raise FormatError("format error", errors)
    return found


def render(table: Mapping[str, Param], found: Mapping[str, str], skip: frozenset[str] = frozenset()) -> str:
    """The property string of such keys: the default key, then those that must be there, then the rest, each by name.

    (PVE::JSONSchema, print_property_string)
    """
    values = {name: value for name, value in found.items() if name not in skip}
    default_key = next((name for name, param in table.items() if param.key), None)
    combined = {param.alias_as: param.alias for param in table.values() if param.alias and param.alias_as}
    order = sorted(values, key=lambda name: (name != default_key, name not in table or table[name].optional, name))
    parts, done = [], set()
    for name in order:
        other = combined.get(name)
        if other is not None and other in values:
            parts.append(f"{values[name]}={values[other]}")
            done.add(other)
        elif name not in done:
            parts.append(values[name] if name == default_key else f"{name}={values[name]}")
    return ",".join(parts)


def boolean(text: str) -> str:
    """`1` or `0` for the spellings that config files and property strings allow; others as they are."""
    return "1" if TRUE.match(text) else "0" if FALSE.match(text) else text


def _put(table: Mapping[str, Param], found: Properties, name: str, value: str) -> None:
    if name in found:
        raise FormatError(f"duplicate key in comma-separated list property: {name}")
    param = table.get(name)
    if param is not None and param.alias:
        if param.alias_as:
            if param.alias_as in found:
                raise FormatError(f"key alias '{param.alias_as}' is already defined")
            found[param.alias_as] = name
        name, param = param.alias, table.get(param.alias)
    found[name] = boolean(value) if param is not None and param.type == "boolean" else value


def _add(errors: dict[str, str], path: str, text: str) -> None:
    errors[path] = f"{errors[path]}\\n{text}" if path in errors else text


def _legacy(param: Param, value: Any) -> Any:
    """Repeated keys of a form are a list, a list of one is not (PVE::RESTHandler, handle)."""
    if isinstance(value, list) and param.type == "string" and (param.format or "").endswith("-list"):
        return ",".join(map(str, value))
    if param.type == "array" and not isinstance(value, (list, dict, bool)) and value not in ("", "0", 0):
        return [value]
    return value


def _wrong_type(kind: str, value: Any) -> str | None:
    if kind == "array":
        return None if isinstance(value, list) else "type check ('array') failed"
    if isinstance(value, bool):
        return None if kind in ("boolean", "any") else f"type check ('{kind}') failed - got JSON::PP::Boolean"
    if isinstance(value, (list, dict)):
        return (
            None
            if kind == "any"
            else f"type check ('{kind}') failed - got {'ARRAY' if isinstance(value, list) else 'HASH'}"
        )
    text = str(value)
    good = {
        "boolean": lambda: text in ("0", "1"),
        "integer": lambda: INTEGER.match(text) is not None,
        "number": lambda: NUMBER.match(text) is not None,
    }.get(kind)
    return None if good is None or good() else f"type check ('{kind}') failed - got '{text}'"


def _wrong_text(param: Param, value: str, path: str) -> str | None:
    """The first thing that is wrong with a scalar, in Proxmox's order: format, pattern, length, limits, enumeration."""
    if param.format:
        try:
            _check_format(param, value, path)
        except FormatError as error:
            return f"invalid format - {error}"
    if param.pattern is not None and not regex(param.pattern).match(value):
        return "value does not match the regex pattern"
    if param.max_length is not None and len(value) > param.max_length:
        return f"value may only be {param.max_length} characters long"
    if param.min_length is not None and len(value) < param.min_length:
        return f"value must be at least {param.min_length} characters long"
    if (param.maximum is not None or param.minimum is not None) and NUMBER.match(value):
        number = float(value)
        if param.maximum is not None and number > param.maximum:
            return f"value must have a maximum value of {param.maximum:.15g}"
        if param.minimum is not None and number < param.minimum:
            return f"value must have a minimum value of {param.minimum:.15g}"
    if param.enum and value not in param.enum:
        return f"value '{value}' does not have a value in the enumeration '{', '.join(param.enum)}'"
    return None


def _check_format(param: Param, value: str, path: str) -> None:
    if param.table is not None:
        found = parse(param.table, value, path)
        if param.format == "prune-backups" and found.pop("keep-all", "0") == "1" and any(map(int, found.values())):
            raise FormatError("keep-all cannot be set together with other options.")
    else:
        formats.verify(param.format or "", value)


@cache
def regex(pattern: str) -> re.Pattern[str]:
    """A Perl pattern of the facts, anchored as Proxmox anchors it."""
    inline = re.sub(r"\(\?\^([a-z]*):", lambda flags: f"(?{flags[1]}:", pattern)
    return re.compile(f"^{inline}$")


def _typed(param: Param, value: Any) -> Any:
    if isinstance(value, list):
        return [_typed(param.items, item) if param.items else item for item in value]
    match param.type:
        case "boolean":
            return value in (True, 1, "1")
        case "integer":
            return int(value)
        case "number":
            number = float(value)
            return int(number) if number.is_integer() else number
        case "string":
            return str(value)
        case _:
            return value
