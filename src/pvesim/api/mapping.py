"""Hardware and directories by the names that guests use them with (PVE::API2::Cluster::Mapping::PCI, ::USB, ::Dir)."""

from __future__ import annotations

import re
from typing import Any

from pvesim.api.method import ApiError, Call, method
from pvesim.api.sections import change, changing, digest, sections, settings

KINDS = ("dir", "pci", "usb")
SEE = ("Mapping.Modify", "Mapping.Use", "Mapping.Audit")
OPTIONS = {
    "dir": ("description", "map"),
    "pci": ("description", "map", "live-migration-capable", "mdev"),
    "usb": ("description", "map"),
}
FAILED = {"dir": "directory", "pci": "hardware", "usb": "hardware"}


@method("GET", "/cluster/mapping")
def index(call: Call) -> object:
    return [{"name": kind} for kind in KINDS if kind != "dir" or call.cluster.major >= 9]


def _kind(call: Call) -> str:
    return call.path.split("/")[3]


def _file(call: Call) -> str:
    return f"mapping/{_kind(call)}.cfg"


@method("GET", "/cluster/mapping/dir")
@method("GET", "/cluster/mapping/pci")
@method("GET", "/cluster/mapping/usb")
def list_mappings(call: Call) -> object:
    """With `check-node` also whether that node has a device under the name."""
    kind, node, seal = _kind(call), call.params.get("check-node"), digest(call, _file(call))
    rows = []
    for name, entry in sections(call, _file(call)).items():
        if call.allowed(f"/mapping/{kind}/{name}", *SEE, any=True):
            checks = {"checks": _checks(entry, str(node))} if node else {}
            rows.append(entry | {"id": name, "digest": seal} | checks)
    return rows


def _checks(entry: dict[str, Any], node: str) -> list[dict[str, str]]:
    here = [line for line in entry["map"] if f"node={node}" in line.split(",")]
    return [] if here else [{"severity": "warning", "message": f"No mapping for node {node}."}]


@method("GET", "/cluster/mapping/dir/{id}")
@method("GET", "/cluster/mapping/pci/{id}")
@method("GET", "/cluster/mapping/usb/{id}")
def read(call: Call) -> object:
    name = str(call.params["id"])
    entry = sections(call, _file(call)).get(name)
    if entry is None:
        raise ApiError(500, f"mapping '{name}' not found")
    return entry | {"digest": digest(call, _file(call))}


@method("POST", "/cluster/mapping/dir")
@method("POST", "/cluster/mapping/pci")
@method("POST", "/cluster/mapping/usb")
async def create(call: Call) -> None:
    kind, name = _kind(call), str(call.params["id"])
    async with changing(call, _file(call), f"create {FAILED[kind]} mapping failed") as known:
        if name in known:
            raise ApiError(500, f"{kind} ID '{name}' already defined")
        known[name] = settings(call, "id") | {"type": kind}
        known[name]["map"] = _sorted(known[name]["map"])


@method("PUT", "/cluster/mapping/dir/{id}")
@method("PUT", "/cluster/mapping/pci/{id}")
@method("PUT", "/cluster/mapping/usb/{id}")
async def update(call: Call) -> None:
    kind, name = _kind(call), str(call.params["id"])
    given = settings(call, "id", "delete", "digest")
    async with changing(call, _file(call), f"update {FAILED[kind]} mapping failed") as known:
        if name not in known:
            raise ApiError(500, f"{kind} ID '{name}' does not exist")
        change(known[name], given, call.params.get("delete"), known=OPTIONS[kind], needed=("map",))
        known[name]["map"] = _sorted(known[name]["map"])


@method("DELETE", "/cluster/mapping/dir/{id}")
@method("DELETE", "/cluster/mapping/pci/{id}")
@method("DELETE", "/cluster/mapping/usb/{id}")
async def delete(call: Call) -> None:
    async with changing(call, _file(call), f"delete {_kind(call)} mapping failed") as known:
        known.pop(str(call.params["id"]), None)


def _sorted(lines: list[str]) -> list[str]:
    """A node's lines together, as the file has them."""
    return sorted(lines, key=lambda line: re.findall(r"node=([^,]+)", line))
