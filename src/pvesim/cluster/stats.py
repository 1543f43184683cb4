"""What pvestatd knows of guests, nodes and storages: rows of `/cluster/resources` and `/nodes` (PVE::API2Tools).

With a real clock these are as old as pvestatd's last tick; a guest that came since then is `unknown` and nameless.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pvesim.cluster import storage as storages
from pvesim.cluster import storagepaths
from pvesim.cluster.lxc import status as lxc_status
from pvesim.cluster.qemu import status as qemu_status
from pvesim.cluster.state import Cluster, Guest, Node, Storage

Row = dict[str, Any]
TICK_SECONDS = 10
ROOT_DISK = 252 * 2**30
SAME = (
    "uptime",
    "name",
    "status",
    "cpu",
    "maxmem",
    "mem",
    "maxdisk",
    "disk",
    "netin",
    "netout",
    "diskread",
    "diskwrite",
)


def guest_row(cluster: Cluster, guest: Guest) -> Row:
    """One guest; `lock`, `pool`, `tags` and `hastate` are not here."""
    row = {"id": f"{guest.kind}/{guest.vmid}", "vmid": guest.vmid, "node": guest.node, "type": guest.kind}
    known = fresh(cluster, guest) if cluster.stats is None else cluster.stats.get(guest.vmid)
    return {**row, "status": "unknown"} if known is None else {**row, **known}


def fresh(cluster: Cluster, guest: Guest) -> Row:
    """The numbers of a guest at this moment."""
    now = lxc_status.status(cluster, guest) if guest.kind == "lxc" else qemu_status.status(cluster, guest)
    row: Row = {key: now.get(key, 0) for key in SAME}
    row |= {"maxcpu": now["cpus"], "template": int(guest.is_template)}
    if guest.kind == "qemu" and guest.paused:
        row["status"] = "paused"
    if cluster.major >= 9:
        row["memhost"] = row["mem"]
    return row


def tick(cluster: Cluster) -> None:
    """What pvestatd does every ten seconds."""
    cluster.stats = {guest.vmid: fresh(cluster, guest) for guest in cluster.guests.values()}


def node_rows(cluster: Cluster, audit: dict[str, bool], guests: list[Row] | None = None) -> list[Row]:
    """All nodes; without `audit` of a node its numbers are left out. `guests`: their rows, where they are at hand."""
    used: dict[str, int] = defaultdict(int)
    for row in [guest_row(cluster, guest) for guest in cluster.guests.values()] if guests is None else guests:
        used[row["node"]] += row.get("mem", 0)
    return [_node_row(cluster, node, used[node.name], audit[node.name]) for node in cluster.nodes.values()]


def node_memory(cluster: Cluster, node: Node) -> int:
    """What a node uses, in bytes: its own programs and its guests."""
    mine = (guest for guest in cluster.guests.values() if guest.node == node.name and guest.running is not None)
    return _base_memory(node) + sum(int(guest_row(cluster, guest).get("mem", 0)) for guest in mine)


def _base_memory(node: Node) -> int:
    return min(3 * 2**29, node.memory // 4)


def _node_row(cluster: Cluster, node: Node, used: int, audit: bool) -> Row:
    row: Row = {"id": f"node/{node.name}", "node": node.name, "type": "node", "level": ""}
    row["status"] = "online" if node.online else "offline"
    if audit:
        row |= {"maxcpu": node.cpus, "maxmem": node.memory, "maxdisk": ROOT_DISK}
        if node.online:
            row |= {"cpu": 0.02, "mem": _base_memory(node) + used, "disk": ROOT_DISK // 5}
            row["uptime"] = int(cluster.clock.now() - node.booted_at)
    return row


def storage_row(cluster: Cluster, storage: Storage, node: str) -> Row:
    """One storage on one node."""
    row: Row = {
        "id": f"storage/{node}/{storage.storage}",
        "storage": storage.storage,
        "node": node,
        "type": "storage",
        "plugintype": storage.type,
        "status": "unknown",
        "shared": int(storage.shared),
        "content": ",".join(sorted(storages.content_of(storage))),
    }
    if cluster.nodes[node].online:
        usage = storagepaths.usage(cluster, storage, node)
        row |= {"status": "available", "maxdisk": usage.total, "disk": usage.used}
    return row
