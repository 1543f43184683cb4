"""Firewall options and rules, alike for the cluster, nodes, guests and security groups (PVE::API2::Firewall::*)."""

from __future__ import annotations

import re
from typing import Any

from pvesim import schema
from pvesim.api.firewallcall import (
    CLUSTER,
    GROUP,
    GUESTS,
    NODE,
    conf_of,
    create_named,
    env_of,
    lock,
    named,
    own_conf,
    serve,
    under,
)
from pvesim.api.method import ApiError, Call, method, param_error
from pvesim.cluster import firewall
from pvesim.cluster.firewall import part


def get_options(call: Call) -> object:
    options = part(conf_of(call), "options", {})
    return dict(options) | {"digest": firewall.digest_of([options])}


async def set_options(call: Call) -> object:
    """`enable` above 1 is the time of switching on (cluster)."""
    params = call.params
    known = schema.load(call.cluster.version)[f"PUT {_template(call)}"].params
    async with lock(call):
        options = part(conf_of(call), "options", {})
        firewall.assert_digest([options], params.get("digest"))
        for name in filter(None, re.split(r"[,; ]+", str(params.get("delete") or ""))):
            if name not in known or name in ("delete", "digest", "node", "vmid"):
                raise param_error(delete=f"no such option '{name}'")
            options.pop(name, None)
        for name, value in params.items():
            if name in ("delete", "digest", "node", "vmid") or value is None:
                continue
            options[name] = int(value) if isinstance(value, bool) else value
        if env_of(call) == "cluster" and isinstance(params.get("enable"), int) and params["enable"] > 1:
            options["enable"] = int(call.cluster.clock.now())
    return None


def _template(call: Call) -> str:
    if env_of(call) == "guest":
        return f"{GUESTS[0 if '/lxc/' in call.path else 1]}/options"
    return f"{NODE if env_of(call) == 'host' else CLUSTER}/options"


# Rules


def _rules(call: Call) -> list[dict[str, Any]]:
    if env_of(call) == "group":
        groups, name = part(call.cluster.firewall, "groups", {}), str(call.params["group"])
        if name not in groups:
            raise ApiError(500, f"no such security group '{name}'")
        found: list[dict[str, Any]] = groups[name]
        return found
    own: list[dict[str, Any]] = part(conf_of(call), "rules", [])
    return own


def _put_rules(call: Call, rules: list[dict[str, Any]]) -> None:
    if env_of(call) == "group":
        call.cluster.firewall["groups"][str(call.params["group"])] = rules
    else:
        conf_of(call)["rules"] = rules


def _at(call: Call, rules: list[dict[str, Any]]) -> int:
    at = int(call.params["pos"])
    if at >= len(rules):
        raise ApiError(500, f"no rule at position {at}")
    return at


def list_rules(call: Call) -> list[dict[str, Any]]:
    env, conf, own = env_of(call), call.cluster.firewall, own_conf(call)
    rows = firewall.with_digest(_rules(call))
    return [row | firewall.unfit(row, env, conf, own) | {"pos": pos} for pos, row in enumerate(rows)]


def get_rule(call: Call) -> object:
    rows = list_rules(call)
    return rows[_at(call, rows)]


async def create_rule(call: Call) -> object:
    """The new rule is the first one, and off unless it says otherwise."""
    async with lock(call):
        rules = _rules(call)
        rule: dict[str, Any] = {}
        firewall.update_rule(rule, call.params)
        firewall.verify_rule(rule, env_of(call), call.cluster.firewall, own_conf(call))
        rule["enable"] = int(call.params.get("enable") or 0)
        rules.insert(0, rule)
    return None


async def update_rule(call: Call) -> object:
    """`moveto` puts it elsewhere; everything else is ignored then."""
    async with lock(call):
        rules = _rules(call)
        firewall.assert_digest(rules, call.params.get("digest"))
        at, to = _at(call, rules), call.params.get("moveto")
        if to is not None and int(to) != at:
            _put_rules(call, firewall.moved(rules, at, int(to)))
        else:
            rule = dict(rules[at])
            firewall.update_rule(rule, call.params)
            firewall.delete_keys(rule, str(call.params.get("delete") or ""))
            firewall.verify_rule(rule, env_of(call), call.cluster.firewall, own_conf(call))
            rules[at] = rule
    return None


async def delete_rule(call: Call) -> object:
    async with lock(call):
        rules = _rules(call)
        firewall.assert_digest(rules, call.params.get("digest"))
        del rules[_at(call, rules)]
    return None


# Security groups


@method("GET", f"{CLUSTER}/groups")
def list_groups(call: Call) -> object:
    conf = call.cluster.firewall
    return firewall.with_digest(named(part(conf, "groups", {}), part(conf, "group_comments", {}), "group"))


@method("POST", f"{CLUSTER}/groups")
async def create_group(call: Call) -> object:
    conf = call.cluster.firewall
    groups, comments = part(conf, "groups", {}), part(conf, "group_comments", {})
    async with call.cluster.locks.cfs("firewall"):
        if call.params.get("rename"):
            firewall.assert_digest(named(groups, comments, "group"), call.params.get("digest"))
        create_named(call, groups, comments, "group", "Security group")
    return None


@method("DELETE", GROUP)
async def delete_group(call: Call) -> object:
    async with lock(call):
        name = str(call.params["group"])
        if _rules(call):
            raise ApiError(500, f"Security group '{name}' is not empty")
        del call.cluster.firewall["groups"][name]
        part(call.cluster.firewall, "group_comments", {}).pop(name, None)
    return None


# Indexes, references, macros, logs


def index(call: Call) -> object:
    names = {
        "cluster": ("aliases", "rules", "options", "groups", "ipset", "macros", "refs"),
        "host": ("rules", "options", "log"),
        "guest": ("rules", "aliases", "ipset", "refs", "options"),
    }
    return [{"name": name} for name in names[env_of(call)]]


@method("GET", f"{CLUSTER}/macros")
def macros(call: Call) -> object:
    return [{"macro": name, "descr": f"{name} traffic"} for name in sorted(firewall.MACROS)]


def refs(call: Call) -> object:
    return firewall.refs(call.cluster.firewall, own_conf(call), call.params.get("type"))


def log(call: Call) -> object:
    """Nothing is ever logged."""
    call.attributes["total"] = 1
    return [{"n": 1, "t": "no content"}]


_EVERYWHERE = (CLUSTER, NODE, *GUESTS)
_RULES = (*under(*_EVERYWHERE, tail="/rules"), GROUP)
serve("GET", _EVERYWHERE, index)
serve("GET", under(*_EVERYWHERE, tail="/options"), get_options)
serve("PUT", under(*_EVERYWHERE, tail="/options"), set_options)
serve("GET", _RULES, list_rules)
serve("POST", _RULES, create_rule)
serve("GET", under(*_RULES, tail="/{pos}"), get_rule)
serve("PUT", under(*_RULES, tail="/{pos}"), update_rule)
serve("DELETE", under(*_RULES, tail="/{pos}"), delete_rule)
serve("GET", under(CLUSTER, *GUESTS, tail="/refs"), refs)
serve("GET", under(NODE, *GUESTS, tail="/log"), log)
