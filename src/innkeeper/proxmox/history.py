"""What people look at beside guests' configurations: snapshots, the task log, how full the nodes are.

Source: `GET …/snapshot` (PVE::API2::LXC::Snapshot, PVE::API2::Qemu), `GET /nodes/{node}/tasks` (PVE::API2::Tasks),
`GET /cluster/resources` (PVE::API2::Cluster).
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from innkeeper.control.ports import NodeUse, Snapshot, Task
from innkeeper.engine.errors import EngineError
from innkeeper.model.objects import GuestKind
from innkeeper.proxmox.listing import FOLDERS, KINDS
from innkeeper.proxmox.session import Load, Session


async def snapshots(session: Session, kind: GuestKind, node: str, vmid: int) -> tuple[Snapshot, ...]:
    """In the order that they were taken; the state of this moment, which Proxmox calls `current`, left out."""
    path = f"/nodes/{node}/{FOLDERS[kind]}/{vmid}/snapshot"
    rows = [row for row in await session.get(path, node) if row.get("name") != "current"]
    found = [
        Snapshot(
            name=str(row["name"]),
            at=_time(row.get("snaptime")),
            description=str(row.get("description") or "").strip(),
            parent=str(row.get("parent") or ""),
            memory=bool(row.get("vmstate")),
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda item: (item.at is not None, item.at)))


async def tasks(session: Session, vmid: int, limit: int) -> tuple[Task, ...]:
    """Every node that answers is asked: a guest may have lived on several."""
    rows = await session.get("/cluster/resources?type=node")
    nodes = [str(row["node"]) for row in rows if row.get("status") != "offline"]

    async def of(node: str) -> list[Mapping[str, Any]]:
        try:
            return list(await session.get(f"/nodes/{node}/tasks?vmid={vmid}&limit={limit}&source=all", node))
        except EngineError:
            return []

    found = [_task(row) for part in await asyncio.gather(*map(of, nodes)) for row in part]
    return tuple(sorted(found, key=lambda item: item.started_at, reverse=True)[:limit])


def _task(row: Mapping[str, Any]) -> Task:
    number = str(row.get("id") or "")
    return Task(
        upid=str(row.get("upid") or ""),
        node=str(row.get("node") or ""),
        type=str(row.get("type") or ""),
        user=str(row.get("user") or "") + (f"!{row['tokenid']}" if row.get("tokenid") else ""),
        started_at=_time(row.get("starttime")) or datetime.fromtimestamp(0, UTC),
        ended_at=_time(row.get("endtime")),
        status=str(row.get("status") or "") if row.get("endtime") else "",
        vmid=int(number) if number.isdigit() else None,
    )


def _time(value: object) -> datetime | None:
    return datetime.fromtimestamp(float(str(value)), UTC) if value else None


async def usage(session: Session, load: Mapping[str, Load]) -> tuple[NodeUse, ...]:
    """Every node, in one call. `load` is our own share of its work."""
    rows = await session.get("/cluster/resources")
    guests = [row for row in rows if row["type"] in KINDS and not row.get("template")]

    def one(row: Mapping[str, Any]) -> NodeUse:
        name = str(row["node"])
        here = [guest for guest in guests if guest.get("node") == name]
        return NodeUse(
            cluster=session.cluster,
            name=name,
            online=row.get("status") == "online",
            cpus=int(row.get("maxcpu") or 0),
            cpu=float(row.get("cpu") or 0.0),
            memory=int(row.get("maxmem") or 0),
            memory_used=int(row.get("mem") or 0),
            disk=int(row.get("maxdisk") or 0),
            disk_used=int(row.get("disk") or 0),
            uptime=int(row.get("uptime") or 0),
            guests=len(here),
            running=sum(guest.get("status") == "running" for guest in here),
            promised_memory=sum(int(guest.get("maxmem") or 0) for guest in here),
            reads=load[name].reads if name in load else 0,
            writes=load[name].writes if name in load else 0,
        )

    return tuple(one(row) for row in sorted(rows, key=lambda row: str(row.get("node"))) if row["type"] == "node")
