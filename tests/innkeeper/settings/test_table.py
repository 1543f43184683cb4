"""The table holds what Proxmox accepts: no setting more, none less, with their types and limits."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from innkeeper.settings import fields, table

SCHEMAS = Path(__file__).parents[4] / "shared" / "pve-api"
KINDS = {"Container": "lxc", "VirtualMachine": "qemu"}
_CALL = frozenset(
    re.findall(
        r"\S+",
        """bwlimit delete digest force ignore-unpack-errors node ostemplate password pool restore revert ssh-public-keys
        start storage unique vmid archive cdrom import-working-storage live-restore skiplock ha-managed""",
    )
)
"""Parameters of the calls that are no settings of the guest; `cdrom` is another word for `ide2`."""


def _schema(version: str, kind: str) -> dict[str, dict[str, Any]]:
    file = SCHEMAS / f"schema-{version}.json"
    if not file.exists():
        pytest.skip(f"{file} is not here")
    methods = json.loads(file.read_text())
    found: dict[str, dict[str, Any]] = {}
    for call in (f"POST /nodes/{{node}}/{KINDS[kind]}", f"PUT /nodes/{{node}}/{KINDS[kind]}/{{vmid}}/config"):
        for name, facts in methods[call]["parameters"]["properties"].items():
            found[name] = found.get(name, {}) | facts
    return {name: facts for name, facts in found.items() if name not in _CALL}


@pytest.mark.parametrize("version", ["8.4", "9.1"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_there(kind: str, version: str) -> None:
    number = (int(version[0]), int(version[2]))
    ours = {
        name
        for name, setting in table.settings(kind).items()
        if setting.exists_in(number) and not ("internal" in setting.marks and name not in _schema(version, kind))
    }
    assert ours == set(_schema(version, kind))


@pytest.mark.parametrize("version", ["8.4", "9.1"])
@pytest.mark.parametrize("kind", KINDS)
def test_types_and_limits_agree(kind: str, version: str) -> None:
    for name, facts in _schema(version, kind).items():
        setting = table.settings(kind)[name]
        if "internal" not in setting.marks and "count" not in facts:
            _agrees(name, setting, facts)
        form = facts.get("format")
        if isinstance(form, dict) and setting.parts:
            number = (int(version[0]), int(version[2]))
            real = {part for part, known in form.items() if "alias" not in known}
            ours = {part for part, known in setting.parts.items() if known.exists_in(number)}
            assert ours - {"freeze-fs-on-backup"} == real - {"freeze-fs-on-backup"}, name
            for part in real:
                _agrees(f"{name}.{part}", setting.parts[part], form[part])
            assert setting.key == next((part for part, known in form.items() if known.get("default_key")), ""), name


def _agrees(name: str, setting: table.Setting, facts: dict[str, Any]) -> None:
    forms = {"boolean": {"flag"}, "integer": {"integer", "shares"}, "number": {"number", "integer"}}
    assert setting.form in forms.get(facts["type"], {setting.form}), name
    assert set(map(str, facts.get("enum") or ())) <= set(setting.choices), name
    assert setting.minimum == (float(facts["minimum"]) if "minimum" in facts else None), name
    assert setting.maximum == (float(facts["maximum"]) if "maximum" in facts else None), name
    default = facts.get("default")
    if default is not None and setting.default is not None:
        assert str(default) == setting.default, name


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_sets_a_setting(kind: str) -> None:
    for group in ("", "network", "mounts", "disks"):
        for row in fields.fields(kind, group):
            setting = table.settings(kind).get(row.setting) or table.find(kind, row.setting)
            assert setting, row.path
            assert not row.part or row.part in setting.parts, row.path


@pytest.mark.parametrize(
    ("kind", "name", "found"),
    [
        ("Container", "mp255", "mp[n]"),
        ("Container", "mp256", None),
        ("Container", "net07", None),
        ("VirtualMachine", "numa", "numa"),
        ("VirtualMachine", "numa1", "numa[n]"),
        ("VirtualMachine", "scsi31", None),
        ("VirtualMachine", "ostemplate", None),
        ("VirtualMachine", "net[n]", None),
    ],
)
def test_finding_by_name(kind: str, name: str, found: str | None) -> None:
    setting = table.find(kind, name)
    assert (setting.name if setting else None) == found
