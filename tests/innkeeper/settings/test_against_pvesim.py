"""The hard promise: what was created or changed is, read back, exactly what the manifest says. Over HTTPS."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innkeeper.settings.importing import to_spec
from tests.innkeeper.settings.guests import compiled
from tests.innkeeper.settings.laboratory import ISO, Laboratory
from tests.innkeeper.settings.strategies import specs

KINDS = ["Container", "VirtualMachine"]
_few = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("kind", KINDS)
@_few
@given(data=st.data())
def test_nothing_differs_after_a_create(laboratory: Laboratory, kind: str, data: st.DataObject) -> None:
    spec = data.draw(specs(kind))
    guest, desired = compiled(kind, spec, laboratory.version)
    vmid = laboratory.create(guest, desired)
    difference, observed = laboratory.compare(guest, desired, vmid)
    assert difference.empty, (difference, observed.config)
    assert not difference.changes
    assert not difference.waiting
    laboratory.remove(kind, vmid)


@pytest.mark.parametrize("kind", KINDS)
@_few
@given(data=st.data())
def test_planning_what_import_prints_is_empty(laboratory: Laboratory, kind: str, data: st.DataObject) -> None:
    guest, desired = compiled(kind, data.draw(specs(kind)), laboratory.version)
    vmid = laboratory.create(guest, desired)
    observed = laboratory.look(kind, vmid)
    printed = to_spec(observed, "home")
    again, wanted = compiled(kind, printed, laboratory.version, name=observed.name)
    difference, observed = laboratory.compare(again, wanted, vmid)
    assert not difference.changes, (difference.changes, printed, observed.config)
    assert not difference.set
    assert not difference.delete
    assert not difference.refused
    assert not difference.resizes
    assert not difference.pool
    laboratory.remove(kind, vmid)


@pytest.mark.parametrize("running", [False, True], ids=["stopped", "running"])
@pytest.mark.parametrize("kind", KINDS)
@_few
@given(data=st.data())
def test_nothing_differs_after_an_update(laboratory: Laboratory, kind: str, running: bool, data: st.DataObject) -> None:
    old, new = data.draw(specs(kind)), data.draw(specs(kind))
    _changeable(old, new)
    if running:
        _startable(kind, old, new)
    guest, desired = compiled(kind, old, laboratory.version)
    vmid = laboratory.create(guest, desired)
    if running:
        laboratory.start(kind, vmid)
    guest, desired = compiled(kind, new, laboratory.version)
    difference, observed = laboratory.compare(guest, desired, vmid)
    assert not difference.refused, difference.refused
    assert not difference.replace, difference.replace
    macs = _macs(observed.config or {})
    laboratory.update(guest, desired, difference, observed)
    after, observed = laboratory.compare(guest, desired, vmid)
    assert after.empty, (difference, after, observed.config, observed.pending)
    expected = {change.field for change in difference.changes if change.impact == "restart"}
    if running:
        assert {change.field for change in after.waiting} == expected, (difference.changes, observed.pending)
    named = {slot for slot, parts in desired.parts.items() if "macaddr" in parts or "hwaddr" in parts}
    for slot, mac in _macs(observed.config or {}).items():
        assert slot in named or macs.get(slot, mac) == mac
    laboratory.remove(kind, vmid)


def _macs(config: Any) -> dict[str, str]:
    parts = {slot: text.split(",") for slot, text in config.items() if slot.startswith("net")}
    return {
        slot: next(part.rpartition("=")[2].upper() for part in listed if part.count(":") == 5)
        for slot, listed in parts.items()
    }


def _changeable(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Leave out of `new` what only a new guest can have, or what would shrink or move a volume."""
    for name in ("unprivileged", "sshKeys"):
        new.pop(name, None)
    if "rootDisk" in new:
        new["rootDisk"] = {"size": "9Gi"}
    there = {_id(item): item for name in ("mounts", "disks") for item in old.get(name, [])}
    for name in ("mounts", "disks"):
        for item in new.get(name, []):
            if _id(item) in there:
                item.pop("storage", None)
                if "size" in item:
                    item["size"] = "9Gi"
    if "sshKeys" in old:
        new["sshKeys"] = old["sshKeys"]
    drive, wanted = old.get("cloudInit"), new.get("cloudInit")
    if wanted is not None:
        wanted.pop("storage", None)
        wanted.pop("slot", None)
    if drive is not None and wanted is not None and "slot" in drive:
        wanted["slot"] = drive["slot"]


def _startable(kind: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Leave out what Proxmox accepts and then cannot start or unplug: quotas without privileges, the boot disk."""
    for spec in (old, new):
        for mount in spec.get("mounts", []):
            mount.pop("quota", None)
        if kind == "VirtualMachine":
            spec["options"] = spec.get("options", {}) | {"ide1": f"{ISO},media=cdrom"}
    if kind == "VirtualMachine" and "disks" in old:
        kept = {disk["slot"] for disk in new.get("disks", [])}
        new["disks"] = new.get("disks", []) + [disk for disk in old["disks"] if disk["slot"] not in kept]


def _id(item: dict[str, Any]) -> str:
    return str(item.get("path") or item["slot"])
