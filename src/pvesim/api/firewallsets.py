"""Aliases and IP sets of the cluster and of guests (PVE::API2::Firewall::Aliases, ::IPSet)."""

from __future__ import annotations

import re
from typing import Any

from pvesim.api.firewallcall import CLUSTER, GUESTS, conf_of, create_named, lock, named, serve, under
from pvesim.api.method import ApiError, Call, param_error
from pvesim.cluster import firewall
from pvesim.cluster.firewall import part


def _aliases(call: Call) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = part(conf_of(call), "aliases", {})
    return found


def _listed(aliases: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    return [aliases[name] for name in sorted(aliases)]


def list_aliases(call: Call) -> object:
    return firewall.with_digest(_listed(_aliases(call)))


def get_alias(call: Call) -> object:
    found = _aliases(call).get(str(call.params["name"]).lower())
    if found is None:
        raise param_error(name="no such alias")
    return found


def _alias(call: Call, name: str) -> dict[str, Any]:
    cidr, version = firewall.address(str(call.params["cidr"]))
    comment = call.params.get("comment")
    return {"name": name, "cidr": cidr, "ipversion": version} | ({"comment": comment} if comment else {})


async def create_alias(call: Call) -> object:
    name = str(call.params["name"])
    async with lock(call):
        aliases = _aliases(call)
        if name.lower() in aliases:
            raise param_error(name=f"alias '{name}' already exists")
        aliases[name.lower()] = _alias(call, name)
    return None


async def update_alias(call: Call) -> object:
    name, rename = str(call.params["name"]), call.params.get("rename")
    async with lock(call):
        aliases = _aliases(call)
        firewall.assert_digest(_listed(aliases), call.params.get("digest"))
        if name.lower() not in aliases:
            raise param_error(name="no such alias")
        if rename and rename.lower() != name.lower():
            if rename.lower() in aliases:
                raise param_error(name=f"alias '{rename}' already exists")
            del aliases[name.lower()]
            name = str(rename)
        aliases[name.lower()] = _alias(call, name)
    return None


async def delete_alias(call: Call) -> object:
    async with lock(call):
        aliases = _aliases(call)
        firewall.assert_digest(_listed(aliases), call.params.get("digest"))
        aliases.pop(str(call.params["name"]).lower(), None)
    return None


# IP sets


def _sets(call: Call) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = part(conf_of(call), "ipset", {})
    return found


def _set(call: Call) -> list[dict[str, Any]]:
    name = str(call.params["name"])
    if name not in _sets(call):
        raise ApiError(500, f"no such IPSet '{name}'")
    return _sets(call)[name]


def list_sets(call: Call) -> object:
    return firewall.with_digest(named(_sets(call), part(conf_of(call), "ipset_comments", {}), "name"))


async def create_set(call: Call) -> object:
    async with lock(call):
        comments = part(conf_of(call), "ipset_comments", {})
        rename = call.params.get("rename")
        if rename:
            firewall.assert_digest(named(_sets(call), comments, "name"), call.params.get("digest"))
        create_named(call, _sets(call), comments, "name", "IPSet")
    return None


async def delete_set(call: Call) -> object:
    async with lock(call):
        name = str(call.params["name"])
        if _set(call) and not call.params.get("force"):
            raise ApiError(500, f"IPSet '{name}' is not empty")
        del _sets(call)[name]
        part(conf_of(call), "ipset_comments", {}).pop(name, None)
    return None


_ALIAS = re.compile(r"(?:(?:dc|guest)/)?[A-Za-z][A-Za-z0-9\-_]+")


def _check_alias(call: Call, cidr: str) -> None:
    name = cidr.rpartition("/")[2].lower()
    known = (call.cluster.firewall.get("aliases", {}), _aliases(call))
    if _ALIAS.fullmatch(cidr) and not any(name in aliases for aliases in known):
        raise ApiError(500, f"no such alias '{cidr}'")


def list_entries(call: Call) -> list[dict[str, Any]]:
    """With `errors` where an entry names an alias that is there no more."""
    rows = firewall.with_digest(_set(call))
    for row in rows:
        try:
            _check_alias(call, str(row["cidr"]))
        except ApiError as error:
            row["errors"] = {"cidr": error.message}
    return rows


def _entry(call: Call) -> dict[str, Any]:
    found = next((entry for entry in _set(call) if entry["cidr"] == call.params["cidr"]), None)
    if found is None:
        raise param_error(cidr="no such IP/Network")
    return found


def get_entry(call: Call) -> object:
    cidr = _entry(call)["cidr"]
    return next(row for row in list_entries(call) if row["cidr"] == cidr)


async def create_entry(call: Call) -> object:
    cidr = str(call.params["cidr"])
    async with lock(call):
        entries = _set(call)
        if any(entry["cidr"] == cidr for entry in entries):
            raise param_error(cidr=f"address '{cidr}' already exists")
        if re.search(r"/0+$", cidr):
            raise param_error(cidr="a zero prefix is not allowed in ipset entries")
        _check_alias(call, cidr)
        entries.insert(0, _settings(call, {"cidr": cidr}))
    return None


def _settings(call: Call, entry: dict[str, Any]) -> dict[str, Any]:
    comment = call.params.get("comment")
    return entry | ({"nomatch": 1} if call.params.get("nomatch") else {}) | ({"comment": comment} if comment else {})


async def update_entry(call: Call) -> object:
    async with lock(call):
        firewall.assert_digest(_set(call), call.params.get("digest"))
        entry = _entry(call)
        changed = _settings(call, {"cidr": entry["cidr"]})
        entry.clear()
        entry.update(changed)
    return None


async def delete_entry(call: Call) -> object:
    async with lock(call):
        entries = _set(call)
        firewall.assert_digest(entries, call.params.get("digest"))
        entries[:] = [entry for entry in entries if entry["cidr"] != call.params["cidr"]]
    return None


_WITH_SETS = (CLUSTER, *GUESTS)
serve("GET", under(*_WITH_SETS, tail="/aliases"), list_aliases)
serve("POST", under(*_WITH_SETS, tail="/aliases"), create_alias)
serve("GET", under(*_WITH_SETS, tail="/aliases/{name}"), get_alias)
serve("PUT", under(*_WITH_SETS, tail="/aliases/{name}"), update_alias)
serve("DELETE", under(*_WITH_SETS, tail="/aliases/{name}"), delete_alias)
serve("GET", under(*_WITH_SETS, tail="/ipset"), list_sets)
serve("POST", under(*_WITH_SETS, tail="/ipset"), create_set)
serve("GET", under(*_WITH_SETS, tail="/ipset/{name}"), list_entries)
serve("POST", under(*_WITH_SETS, tail="/ipset/{name}"), create_entry)
serve("DELETE", under(*_WITH_SETS, tail="/ipset/{name}"), delete_set)
serve("GET", under(*_WITH_SETS, tail="/ipset/{name}/{cidr}"), get_entry)
serve("PUT", under(*_WITH_SETS, tail="/ipset/{name}/{cidr}"), update_entry)
serve("DELETE", under(*_WITH_SETS, tail="/ipset/{name}/{cidr}"), delete_entry)
