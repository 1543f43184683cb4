"""The facts are those of Proxmox: no parameter more, none less, with the same limits and rights, in both versions."""

import json
from pathlib import Path
from typing import Any

import pytest

from pvesim import schema
from pvesim.api.router import Router
from pvesim.schema import Method, Param
from pvesim.schema.facts import VERSIONS

PROXMOX = Path(__file__).parents[3].parent / "shared" / "pve-api"
SAME = {
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "default": "default",
    "requires": "requires",
    "alias": "alias",
    "keyAlias": "alias_as",
}


def stated(version: str) -> dict[str, Any]:
    path = PROXMOX / f"schema-{version}.json"
    if not path.exists():
        pytest.skip("Proxmox's own schema is not here")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def param_differences(where: str, theirs: dict[str, Any], ours: Param) -> list[str]:
    pairs: list[tuple[str, Any, Any]] = [(name, theirs.get(name), getattr(ours, here)) for name, here in SAME.items()]
    pairs += [("type", theirs.get("type") or "any", ours.type)]
    pairs += [("optional", bool(theirs.get("optional")), ours.optional)]
    pairs += [("enum", [str(word) for word in theirs.get("enum") or []], list(ours.enum))]
    pairs += [("default key", bool(theirs.get("default_key")), ours.key)]
    when = (theirs["type-property"], tuple(theirs["instance-types"])) if "type-property" in theirs else None
    pairs += [("when", when, ours.when)]
    wrong = [f"{where}: {name} {a!r}, here {b!r}" for name, a, b in pairs if _plain(a) != _plain(b)]
    kind = theirs.get("format")
    if isinstance(kind, dict):
        wrong += table_differences(where, kind, dict(ours.table or {}))
    elif kind != ours.format:
        wrong.append(f"{where}: format {kind}, here {ours.format}")
    if "items" in theirs:
        wrong += [f"{where}: no items"] if ours.items is None else param_differences(where, theirs["items"], ours.items)
    return wrong


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (list, tuple, bool)):
        return value
    try:
        return float(value)
    except ValueError:
        return str(value)


def table_differences(where: str, theirs: dict[str, Any], ours: dict[str, Param]) -> list[str]:
    wrong = [f"{where}: {name} missing or too much" for name in sorted(theirs.keys() ^ ours.keys())]
    for name in sorted(theirs.keys() & ours.keys()):
        wrong += param_differences(f"{where} {name}", theirs[name], ours[name])
    return wrong


def differences(theirs: dict[str, Any], ours: Method) -> list[str]:
    where = f"{ours.verb} {ours.path}"
    properties = theirs["parameters"].get("properties") or {}
    expanded: dict[str, Any] = {}
    for name, value in properties.items():
        base = name.removesuffix("[n]")
        names = [here for here in ours.params if here.rstrip("0123456789") == base != here] if name != base else [name]
        expanded |= dict.fromkeys(names or [name], value)
    wrong = table_differences(where, expanded, dict(ours.params))
    rights = theirs.get("permissions") or {}
    pairs = [
        ("user", rights.get("user"), ours.user),
        ("check", rights.get("check"), json.loads(json.dumps(ours.check))),
        ("protected", bool(theirs.get("protected")), ours.protected),
        ("proxyto", theirs.get("proxyto"), ours.proxyto),
        ("allowtoken", bool(theirs.get("allowtoken", 1)), ours.allow_token),
    ]
    return wrong + [f"{where}: {name} {a!r}, here {b!r}" for name, a, b in pairs if a != b]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_method_accepts_what_proxmox_accepts(version: str) -> None:
    theirs = stated(version)
    ours = schema.load(version)
    wrong = [f"{name}: no such method" for name in ours if name not in theirs]
    for name in ours.keys() & theirs.keys():
        wrong += differences(theirs[name], ours[name])
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("version", VERSIONS)
def test_facts_are_stated_of_what_is_served_and_of_nothing_else(version: str) -> None:
    router = Router(version)
    assert router.served == schema.load(version).keys()
    assert router.unknown == set()


@pytest.mark.parametrize(("version", "known"), [("8.4.1", "8.4"), ("9.1.9", "9.1"), ("9.0.3", "9.1"), ("10.0", "9.1")])
def test_the_facts_of_the_nearest_release_speak_for_a_version(version: str, known: str) -> None:
    assert schema.supported(version) == known
