"""`/cluster`: resources, status, the next free id, options, recent tasks, corosync's view. (PVE::API2::Cluster)"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from pvesim.api.access import split_list
from pvesim.api.method import ApiError, Call, method, param_error
from pvesim.cluster import stats
from pvesim.cluster.state import Cluster
from pvesim.cluster.tasks import Task

SUBDIRS = (
    *("log", "options", "resources", "replication", "tasks", "backup", "ha", "status", "nextid", "firewall", "config"),
    *("acme", "ceph", "jobs", "sdn", "mapping", "notifications", "metrics"),
)
FIRST_ID, LAST_ID = 100, 999_999_999
OPEN_OPTIONS = {"console", "tag-style", "registered-tags", "allowed-tags", "consent-text"}
OBJECTS = {
    *("bwlimit", "crs", "ha", "migration", "next-id", "notify", "replication", "tag-style", "u2f"),
    *("user-tag-access", "webauthn"),
}
RECENT = 25


@method("GET", "/cluster")
def index(call: Call) -> object:
    return [{"name": name} for name in SUBDIRS]


@method("GET", "/cluster/resources")
def resources(call: Call) -> object:
    cluster, kind = call.cluster, call.params.get("type")
    rows: list[dict[str, Any]] = []
    pools: dict[str, dict[str, Any]] = {}
    if kind is None:
        for name in sorted(cluster.pools):
            if call.allowed(f"/pool/{name}", "Pool.Audit"):
                pools[name] = {"id": f"/pool/{name}", "pool": name, "type": "pool"}
    guests = [stats.guest_row(cluster, guest) for guest in cluster.guests.values()] if kind != "storage" else []
    if kind in (None, "vm"):
        rows += _guests(call, guests, pools)
    if kind in (None, "node"):
        audit = {node: call.allowed(f"/nodes/{node}", "Sys.Audit") for node in cluster.nodes}
        rows += [row | {"cgroup-mode": 2} for row in stats.node_rows(cluster, audit, guests)]
    if kind in (None, "storage"):
        for storage in cluster.storages.values():
            if call.allowed(f"/storage/{storage.storage}", "Datastore.Audit"):
                on = [node for node in cluster.nodes if storage.enabled and storage.on(node)]
                rows += [stats.storage_row(cluster, storage, node) for node in on]
    if kind in (None, "sdn") and call.allowed("/sdn/zones/localnetwork", "SDN.Audit", "SDN.Allocate", any=True):
        rows += [_network(cluster, node) for node in cluster.nodes]
    return [*pools.values(), *rows]


def _guests(call: Call, guests: list[dict[str, Any]], pools: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    cluster = call.cluster
    pool_of = {vmid: pool.poolid for pool in cluster.pools.values() for vmid in pool.vms}
    managed = cluster.ha.get("resources") or {}
    rows = []
    for row in guests:
        vmid, config = row["vmid"], cluster.guests[row["vmid"]].config
        for key in ("lock", "tags"):
            if key in config:
                row[key] = config[key]
        if vmid in pool_of:
            row["pool"] = pool_of[vmid]
            if row.get("uptime"):
                _add_up(pools.get(pool_of[vmid]), row)
        if not call.allowed(f"/vms/{vmid}", "VM.Audit"):
            continue
        service = managed.get(f"{'ct' if row['type'] == 'lxc' else 'vm'}:{vmid}") if managed else None
        if service:
            row["hastate"] = service.get("state", "started")
        rows.append(row)
    return rows


def _add_up(pool: dict[str, Any] | None, row: dict[str, Any]) -> None:
    if pool is None:
        return
    before = pool.get("maxcpu", 0)
    pool["uptime"] = max(pool.get("uptime", 0), row["uptime"])
    pool["maxcpu"] = before + row["maxcpu"]
    pool["cpu"] = (pool.get("cpu", 0) * before + row["cpu"] * row["maxcpu"]) / pool["maxcpu"]
    for key in ("mem", "maxmem"):
        pool[key] = pool.get(key, 0) + row[key]


def _network(cluster: Cluster, node: str) -> dict[str, Any]:
    row = {"node": node, "status": "ok" if cluster.nodes[node].online else "unknown"}
    if cluster.major < 9:
        return row | {"id": f"sdn/{node}/localnetwork", "sdn": "localnetwork", "type": "sdn"}
    own = {"id": f"network/{node}/zone/localnetwork", "network": "localnetwork", "network-type": "zone"}
    return row | own | {"type": "network"}


@method("GET", "/cluster/status")
def status(call: Call) -> object:
    cluster = call.cluster
    rows: list[dict[str, Any]] = []
    if cluster.name:
        own = {"type": "cluster", "id": "cluster", "name": cluster.name, "quorate": int(cluster.quorate)}
        rows.append(own | {"nodes": len(cluster.nodes), "version": len(cluster.nodes)})
    for node in cluster.nodes.values():
        row = {"type": "node", "id": f"node/{node.name}", "name": node.name, "nodeid": node.nodeid, "ip": node.address}
        rows.append(row | {"online": int(node.online), "local": int(node.name == call.here), "level": ""})
    return rows


@method("GET", "/cluster/nextid")
def next_id(call: Call) -> object:
    cluster, wanted = call.cluster, call.params.get("vmid")
    if wanted is not None:
        if int(wanted) in cluster.guests:
            raise param_error(vmid=f"VM {wanted} already exists")
        return str(wanted)
    limits = dict(re.findall(r"(lower|upper)=(\d+)", str(cluster.options.get("next-id", ""))))
    lower, upper = int(limits.get("lower", FIRST_ID)), int(limits.get("upper", LAST_ID + 1))
    free = next((vmid for vmid in range(lower, upper) if vmid not in cluster.guests), None)
    if free is None:
        raise ApiError(500, f"unable to get any free VMID in range [{lower}, {upper - 1}]")
    return str(free)


@method("GET", "/cluster/options")
def read_options(call: Call) -> object:
    options: dict[str, Any] = {"mac_prefix": "BC:24:11", "description": "", **call.cluster.options}
    for key in OBJECTS & options.keys():
        options[key] = dict(part.partition("=")[::2] for part in str(options[key]).split(","))
    registered = split_list(options.pop("registered-tags", None))
    if registered:
        options["registered-tags"] = registered
    options["allowed-tags"] = registered
    if not call.allowed("/", "Sys.Audit"):
        return {key: value for key, value in options.items() if key in OPEN_OPTIONS}
    return options


@method("PUT", "/cluster/options")
async def write_options(call: Call) -> None:
    async with call.cluster.locks.cfs("file-datacenter_cfg"):
        for key, value in call.params.items():
            if key != "delete":
                call.cluster.options[key] = int(value) if isinstance(value, bool) else value
        for key in split_list(call.params.get("delete")):
            call.cluster.options.pop(key, None)


@method("GET", "/cluster/tasks")
def tasks(call: Call) -> object:
    cluster = call.cluster
    everything = call.allowed("/", "Sys.Audit")
    shown: list[Task] = []
    for node in cluster.nodes:
        mine = [task for task in cluster.tasks.by_upid.values() if task.node == node]
        running = [task for task in mine if task.endtime is None]
        ended = sorted((task for task in mine if task.endtime is not None), key=lambda task: task.endtime or 0)
        shown += running + ended[::-1][: max(RECENT - len(running), 0)]
    rows = []
    for task in sorted(shown, key=lambda task: task.starttime, reverse=True):
        if everything or task.user == call.auth.name:
            row: dict[str, Any] = {"upid": task.upid, "node": task.node, "type": task.type, "id": task.id}
            row |= {"user": task.userid, "starttime": task.starttime}
            row |= {"tokenid": task.tokenid} if task.tokenid else {}
            if task.endtime is not None:
                row |= {"endtime": task.endtime, "status": task.exitstatus, "saved": "1"}
            rows.append(row)
    return rows


@method("GET", "/cluster/log")
def log(call: Call) -> object:
    everything = call.allowed("/", "Sys.Syslog")
    ended = [task for task in call.cluster.tasks.by_upid.values() if everything or task.user == call.auth.name]
    rows = [
        {
            "uid": uid,
            "id": f"{uid}:{task.node}",
            "node": task.node,
            "pid": task.pid,
            "user": task.user,
            "tag": "pvedaemon",
            "pri": 6 if task.exitstatus in ("OK", None) else 3,
            "time": task.endtime or task.starttime,
            "msg": f"{'end' if task.endtime else 'starting'} task {task.upid} {task.exitstatus or ''}".rstrip(),
        }
        for uid, task in enumerate(ended, 1)
    ]
    return rows[::-1][: int(call.params.get("max") or 50)]


@method("GET", "/cluster/config")
def config_index(call: Call) -> object:
    return [{"name": name} for name in ("nodes", "totem", "join", "apiversion")]


@method("GET", "/cluster/config/apiversion")
def api_version(call: Call) -> object:
    return 1


@method("GET", "/cluster/config/nodes")
def config_nodes(call: Call) -> object:
    return [{"node": node} | entry for node, entry in _corosync(call.cluster).items()]


@method("GET", "/cluster/config/totem")
def totem(call: Call) -> object:
    return _totem(call.cluster) if call.cluster.name else {}


@method("GET", "/cluster/config/join")
def join(call: Call) -> object:
    cluster = call.cluster
    if not cluster.name:
        raise ApiError(424, "node is not in a cluster, no join info available!")
    node = str(call.params.get("node") or call.here)
    if node not in cluster.nodes:
        raise ApiError(500, f"no such node '{node}'")
    known = _corosync(cluster)
    nodes = [known[it.name] | {"pve_addr": it.address, "pve_fp": it.fingerprint} for it in cluster.nodes.values()]
    text = repr(known).encode()
    return {
        "nodelist": nodes,
        "preferred_node": node,
        "totem": _totem(cluster),
        "config_digest": hashlib.sha1(text, usedforsecurity=False).hexdigest(),
    }


def _corosync(cluster: Cluster) -> dict[str, dict[str, str]]:
    if not cluster.name:
        return {}
    return {
        node.name: {"name": node.name, "nodeid": str(node.nodeid), "quorum_votes": "1", "ring0_addr": node.address}
        for node in cluster.nodes.values()
    }


def _totem(cluster: Cluster) -> dict[str, Any]:
    return {
        "version": "2",
        "secauth": "on",
        "cluster_name": cluster.name,
        "config_version": str(len(cluster.nodes)),
        "interface": {"0": {"linknumber": "0"}},
        "ip_version": "ipv4-6",
        "link_mode": "passive",
    }
