"""What a host says of its packages, certificates, disks, devices and traffic, and its own settings.

PVE::API2::APT, ::Certificates, ::NodeConfig, ::Capabilities, ::Disks, ::Hardware, ::Nodes. A host of this cluster has
no physical disks or devices, its packages are up to date, and Ceph is not installed.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from pvesim.api.access import split_list
from pvesim.api.method import ApiError, Call, TaskLog, method, param_error
from pvesim.api.sections import MODIFIED, settings
from pvesim.cluster.state import Node

INDEXES: dict[str, tuple[str, tuple[str, ...]]] = {
    "apt": ("id", ("changelog", "repositories", "update", "versions")),
    "capabilities": ("name", ("qemu",)),
    "capabilities/qemu": ("name", ("cpu", "machines", "migration")),
    "certificates": ("name", ("acme", "custom", "info")),
    "disks": ("name", ("directory", "initgpt", "list", "lvm", "lvmthin", "smart", "wipedisk", "zfs")),
    "hardware": ("type", ("pci", "usb")),
    "scan": ("method", ("cifs", "iscsi", "lvm", "lvmthin", "nfs", "pbs", "zfs")),
}
OWN = "node"  # the key of Node.config for what `config` shows
KERNEL = "6.17.2-1-pve"


@method("GET", "/nodes/{node}/apt")
@method("GET", "/nodes/{node}/capabilities")
@method("GET", "/nodes/{node}/capabilities/qemu")
@method("GET", "/nodes/{node}/certificates")
@method("GET", "/nodes/{node}/disks")
@method("GET", "/nodes/{node}/hardware")
@method("GET", "/nodes/{node}/scan")
def index(call: Call) -> object:
    key, names = INDEXES[call.path.removeprefix("/nodes/").partition("/")[2]]
    return [{key: name} for name in names]


@method("GET", "/nodes/{node}/apt/update")
@method("GET", "/nodes/{node}/disks/directory")
@method("GET", "/nodes/{node}/disks/lvmthin")
@method("GET", "/nodes/{node}/disks/zfs")
@method("GET", "/nodes/{node}/hardware/pci")
@method("GET", "/nodes/{node}/hardware/usb")
def nothing(call: Call) -> object:
    return []


@method("GET", "/nodes/{node}/disks/lvm")
def volume_groups(call: Call) -> object:
    return {"leaf": 0, "children": []}


@method("POST", "/nodes/{node}/apt/update")
def refresh(call: Call) -> object:
    async def work(log: TaskLog) -> None:
        log("starting apt-get update")
        await call.cluster.clock.sleep(3)

    return call.fork("aptupdate", "", work)


@method("GET", "/nodes/{node}/apt/versions")
def versions(call: Call) -> object:
    release = call.cluster.version
    titles = {"proxmox-ve": "Proxmox Virtual Environment", "pve-manager": "Virtual Environment Management Tools"}
    more: dict[str, dict[str, str]] = {
        "proxmox-ve": {"RunningKernel": KERNEL},
        "pve-manager": {"ManagerVersion": f"{release}/f40095996bcb6bf7"},
    }
    return [
        {
            "Package": name,
            "Title": title,
            "Description": title,
            "Version": release,
            "OldVersion": release,
            "CurrentState": "Installed",
            "Arch": "all" if name == "proxmox-ve" else "amd64",
            "Origin": "Proxmox",
            "Priority": "optional",
            "Section": "admin",
        }
        | more[name]
        for name, title in titles.items()
    ]


@method("GET", "/nodes/{node}/certificates/info")
def certificates(call: Call) -> object:
    node = _node(call)
    return [
        {
            "filename": "pve-ssl.pem",
            "fingerprint": node.fingerprint,
            "subject": f"/CN={node.name}",
            "issuer": "/CN=pvesim",
            "san": [node.name, "127.0.0.1"],
        }
    ]


@method("GET", "/nodes/{node}/capabilities/qemu/migration")
def migration_capabilities(call: Call) -> object:
    return {"has-dbus-vmstate": 1}


@method("GET", "/nodes/{node}/netstat")
def traffic(call: Call) -> object:
    """A row for every card of a running guest; the counts are texts."""
    return [
        {"vmid": str(guest.vmid), "dev": key, "in": "0", "out": "0"}
        for guest in call.cluster.guests.values()
        if guest.node == call.node and guest.running is not None
        for key in sorted(guest.running)
        if re.fullmatch(r"net\d+", key)
    ]


@method("GET", "/nodes/{node}/report")
def report(call: Call) -> object:
    system = f"# hostname\n{call.node}\n\n# pveversion\npve-manager/{call.cluster.version}\n"
    return f"==== general system info ====\n\n{system}"


@method("GET", "/cluster/ceph/status")
@method("GET", "/nodes/{node}/ceph/status")
def ceph(call: Call) -> object:
    raise ApiError(500, "binary not installed: /usr/bin/ceph-mon")


@method("GET", "/cluster/config/qdevice")
def qdevice(call: Call) -> object:
    return {}


@method("GET", "/access/tfa")
@method("GET", "/access/tfa/{userid}")
def second_factors(call: Call) -> object:
    """Nobody has one."""
    return []


@method("GET", "/nodes/{node}/config")
def read_config(call: Call) -> object:
    own, wanted = _own(_node(call)), call.params.get("property")
    if wanted not in (None, "all"):
        own = {key: value for key, value in own.items() if key == wanted}
    return own | {"digest": _digest(_own(_node(call)))}


@method("PUT", "/nodes/{node}/config")
def change_config(call: Call) -> None:
    own = _own(_node(call))
    if call.params.get("digest") not in (None, _digest(own)):
        raise ApiError(500, MODIFIED)
    given = settings(call, "node", "delete", "digest")
    for key in split_list(call.params.get("delete")):
        if key in given:
            raise param_error(delete=f"cannot use '{key}' and 'delete' at the same time")
        own.pop(key, None)
    own |= given


def _node(call: Call) -> Node:
    return call.cluster.nodes[call.node]


def _own(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = node.config.setdefault(OWN, {})
    return found


def _digest(own: dict[str, Any]) -> str:
    return hashlib.sha1(json.dumps(own, sort_keys=True).encode(), usedforsecurity=False).hexdigest()
