"""`/nodes/{node}/network`: interfaces of a host. Changes wait until they are applied. (PVE::API2::Network)"""

from __future__ import annotations

import ipaddress
from typing import Any

from pvesim.api.access import split_list
from pvesim.api.method import Call, TaskLog, method, param_error
from pvesim.cluster.state import Node

Interfaces = dict[str, dict[str, Any]]
BRIDGES = {"bridge", "OVSBridge"}
WAITING = "interfaces.new"  # the key of Node.config for what is not yet applied
BRIDGE = {"bridge_stp": "off", "bridge_fd": "0", "bridge_ports": ""}


@method("GET", "/nodes/{node}/network")
def index(call: Call) -> object:
    node, kind = _node(call), call.params.get("type")
    wanted = (
        BRIDGES if kind in ("any_bridge", "any_local_bridge") else None if kind in (None, "include_sdn") else {kind}
    )
    rows = [row for row in _known(node).values() if wanted is None or row["type"] in wanted]
    if kind in ("bridge", "any_bridge", "any_local_bridge", "include_sdn"):
        zone = "/sdn/zones/localnetwork"
        rows = [row for row in rows if call.allowed(f"{zone}/{row['iface']}", "SDN.Audit", "SDN.Use", any=True)]
    if WAITING in node.config:
        call.attributes["changes"] = _difference(node)
    return rows


@method("GET", "/nodes/{node}/network/{iface}")
def read(call: Call) -> object:
    return {key: value for key, value in _interface(call, _known(_node(call))).items() if key != "iface"}


@method("POST", "/nodes/{node}/network")
def create(call: Call) -> None:
    node, name = _node(call), str(call.params["iface"])
    known = _known(node)
    if name in known:
        raise param_error(iface="interface already exists")
    _wait(node, known | {name: _made(call, {"priority": len(known) + 3})})


@method("PUT", "/nodes/{node}/network/{iface}")
def update(call: Call) -> None:
    node = _node(call)
    known = _known(node)
    row = dict(_interface(call, known))
    for key in split_list(call.params.get("delete")):
        row.pop(key, None)
        if key in ("cidr", "address"):
            for gone in ("cidr", "address", "netmask"):
                row.pop(gone, None)
    _wait(node, known | {row["iface"]: _made(call, row)})


@method("DELETE", "/nodes/{node}/network/{iface}")
def delete(call: Call) -> None:
    node = _node(call)
    known = _known(node)
    gone = _interface(call, known)["iface"]
    _wait(node, {name: row for name, row in known.items() if name != gone})


@method("PUT", "/nodes/{node}/network")
def apply(call: Call) -> object:
    node = _node(call)

    async def worker(log: TaskLog) -> None:
        await call.cluster.clock.sleep(2)
        waiting = node.config.pop(WAITING, None)
        if waiting is not None:
            node.network = {name: row | {"active": 1} for name, row in waiting.items()}

    return call.fork("srvreload", "networking", worker)


@method("DELETE", "/nodes/{node}/network")
def revert(call: Call) -> None:
    _node(call).config.pop(WAITING, None)


def _node(call: Call) -> Node:
    return call.cluster.nodes[call.node]


def _known(node: Node) -> Interfaces:
    found: Interfaces = node.config.get(WAITING, node.network)
    return found


def _wait(node: Node, interfaces: Interfaces) -> None:
    node.config[WAITING] = interfaces


def _interface(call: Call, known: Interfaces) -> dict[str, Any]:
    name = str(call.params["iface"])
    if name not in known:
        raise param_error(iface="interface does not exist")
    return known[name]


def _made(call: Call, base: dict[str, Any]) -> dict[str, Any]:
    """The interface that the parameters describe, on top of `base`."""
    given = {key: value for key, value in call.params.items() if key not in {"node", "delete"} and value is not None}
    row = base | {key: int(value) if isinstance(value, bool) else str(value) for key, value in given.items()}
    if row["type"] == "bridge":
        row = BRIDGE | row
    if "cidr" in given:
        network = ipaddress.ip_interface(row["cidr"])
        row |= {"address": str(network.ip), "netmask": str(network.network.prefixlen)}
    elif "address" in given:
        row["cidr"] = f"{row['address']}/{row.get('netmask', '24')}"
    row["method"] = "static" if "address" in row else "manual"
    row["method6"] = "static" if "address6" in row or "cidr6" in row else "manual"
    return row | {"families": ["inet", "inet6"] if row["method6"] == "static" else ["inet"]}


def _difference(node: Node) -> str:
    """What differs, as `diff` shows it."""
    new: Interfaces = node.config[WAITING]
    lines = [f"-iface {name}" for name in node.network if node.network[name] != new.get(name)]
    lines += [f"+iface {name}" for name in new if new[name] != node.network.get(name)]
    return "--- /etc/network/interfaces\n+++ /etc/network/interfaces.new\n" + "\n".join(lines) + "\n"
