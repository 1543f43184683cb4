"""High availability: resources, groups, rules, status (PVE::API2::HAConfig, PVE::API2::HA::*)."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pvesim.api.method import ApiError, Call, method
from pvesim.cluster import ha

MIGRATED = "ha groups have been migrated to rules"
DELETABLE = {
    "resources": ("state", "group", "comment", "max_restart", "max_relocate", "failback"),
    "groups": ("comment", "nofailback", "restricted"),
    "rules": ("comment", "disable", "strict"),
}


@method("GET", "/cluster/ha")
def index(call: Call) -> object:
    names = ("status", "resources", "groups", "rules") if call.cluster.major >= 9 else ("status", "resources", "groups")
    return [{"id": name} for name in names]


@asynccontextmanager
async def _domain(call: Call, what: str) -> AsyncIterator[None]:
    """The cluster's HA lock; what goes wrong under it says what was tried."""
    try:
        async with call.cluster.locks.cfs("domain-ha"):
            yield
    except ApiError as error:
        if error.status != 500:
            raise
        raise ApiError(500, f"{what}: {error}") from error


def _plain(params: dict[str, Any], *leave_out: str) -> dict[str, Any]:
    kept = {key: value for key, value in params.items() if value is not None and key not in leave_out}
    return {key: int(value) if isinstance(value, bool) else value for key, value in kept.items()}


def _delete_keys(entry: dict[str, Any], part: str, names: Any, given: dict[str, Any]) -> None:
    for name in filter(None, re.split(r"[,; ]+", str(names or ""))):
        if name not in DELETABLE[part]:
            known = name in entry or name in ("nodes", "resources", "type", "affinity", "sid")
            raise ApiError(500, f"unable to delete required option '{name}'" if known else f"no such option '{name}'")
        if name in given:
            raise ApiError(500, f"cannot set and delete property '{name}' at the same time!")
        entry.pop(name, None)


# Resources


def _resource(call: Call, sid: str) -> dict[str, Any]:
    found = ha.entries(call.cluster, "resources").get(sid)
    if found is None:
        raise ApiError(500, f"no such resource '{sid}'")
    return found | {"sid": sid, "digest": ha.digest(call.cluster, "resources")}


@method("GET", "/cluster/ha/resources")
def list_resources(call: Call) -> object:
    wanted = call.params.get("type")
    rows = [_resource(call, sid) for sid in sorted(ha.entries(call.cluster, "resources"))]
    return [row for row in rows if wanted in (None, row["type"])]


@method("GET", "/cluster/ha/resources/{sid}")
def read_resource(call: Call) -> object:
    return _resource(call, ha.parse_sid(call.cluster, str(call.params["sid"]))[0])


@method("POST", "/cluster/ha/resources")
async def create_resource(call: Call) -> object:
    cluster = call.cluster
    cluster.check_quorum()
    sid, kind, vmid = ha.parse_sid(cluster, str(call.params["sid"]))
    if call.params.get("type") not in (None, kind):
        raise ApiError(500, "types does not match")
    ha.existing_guest(cluster, kind, vmid)
    async with _domain(call, "create resource failed"):
        if sid in ha.entries(cluster, "resources"):
            raise ApiError(500, f"resource ID '{sid}' already defined")
        _check_group(call)
        ha.entries(cluster, "resources")[sid] = _plain(call.params, "sid") | {"type": kind}
    return None


def _check_group(call: Call) -> None:
    group = call.params.get("group")
    if group and call.cluster.major >= 9:
        raise ApiError(500, f"invalid parameter 'group': {MIGRATED}")
    if group and group not in ha.entries(call.cluster, "groups"):
        raise ApiError(500, f"HA group '{group}' does not exist")


@method("PUT", "/cluster/ha/resources/{sid}")
async def update_resource(call: Call) -> object:
    cluster = call.cluster
    sid = ha.parse_sid(cluster, str(call.params["sid"]))[0]
    _check_group(call)
    async with _domain(call, "update resource failed"):
        ha.assert_digest(cluster, "resources", call.params.get("digest"))
        found = ha.entries(cluster, "resources").get(sid)
        if found is None:
            raise ApiError(500, f"no such resource '{sid}'")
        given = _plain(call.params, "sid", "digest", "delete")
        _delete_keys(found, "resources", call.params.get("delete"), given)
        found |= given
    return None


@method("DELETE", "/cluster/ha/resources/{sid}")
async def delete_resource(call: Call) -> object:
    sid = ha.parse_sid(call.cluster, str(call.params["sid"]))[0]
    if sid not in ha.entries(call.cluster, "resources"):
        raise ApiError(500, f"cannot delete service '{sid}', not HA managed!")
    async with _domain(call, "delete resource failed"):
        purge = call.params.get("purge")
        ha.forget(call.cluster, sid, purge=call.cluster.major >= 9 and (purge is None or bool(purge)))
    return None


@method("POST", "/cluster/ha/resources/{sid}/migrate")
@method("POST", "/cluster/ha/resources/{sid}/relocate")
def move_resource(call: Call) -> object:
    """Noted for a manager that does not run here."""
    sid, kind, vmid = ha.parse_sid(call.cluster, str(call.params["sid"]))
    if sid not in ha.entries(call.cluster, "resources"):
        raise ApiError(500, f"resource '{sid}' is not HA managed")
    target = str(call.params["node"])
    if target not in call.cluster.nodes:
        raise ApiError(500, f"no such cluster node '{target}'")
    ha.existing_guest(call.cluster, kind, vmid)
    return {"sid": sid, "requested-node": target} if call.cluster.major >= 9 else None


# Groups


def _group(call: Call, name: str) -> dict[str, Any]:
    found = ha.entries(call.cluster, "groups").get(name)
    if found is None:
        raise ApiError(500, f"no such ha group '{name}'")
    return found | {"group": name, "type": "group", "digest": ha.digest(call.cluster, "groups")}


@method("GET", "/cluster/ha/groups")
def list_groups(call: Call) -> object:
    _no_groups(call)
    return [_group(call, name) for name in sorted(ha.entries(call.cluster, "groups"))]


@method("GET", "/cluster/ha/groups/{group}")
def read_group(call: Call) -> object:
    _no_groups(call)
    return _group(call, str(call.params["group"]))


def _no_groups(call: Call) -> None:
    if call.cluster.major >= 9:
        raise ApiError(500, f"cannot index groups: {MIGRATED}")


@method("POST", "/cluster/ha/groups")
async def create_group(call: Call) -> object:
    if call.cluster.major >= 9:
        raise ApiError(500, f"cannot create group: {MIGRATED}")
    call.cluster.check_quorum()
    name = str(call.params["group"])
    async with _domain(call, "create ha group failed"):
        if name in ha.entries(call.cluster, "groups"):
            raise ApiError(500, f"ha group ID '{name}' already defined")
        ha.entries(call.cluster, "groups")[name] = _plain(call.params, "group", "type")
    return None


@method("PUT", "/cluster/ha/groups/{group}")
async def update_group(call: Call) -> object:
    if call.cluster.major >= 9:
        raise ApiError(500, f"cannot update group: {MIGRATED}")
    name = str(call.params["group"])
    async with _domain(call, "update ha group failed"):
        ha.assert_digest(call.cluster, "groups", call.params.get("digest"))
        found = ha.entries(call.cluster, "groups").get(name)
        if found is None:
            raise ApiError(500, f"no such ha group '{name}'")
        given = _plain(call.params, "group", "digest", "delete")
        _delete_keys(found, "groups", call.params.get("delete"), given)
        found |= given
    return None


@method("DELETE", "/cluster/ha/groups/{group}")
async def delete_group(call: Call) -> object:
    if call.cluster.major >= 9:
        raise ApiError(500, f"cannot delete group: {MIGRATED}")
    name = str(call.params["group"])
    async with _domain(call, "delete ha group failed"):
        for sid, resource in ha.entries(call.cluster, "resources").items():
            if resource.get("group") == name:
                raise ApiError(500, f"ha group is used by service '{sid}'")
        ha.entries(call.cluster, "groups").pop(name, None)
    return None


# Rules


def _rule(call: Call, name: str) -> dict[str, Any]:
    rules = ha.entries(call.cluster, "rules")
    if name not in rules:
        raise ApiError(500, f"no such ha rule '{name}'")
    row = rules[name] | {"rule": name, "digest": ha.digest(call.cluster, "rules"), "order": list(rules).index(name) + 1}
    return row | ({"strict": rules[name].get("strict", 0)} if row["type"] == "node-affinity" else {})


@method("GET", "/cluster/ha/rules")
def list_rules(call: Call) -> object:
    kind, resource = call.params.get("type"), call.params.get("resource")
    rows = [_rule(call, name) for name in ha.entries(call.cluster, "rules")]
    return [
        row
        for row in rows
        if kind in (None, row["type"]) and (not resource or resource in str(row["resources"]).split(","))
    ]


@method("GET", "/cluster/ha/rules/{rule}")
def read_rule(call: Call) -> object:
    return _rule(call, str(call.params["rule"]))


def _checked(call: Call, rule: dict[str, Any], name: str) -> None:
    """Resources must be HA's, nodes must exist, and a rule must mean something."""
    cluster = call.cluster
    resources = [one for one in re.split(r"[,; ]+", str(rule.get("resources") or "")) if one]
    if unknown := sorted(sid for sid in resources if sid not in ha.entries(cluster, "resources")):
        raise ApiError(500, f"cannot use unmanaged resource(s) {', '.join(unknown)}.")
    nodes = [one.partition(":")[0] for one in re.split(r"[,; ]+", str(rule.get("nodes") or "")) if one]
    if missing := sorted(node for node in nodes if node not in cluster.nodes):
        raise ApiError(500, f"cannot use non-existant node(s) {', '.join(missing)}.")
    if rule["type"] == "resource-affinity" and len(set(resources)) < 2:
        text = "rule is ineffective as there are less than two resources"
        raise ApiError(400, f"Rule '{name}' is invalid.", {"resources": text})
    if rule["type"] == "node-affinity":
        for other, held in ha.entries(cluster, "rules").items():
            shared = set(resources) & set(str(held.get("resources")).split(","))
            if other != name and held["type"] == "node-affinity" and shared:
                text = f"resource '{sorted(shared)[0]}' is already used in another node affinity rule"
                raise ApiError(400, f"Rule '{name}' is invalid.", {"resources": text})
    if resources:
        rule["resources"] = ",".join(sorted(set(resources)))


@method("POST", "/cluster/ha/rules")
async def create_rule(call: Call) -> object:
    call.cluster.check_quorum()
    name, rule = str(call.params["rule"]), _plain(call.params, "rule")
    needed = "nodes" if rule["type"] == "node-affinity" else "affinity"
    if needed not in rule:
        raise ApiError(500, f"missing value for required option '{needed}'")
    async with _domain(call, "create ha rule failed"):
        if name in ha.entries(call.cluster, "rules"):
            raise ApiError(500, f"HA rule '{name}' already defined")
        _checked(call, rule, name)
        ha.entries(call.cluster, "rules")[name] = rule
    return None


@method("PUT", "/cluster/ha/rules/{rule}")
async def update_rule(call: Call) -> object:
    name, given = str(call.params["rule"]), _plain(call.params, "rule", "digest", "delete", "type")
    async with _domain(call, "update HA rules failed"):
        ha.assert_digest(call.cluster, "rules", call.params.get("digest"))
        rules = ha.entries(call.cluster, "rules")
        if name not in rules:
            raise ApiError(500, f"HA rule '{name}' does not exist")
        changed = dict(rules[name])
        _delete_keys(changed, "rules", call.params.get("delete"), given)
        changed |= given
        _checked(call, changed, name)
        rules[name] = changed
    return None


@method("DELETE", "/cluster/ha/rules/{rule}")
async def delete_rule(call: Call) -> object:
    async with _domain(call, "delete ha rule failed"):
        ha.entries(call.cluster, "rules").pop(str(call.params["rule"]), None)
    return None


# Status


@method("GET", "/cluster/ha/status")
def status_index(call: Call) -> object:
    return [{"name": "current"}, {"name": "manager_status"}]


@method("GET", "/cluster/ha/status/current")
def status(call: Call) -> object:
    """Quorum; the manager and one agent a node once there is something to look after; every resource."""
    cluster, now = call.cluster, int(call.cluster.clock.now())
    text = "OK" if cluster.quorate else f"No quorum on node '{call.here}'!"
    rows: list[dict[str, Any]] = [
        {"id": "quorum", "type": "quorum", "node": call.here, "status": text, "quorate": int(cluster.quorate)}
    ]
    resources = ha.entries(cluster, "resources")
    if resources:
        rows += _managers(call, now)
    for sid, resource in sorted(resources.items()):
        guest = cluster.guests.get(int(sid.partition(":")[2]))
        node = guest.node if guest else "---"
        state = str(resource.get("state", "started"))
        row = {"id": f"service:{sid}", "type": "service", "sid": sid, "node": node, "state": state}
        row |= {"crm_state": state, "request_state": state, "status": f"{sid} ({node}, {state})"}
        shared = ("group", "max_restart", "max_relocate", "failback", "comment")
        rows.append(row | {key: resource[key] for key in shared if key in resource})
    return rows


def _managers(call: Call, now: int) -> list[dict[str, Any]]:
    online = [name for name, node in sorted(call.cluster.nodes.items()) if node.online]
    at = time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(now))
    rows: list[dict[str, Any]] = []
    if online:
        master = {"id": "master", "type": "master", "node": online[0], "status": f"{online[0]} (active, {at})"}
        rows.append(master | {"timestamp": now})
    for name in sorted(call.cluster.nodes):
        word = "active" if name in online else "old timestamp - dead?"
        row = {"id": f"lrm:{name}", "type": "lrm", "node": name, "status": f"{name} ({word}, {at})"}
        rows.append(row | {"timestamp": now})
    return rows


@method("GET", "/cluster/ha/status/manager_status")
def manager_status(call: Call) -> object:
    cluster = call.cluster
    services = {
        sid: {"node": guest.node, "state": resource.get("state", "started")}
        for sid, resource in ha.entries(cluster, "resources").items()
        if (guest := cluster.guests.get(int(sid.partition(":")[2])))
    }
    data: dict[str, Any] = {"manager_status": {}, "quorum": {"node": call.here, "quorate": int(cluster.quorate)}}
    if services:
        states = {name: "online" if node.online else "unknown" for name, node in cluster.nodes.items()}
        data["manager_status"] = {"service_status": services, "node_status": states, "master_node": call.here}
        data["lrm_status"] = {name: {"mode": "active", "state": "active"} for name in states}
    return data


@method("POST", "/cluster/ha/status/arm-ha")
@method("POST", "/cluster/ha/status/disarm-ha")
def arm(call: Call) -> object:
    call.cluster.check_quorum()
    call.cluster.ha["armed"] = call.path.endswith("/arm-ha")
    return None
