"""The seed: a YAML file with the state that a cluster begins with.

    version: "9.1.9"
    cluster: {name: sim}              # left out: a node that stands alone
    nodes: [{name: pve, cpus: 2, memory: 24Gi, address: 10.98.0.11}]
    bridges: [vmbr0]
    storages: [{storage: local, type: dir, path: /var/lib/vz, content: [iso, images], total: 252Gi}]
    volumes: [{volid: "local:vztmpl/debian-12.tar.zst", size: 60000000, node: pve}]   # without node: on every node
    users: [{userid: alice@pve, password: secret, groups: [admins]}]
    tokens: [{tokenid: "root@pam!full", privsep: false, value: UUID}]                 # value left out: a random one
    groups: [{groupid: admins, comment: text}]
    roles: [{roleid: Operator, privs: [VM.Audit, VM.PowerMgmt]}]
    acl: [{path: /vms, roleid: PVEVMAdmin, ugid: alice@pve, propagate: true}]
    pools: [{poolid: apps, comment: text, vms: [101], storage: [local]}]
    guests: [{vmid: 101, kind: lxc, node: pve, running: true, config: {hostname: web, rootfs: "local:8"}}]

Storages take storage.cfg's keys and `total`; an ACL entry's `ugid` is a user, a `user!token` or an `@group`.
`users`, `groups`, `roles`, `acl`, `pools` and `guests` may be left out. root@pam has the password `rootpass1` unless
its entry in `users` says otherwise. Volumes that a guest's config names are made when they are not listed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from pvesim.cluster import tickets
from pvesim.cluster.clock import Clock
from pvesim.cluster.state import AclEntry, Cluster, Group, Guest, Node, Pool, Realm, Storage, Token, User, Volume

DEFAULT: dict[str, Any] = yaml.safe_load("""
version: "9.1.9"
nodes: [{name: pve, cpus: 4, memory: 32Gi}]
bridges: [vmbr0]
storages:
  - {storage: local, type: dir, path: /var/lib/vz, content: [iso, vztmpl, backup, images, rootdir, snippets, import]}
  - {storage: local-lvm, type: lvmthin, vgname: pve, thinpool: data, content: [images, rootdir]}
volumes: [{volid: "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", size: 126515062}]
tokens: [{tokenid: "root@pam!full", privsep: false}]
""")
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
KEYS = frozenset(DEFAULT) | {"cluster", "users", "groups", "roles", "acl", "pools", "guests", "options"}


class SeedError(Exception):
    """The seed cannot be used; the text says where and what was expected."""


def read(path: Path) -> dict[str, Any]:
    """The seed in a file."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick, where it was built
    try:
        seed = yaml.load(path.read_text("utf-8"), loader)  # noqa: S506
    except (OSError, yaml.YAMLError) as error:
        raise SeedError(f"{path}: {error}") from error
    if not isinstance(seed, dict):
        raise SeedError(f"{path}: expected a mapping with the keys {', '.join(sorted(KEYS))}")
    unknown = sorted(seed.keys() - KEYS)
    if unknown:
        raise SeedError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(KEYS))}")
    return seed


def size(text: str | int) -> int:
    """Bytes of `24Gi`, `512M` or a number."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?", str(text))
    if not found:
        raise SeedError(f"{text!r} is no size; expected for example 24Gi")
    return int(float(found[1]) * UNITS[found[2]])


def plant(seed: dict[str, Any], clock: Clock) -> Cluster:
    """The cluster that the seed describes; SeedError names what is wrong."""
    try:
        return _plant(seed, clock)
    except KeyError as error:
        raise SeedError(f"the seed lacks or names an unknown {error}") from error
    except (TypeError, AttributeError) as error:
        raise SeedError(f"the seed has a value of the wrong kind: {error}") from error


def _plant(seed: dict[str, Any], clock: Clock) -> Cluster:
    cluster = Cluster(clock, version=str(seed.get("version", "9.1.9")), name=(seed.get("cluster") or {}).get("name"))
    for index, entry in enumerate(seed.get("nodes") or DEFAULT["nodes"]):
        cluster.nodes[entry["name"]] = _node(entry, index + 1 if cluster.name else 0, index, seed.get("bridges"), clock)
    for entry in seed.get("storages") or []:
        storage = _storage(entry)
        cluster.storages[storage.storage] = storage
    cluster.realms = {
        "pam": Realm("pam", "pam", {"comment": "Linux PAM standard authentication"}),
        "pve": Realm("pve", "pve", {"comment": "Proxmox VE authentication server"}),
    }
    cluster.options = dict(seed.get("options") or {})
    _people(cluster, seed)
    for entry in seed.get("guests") or []:
        _guest(cluster, entry)
    for entry in seed.get("pools") or []:
        members = {int(vmid) for vmid in entry.get("vms", ())}
        cluster.pools[entry["poolid"]] = Pool(
            entry["poolid"], entry.get("comment", ""), members, set(entry.get("storage", ()))
        )
    for entry in seed.get("volumes") or []:
        _volume(cluster, entry)
    return cluster


def _node(entry: dict[str, Any], nodeid: int, index: int, bridges: list[str] | None, clock: Clock) -> Node:
    node = Node(
        entry["name"],
        nodeid,
        int(entry.get("cpus", 4)),
        size(entry.get("memory", "32Gi")),
        str(entry.get("address", f"192.0.2.{index + 2}")),
        booted_at=clock.now() - 3600,
    )
    common = {"method6": "manual", "active": 1, "families": ["inet"]}
    for number, bridge in enumerate(bridges or ["vmbr0"]):
        address = f"10.{99 + number}.0.{index + 1}"
        node.network[bridge] = common | {
            "iface": bridge, "type": "bridge", "autostart": 1, "priority": 3 + number, "method": "static",
            "address": address,
            "netmask": "24", "cidr": f"{address}/24", "bridge_ports": "", "bridge_stp": "off", "bridge_fd": "0",
        }  # fmt: skip
    node.network["eth0"] = common | {"iface": "eth0", "type": "eth", "method": "manual", "exists": 1}
    return node


def _storage(entry: dict[str, Any]) -> Storage:
    options = {key: value for key, value in entry.items() if key not in {"storage", "type", "total"}}
    for key in ("content", "nodes"):
        if isinstance(options.get(key), list):
            options[key] = ",".join(options[key])
    options.setdefault("content", "images,rootdir")
    for key in ("shared", "disable"):
        if key in options:
            options[key] = int(bool(options[key]))
    total = size(entry.get("total", "252Gi" if entry["type"] == "dir" else "500Gi"))
    return Storage(entry["storage"], entry["type"], options, total)


def _people(cluster: Cluster, seed: dict[str, Any]) -> None:
    cluster.users["root@pam"] = User("root@pam", password=tickets.hash_password("rootpass1"))
    for entry in seed.get("groups") or []:
        cluster.groups[entry["groupid"]] = Group(entry["groupid"], entry.get("comment", ""))
    for entry in seed.get("users") or []:
        details = {key: entry[key] for key in ("firstname", "lastname", "email", "comment", "keys") if key in entry}
        user = User(entry["userid"], bool(entry.get("enable", True)), int(entry.get("expire", 0)), details=details)
        if "password" in entry:
            user.password = tickets.hash_password(str(entry["password"]))
        cluster.users[user.userid] = user
        for group in entry.get("groups", ()):
            cluster.groups[group].users.add(user.userid)
    for entry in seed.get("tokens") or DEFAULT["tokens"]:
        userid, _, tokenid = entry["tokenid"].partition("!")
        cluster.users[userid].tokens[tokenid] = Token(
            tokenid,
            str(entry.get("value") or tickets.new_secret()),
            bool(entry.get("privsep", True)),
            int(entry.get("expire", 0)),
            entry.get("comment", ""),
        )
    for entry in seed.get("roles") or []:
        cluster.roles[entry["roleid"]] = frozenset(entry.get("privs", ()))
    for entry in seed.get("acl") or []:
        ugid = str(entry["ugid"])
        kind = "group" if ugid.startswith("@") else "token" if "!" in ugid else "user"
        propagate = bool(entry.get("propagate", True))
        cluster.acl.add(AclEntry(entry["path"], kind, ugid.removeprefix("@"), entry["roleid"], propagate))  # type: ignore[arg-type]


def _guest(cluster: Cluster, entry: dict[str, Any]) -> None:
    config = {key: str(value) for key, value in (entry.get("config") or {}).items()}
    guest = Guest(int(entry["vmid"]), entry.get("kind", "lxc"), entry.get("node") or next(iter(cluster.nodes)), config)
    cluster.nodes[guest.node]  # a KeyError names the node that is not there
    guest.created_at = cluster.clock.now()
    if entry.get("running"):
        guest.running, guest.started_at, guest.pid = dict(config), cluster.clock.now(), cluster.tasks.pid()
    for value in config.values():
        volid = value.split(",")[0]
        storage = cluster.storages.get(volid.partition(":")[0])
        named = re.search(r"\bsize=(\d+[KMGT]?)", value)
        if storage and named:
            where = "" if storage.shared else guest.node
            form = volid.rpartition(".")[2] if volid.endswith(("qcow2", "vmdk")) else "raw"
            content = "rootdir" if guest.kind == "lxc" else "images"
            cluster.volumes[where, volid] = Volume(
                volid, where, size(named[1]), form, content, guest.vmid, int(guest.created_at)
            )
    cluster.guests[guest.vmid] = guest


def _volume(cluster: Cluster, entry: dict[str, Any]) -> None:
    volid = entry["volid"]
    storage = cluster.storages[volid.partition(":")[0]]
    folder, slash, name = volid.partition(":")[2].partition("/")
    content = entry.get("content") or (
        folder if folder in {"iso", "vztmpl", "backup", "snippets", "import"} else "images"
    )
    form = entry.get("format") or _format(name if slash else folder)
    nodes = [""] if storage.shared else [entry["node"]] if entry.get("node") else list(cluster.nodes)
    for node in nodes:
        volume = Volume(volid, node, size(entry["size"]), form, content, entry.get("vmid"), int(cluster.clock.now()))
        if entry.get("file"):  # an archive on this machine, for a backend that has a use for its content
            volume.extra["file"] = str(entry["file"])
        cluster.volumes[node, volid] = volume


def _format(name: str) -> str:
    for ending, form in ((".tar.zst", "tzst"), (".tar.gz", "tgz"), (".tar.xz", "txz"), (".iso", "iso")):
        if name.endswith(ending):
            return form
    ending = name.rpartition(".")[2]
    return ending if ending in {"qcow2", "vmdk", "raw", "yaml", "yml"} else "raw"
