"""Whose firewall a call is about, and what the parts of its API have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from pvesim.api.method import Call, Handler, method, param_error
from pvesim.cluster.firewall import Conf, part

CLUSTER = "/cluster/firewall"
NODE = "/nodes/{node}/firewall"
GUESTS = ("/nodes/{node}/lxc/{vmid}/firewall", "/nodes/{node}/qemu/{vmid}/firewall")
GROUP = f"{CLUSTER}/groups/{{group}}"


def serve(verb: str, paths: tuple[str, ...], handler: Handler) -> None:
    for path in paths:
        method(verb, path)(handler)


def under(*suffixed: str, tail: str) -> tuple[str, ...]:
    return tuple(f"{base}{tail}" for base in suffixed)


def env_of(call: Call) -> str:
    if "vmid" in call.params:
        return "guest"
    if "group" in call.params:
        return "group"
    return "host" if "node" in call.params else "cluster"


def conf_of(call: Call) -> Conf:
    """The config that the call is about; a guest that does not exist has one that nobody keeps."""
    env, conf = env_of(call), call.cluster.firewall
    if env == "guest":
        guest = call.cluster.guests.get(int(call.params["vmid"]))
        return guest.firewall if guest else {}
    if env == "host":
        found: Conf = part(part(conf, "nodes", {}), call.node, {})
        return found
    return conf


def own_conf(call: Call) -> Conf | None:
    return conf_of(call) if env_of(call) == "guest" else None


@asynccontextmanager
async def lock(call: Call) -> AsyncIterator[None]:
    """Hold what Proxmox holds while it writes: a cluster-wide lock, for a node its lock file."""
    if env_of(call) == "host":
        async with call.cluster.locks.file(call.node, "/var/lock/pvefw_host.lck", 10):
            yield
        return
    name = f"firewall-{call.params['vmid']}" if env_of(call) == "guest" else "firewall"
    async with call.cluster.locks.cfs(name):
        yield


def named(names: Iterable[str], comments: dict[str, str], key: str) -> list[dict[str, Any]]:
    return [{key: name} | ({"comment": comments[name]} if comments.get(name) else {}) for name in sorted(names)]


def create_named(call: Call, held: dict[str, Any], comments: dict[str, str], key: str, word: str) -> None:
    """Make an empty one, or rename one, which also sets its comment."""
    name, rename, comment = str(call.params[key]), call.params.get("rename"), call.params.get("comment")
    if rename:
        if rename not in held:
            raise param_error(**{key: f"{word} '{rename}' does not exists"})
        if name in held and name != rename:
            raise param_error(**{key: f"{word} '{name}' does already exist"})
        held[name] = held.pop(rename)
        if rename in comments:
            comments[name] = comments.pop(rename)
    else:
        if name in held:
            raise param_error(**{key: f"{word} '{name}' already exists"})
        held[name] = []
    if comment is not None:
        comments[name] = str(comment)
