"""`GET /cluster/resources` as values: which guests, nodes and storages there are, in the one call that lists them all.

Source: PVE::API2::Cluster, resources; PVE::API2Tools, extract_*_stats. Columns of use (`mem`, `cpu`, `uptime`) move all
the time; everything else is stable and makes the fingerprint that a poll compares. Pure.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

from innkeeper.model.objects import GuestKind
from innkeeper.model.observed import Node, Power, Storage

KINDS: Mapping[str, GuestKind] = {"lxc": "Container", "qemu": "VirtualMachine"}
FOLDERS: Mapping[GuestKind, str] = {"Container": "lxc", "VirtualMachine": "qemu"}

_POWERS: Mapping[str, Power] = {
    "running": "running",
    "stopped": "stopped",
    "paused": "paused",
    "suspended": "paused",
    "prelaunch": "paused",
}
_STABLE: Mapping[str, tuple[str, ...]] = {
    "guest": (
        "node", "name", "status", "template", "pool", "tags", "lock", "hastate", "maxcpu", "maxmem", "maxdisk"
    ),
    "node": ("status",),
    "storage": ("status", "content", "shared"),
}  # fmt: skip

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One guest as the list shows it; its power may be 12 seconds old (pvestatd), its node and tags are not."""

    vmid: int
    kind: GuestKind
    node: str
    name: str | None
    power: Power
    template: bool
    tags: tuple[str, ...]
    pool: str | None
    lock: str | None
    ha: str | None

    @property
    def path(self) -> str:
        return f"/nodes/{self.node}/{FOLDERS[self.kind]}/{self.vmid}"


def power(status: object) -> Power:
    return _POWERS.get(str(status), "unknown")


def split_tags(text: str) -> tuple[str, ...]:
    """Tags are joined by `;`, in older configurations by commas or blanks."""
    return tuple(intern(tag) for tag in text.replace(",", ";").replace(" ", ";").split(";") if tag)


def read_guests(rows: Rows) -> dict[int, Row]:
    return {
        int(row["vmid"]): Row(
            vmid=int(row["vmid"]),
            kind=KINDS[row["type"]],
            node=intern(row["node"]),
            name=row.get("name"),
            power=power(row.get("status")),
            template=bool(row.get("template")),
            tags=split_tags(row.get("tags") or ""),
            pool=row.get("pool"),
            lock=row.get("lock"),
            ha=row.get("hastate"),
        )
        for row in rows
        if row["type"] in KINDS
    }


def read_nodes(rows: Rows, members: Mapping[str, bool] | None) -> dict[str, Node]:
    """`members`: who is online, from `/cluster/status`; without it a node is online unless it is said to be offline.

    A node that has just started is `unknown` in the list until its pvestatd reports.
    """
    nodes = {}
    for row in rows:
        if row["type"] == "node":
            name = row["node"]
            memory = int(row.get("maxmem") or 0)
            nodes[name] = Node(
                name=name,
                online=members[name] if members and name in members else row.get("status") != "offline",
                memory=memory,
                free_memory=max(0, memory - int(row.get("mem") or 0)),
                cpus=int(row.get("maxcpu") or 0),
                busy=round(float(row.get("cpu") or 0) * int(row.get("maxcpu") or 0), 2),
            )
    return nodes


def read_storages(rows: Rows, nodes: Mapping[str, Node]) -> tuple[Storage, ...]:
    """Storages of offline nodes are listed with their last figures: they are not available."""
    silent = {row["node"] for row in rows if row["type"] == "node" and row.get("status") == "unknown"}
    return tuple(
        Storage(
            name=row["storage"],
            node=row["node"],
            content=frozenset(filter(None, (row.get("content") or "").split(","))),
            shared=bool(row.get("shared")),
            available=(row["node"] in silent or row.get("status") == "available")
            and (row["node"] not in nodes or nodes[row["node"]].online),
            free=max(0, int(row.get("maxdisk") or 0) - int(row.get("disk") or 0)),
            total=int(row.get("maxdisk") or 0),
            type=row.get("plugintype") or "",
        )
        for row in rows
        if row["type"] == "storage"
    )


def read_members(rows: Rows) -> tuple[dict[str, bool], bool]:
    """Which nodes are online, and whether there is a quorum (a node alone is one): `GET /cluster/status`."""
    online = {row["name"]: bool(row.get("online")) for row in rows if row["type"] == "node"}
    quorate = all(bool(row.get("quorate")) for row in rows if row["type"] == "cluster")
    return online, quorate


def majority(nodes: Collection[Node]) -> bool:
    """Whether most nodes are online: what is left to judge by for those who may not read `/cluster/status`."""
    return 2 * sum(node.online for node in nodes) > len(nodes)


def fingerprint(rows: Rows) -> str:
    """The same text while nothing that a plan looks at has changed, in whatever order the rows come."""
    return hashlib.sha256(json.dumps(sorted(_stable(rows)), separators=(",", ":")).encode()).hexdigest()


def _stable(rows: Rows) -> Iterable[list[str]]:
    for row in rows:
        if columns := _STABLE.get("guest" if row["type"] in KINDS else row["type"]):
            yield [str(row.get("id")), *(str(row.get(column, "")) for column in columns)]
