"""From a guest that exists to the manifest that describes it: planning what this prints is empty."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.units import format_quantity
from innkeeper.settings import canonical, fields, table
from innkeeper.settings.marker import TAG
from innkeeper.settings.volumes import disk_format, is_cd, is_cloud_init, natural, storage_of

_OWN = frozenset({"description", "tags", "hostname", "name", "digest", "lxc"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""No manifest holds these in an option (`env` of several variables has NUL between them)."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def to_spec(observed: ObservedGuest, cluster_name: str) -> dict[str, object]:
    """The manifest's `spec` in file spelling (camelCase, quantities with units): fields first, the rest in `options`.

    Left out: the host name where `metadata.name` can be it; what Proxmox writes by itself (`digest`, `meta`,
    `vmgenid` …); what Innkeeper cannot set over the API (raw `lxc.*` lines, `unusedN`); secrets.
    ValueError when `observed.config` is None.
    """
    if observed.config is None:
        raise ValueError(f"the configuration of {observed.vmid} was not read: {observed.unreadable}")
    spec: dict[str, object] = {"cluster": cluster_name, "vmid": observed.vmid, "node": observed.node}
    # A guest without a name is listed under one that Proxmox makes up (`VM 207`).
    name = observed.config.get("hostname" if observed.kind == "Container" else "name", "")
    if name and not _NAME.fullmatch(name):
        spec["hostname"] = name
    found, options = express(observed.kind, observed.config, observed.marker.settings if observed.marker else ())
    spec |= found
    tags = [tag for tag in canonical.tags(observed.config.get("tags", "")) if tag != TAG]
    extras: dict[str, object] = {"tags": tags, "description": observed.description, "pool": observed.pool}
    if observed.power in ("running", "paused"):
        extras["running"] = True
    for name, value in extras.items():
        if value and _accepts(observed.kind, {name: value}):
            spec[name] = value
    if options:
        spec["options"] = dict(sorted(options.items()))
    return spec


def express(
    kind: str, config: Mapping[str, str], ours: Collection[str] = ()
) -> tuple[dict[str, object], dict[str, object]]:
    """(fields, options) that say what this configuration says; options only for what no field can say.

    What Proxmox writes by itself is left out, unless `ours` (a marker's settings) names it.
    """
    spec: dict[str, object] = {}
    options: dict[str, object] = {}
    for name in sorted(config, key=natural):
        setting = table.find(kind, name)
        if setting is None or name in _OWN or setting.marks & {"internal", "secret"}:
            continue
        if "auto" in setting.marks and name not in ours:
            continue
        text = config[name]
        if not text.strip():
            continue
        part = _as_fields(kind, name, text)
        if part is not None and _accepts(kind, part):
            _merge(spec, part)
        elif fields.group_of(kind, name) not in ("mounts", "rootDisk") and not _CONTROL.search(text):
            options[name] = _as_option(setting, text)
    return spec, options


def _as_option(setting: table.Setting, text: str) -> object:
    if setting.form == "flag" or setting.form == "integer":
        value = canonical.canonical(setting.form, text)
        return int(value) if value.isdigit() else text
    if "volume" in setting.marks:
        parts = setting.parse(text)
        parts.pop("size", None)
        return setting.render(parts)
    return text


def _as_fields(kind: str, name: str, text: str) -> dict[str, object] | None:
    """The part of a spec that says exactly this; None when no field can."""
    setting = table.find(kind, name)
    group = fields.group_of(kind, name)
    try:
        if setting is None or not setting.parts:
            row = fields.field_of(kind, name)
            return _nested(row.path, row.decode(text)) if row else None
        parts = setting.parse(text)
        if group == "network":
            return {"network": [_nic(kind, name, parts)]}
        if group == "rootDisk":
            storage = storage_of(parts["volume"])
            return {"rootDisk": {"storage": storage, **_size(parts)}} if storage else None
        if group == "mounts":
            return {"mounts": [_mount(kind, name, parts)]}
        if group == "disks":
            return _drive(kind, name, parts)
        found: dict[str, object] = {}
        for part, value in parts.items():
            row = fields.field_of(kind, name, part)
            if row is None:
                return None
            _merge(found, _nested(row.path, row.decode(value)))
        return found
    except (ValueError, KeyError):
        return None


def _item(kind: str, name: str, parts: Mapping[str, str], *, exact: bool) -> dict[str, object]:
    """The fields of a list's item; with `exact` ValueError for a sub-key that has none."""
    found: dict[str, object] = {}
    for part, value in parts.items():
        row = fields.field_of(kind, name, part)
        if row:
            found[row.leaf] = row.decode(value)
        elif exact and not (part == "type" and value == "veth"):
            raise ValueError(f"{part} has no field")
    return found


def _nic(kind: str, name: str, parts: Mapping[str, str]) -> dict[str, object]:
    found = _item(kind, name, parts, exact=True)
    if kind == "VirtualMachine":
        return {"slot": name, **found}
    return found if parts.get("name") == f"eth{name[3:]}" else {"slot": name, **found}


def _mount(kind: str, name: str, parts: Mapping[str, str]) -> dict[str, object]:
    volume = parts["volume"]
    where: dict[str, object] = {"storage": storage_of(volume), **_size(parts)}
    if volume.startswith("/"):
        where = {"source": volume}
    return {"path": parts["mp"], "slot": name, **where, **_item(kind, name, parts, exact=False)}


def _drive(kind: str, name: str, parts: Mapping[str, str]) -> dict[str, object] | None:
    storage = storage_of(parts["file"])
    if storage and is_cloud_init(parts["file"]):
        return {"cloudInit": {"storage": storage, "slot": name}}
    if not storage or is_cd(parts):
        return None
    size = {} if name in ("efidisk0", "tpmstate0") else _size(parts)
    form = disk_format(parts)
    known = {"format": form} if form in ("qcow2", "vmdk") else {}
    return {"disks": [{"slot": name, "storage": storage, **size, **known, **_item(kind, name, parts, exact=False)}]}


def _size(parts: Mapping[str, str]) -> dict[str, object]:
    return {"size": format_quantity(canonical.parse_size(parts["size"]))} if "size" in parts else {}


def _nested(path: str, value: object) -> dict[str, object]:
    for name in reversed(path.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def _merge(spec: dict[str, Any], part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, Mapping):
            _merge(spec.setdefault(name, {}), value)
        elif isinstance(value, list) and name in ("network", "mounts", "disks"):
            spec.setdefault(name, []).extend(value)
        else:
            spec[name] = value


def _accepts(kind: str, spec: Mapping[str, object]) -> bool:
    model = ContainerSpec if kind == "Container" else VirtualMachineSpec
    try:
        model.model_validate_json(json.dumps(spec))
    except ValidationError:
        return False
    return True
