"""Seeing a whole cluster in 1 + N calls and a few: the list of everything, then one call per guest that matters.

What could not be seen is said as plainly as what could: a guest on a dead node is there but unreadable, and a view
without a quorum, or through a token that may not see every guest, is not complete. Nothing is taken for gone on one
proof: a guest that is not where the list says is looked up again.
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from innkeeper.engine.errors import Conflict, EngineError, Stalled, Waiting
from innkeeper.engine.ports import Scope
from innkeeper.model.observed import ClusterView, Node, ObservedGuest
from innkeeper.proxmox import listing
from innkeeper.proxmox.catalog import read_catalog
from innkeeper.proxmox.guests import observed, unread
from innkeeper.proxmox.listing import Row, Rows
from innkeeper.proxmox.session import PER_NODE, Session
from innkeeper.settings.grants import grant
from innkeeper.settings.marker import TAG


async def observe(session: Session, scope: Scope) -> ClusterView:
    """Raises when the cluster cannot be reached or does not let us in; everything less is in the view."""
    before = session.reads
    version, rights, rows, members = await asyncio.gather(
        session.get("/version"),
        session.get("/access/permissions"),
        session.get("/cluster/resources"),
        _permitted(session.get("/cluster/status")),
    )
    online, known_quorum = (None, None) if members is None else listing.read_members(members)
    nodes = listing.read_nodes(rows, online)
    quorate = listing.majority(nodes.values()) if known_quorum is None else known_quorum
    storages = listing.read_storages(rows, nodes)
    privileges = {path: frozenset(names) for path, names in rights.items()}
    known = listing.read_guests(rows)
    guests = await _guests(session, known, nodes, scope)
    blind = tuple(_blind(session, rights, quorate))
    dark = tuple(
        f"Node {node.name} is offline; its guests cannot be read." for node in nodes.values() if not node.online
    )
    found = await read_catalog(session, nodes, storages, scope.nodes) if scope.catalog else None
    return ClusterView(
        cluster=session.cluster,
        version=read_version(version),
        nodes=nodes,
        guests=guests,
        storages=storages,
        bridges=found.bridges if found else None,
        templates=found.templates if found else None,
        pools=frozenset(row["pool"] for row in rows if row["type"] == "pool"),
        complete=not blind,
        quorate=quorate,
        gaps=blind + dark + (found.gaps if found else ()),
        privileges=privileges,
        root_ticket=session.identity.user == "root@pam",
        reads=session.reads - before,
        facts={"release": str(version.get("version", "")), "user": session.identity.user},
    )


def read_version(version: Mapping[str, Any]) -> tuple[int, int]:
    """(9, 1) of `{"release": "9.1", "version": "9.1.9"}`."""
    major, _, rest = str(version.get("version") or version.get("release") or "0.0").partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return int(major), int(minor) if minor.isdigit() else 0


def _blind(session: Session, rights: Mapping[str, Mapping[str, int]], quorate: bool) -> Iterator[str]:
    """Why there may be guests that this view does not show."""
    if not quorate:
        yield "There may be guests that are not shown: the cluster has no quorum."
    if not rights.get("/vms", {}).get("VM.Audit"):
        user = session.identity.user
        line = grant("/vms", ["VM.Audit"], user)
        yield f"There may be guests that are not shown: {user} lacks VM.Audit on /vms; grant it: {line}"


async def _permitted(call: Awaitable[Any]) -> Any:
    """None where the right for it is missing."""
    try:
        return await call
    except Stalled:
        return None


def wanted(row: Row, scope: Scope) -> bool:
    """Whether a guest's configuration matters: declared, of a declared name; tagged as ours, or nameless yet."""
    declared = row.vmid in scope.vmids or (row.name is not None and row.name.lower() in scope.names)
    ours = scope.ours and (row.name is None or any(tag.lower() == TAG for tag in row.tags))
    return scope.everything or declared or ours


async def _guests(
    session: Session, known: Mapping[int, Row], nodes: Mapping[str, Node], scope: Scope
) -> dict[int, ObservedGuest]:
    named = replace(scope, names=frozenset(name.lower() for name in scope.names))
    guests = {vmid: unread(row) for vmid, row in known.items() if not wanted(row, named)}
    rows = [row for vmid, row in known.items() if vmid not in guests]
    found, lost = await read_all(session, rows, nodes)
    guests |= found
    if lost:
        again = listing.read_guests(await session.get("/cluster/resources?type=vm"))
        moved = [again[row.vmid] for row in lost if row.vmid in again]
        found, still = await read_all(session, moved, nodes)
        guests |= found
        guests |= {row.vmid: unread(row, f"It is moving to another node (last seen on {row.node}).") for row in still}
    return dict(sorted(guests.items()))


async def read_all(
    session: Session, rows: Iterable[Row], nodes: Mapping[str, Node]
) -> tuple[dict[int, ObservedGuest], list[Row]]:
    """The guests, and those that are not where the list says; four calls at once per node."""
    guests: dict[int, ObservedGuest] = {}
    lost: list[Row] = []
    queues: dict[str, list[Row]] = {}
    for row in rows:
        if row.node in nodes and not nodes[row.node].online:
            guests[row.vmid] = unread(row, f"Node {row.node} is offline.")
        else:
            queues.setdefault(row.node, []).append(row)

    async def drain(queue: list[Row]) -> None:
        while queue:
            row = queue.pop()
            try:
                guests[row.vmid] = await read_one(session, row, power=False)
            except Conflict:
                lost.append(row)
            except (Stalled, Waiting) as error:
                guests[row.vmid] = unread(row, str(error))

    await asyncio.gather(*(drain(queue) for queue in queues.values() for _ in range(min(PER_NODE, len(queue)))))
    return guests, lost


async def read_one(session: Session, row: Row, *, power: bool) -> ObservedGuest:
    """One guest where the list says it is; `power` also asks for its state of this moment. Conflict: not there."""
    guest = observed(row, await session.get(f"{row.path}/pending", row.node))
    if power:
        status = await session.get(f"{row.path}/status/current", row.node)
        guest = replace(guest, power=listing.power(status.get("qmpstatus") or status.get("status")))
    return guest


async def glance(session: Session, vmids: Collection[int]) -> tuple[str, dict[int, ObservedGuest]]:
    """What a poll of the list shows, and those of these guests that are in it, read or with the reason why not."""
    rows: Rows = await session.get("/cluster/resources")
    wanted = frozenset(vmids)
    known = listing.read_guests([row for row in rows if row["type"] in listing.KINDS and int(row["vmid"]) in wanted])

    async def look(row: Row) -> ObservedGuest:
        try:
            return await read_one(session, row, power=False)
        except EngineError as error:
            return unread(row, error.message)

    chosen = [known[vmid] for vmid in vmids if vmid in known]
    found = await asyncio.gather(*map(look, chosen))
    return listing.fingerprint(rows), {guest.vmid: guest for guest in found}


async def one(session: Session, vmid: int) -> ObservedGuest | None:
    """A guest as it is now, wherever it lives. None takes two proofs: it is not in the list, and its id is free.

    Stalled when it is there but may not be seen, Waiting when without a quorum nobody knows.
    """
    for _ in range(3):
        rows: Rows = await session.get("/cluster/resources?type=vm")
        if (row := listing.read_guests(rows).get(vmid)) is None:
            if await _free(session, vmid):
                return None
            continue
        try:
            return await read_one(session, row, power=True)
        except Conflict:
            continue
        except Waiting as error:
            return unread(row, str(error))
    if row is not None:
        return unread(row, f"It is moving to another node (last seen on {row.node}).")
    user = session.identity.user
    path = f"/vms/{vmid}"
    raise Stalled(
        f"guest {vmid} exists, but {user} may not see it (VM.Audit on {path})",
        f"grant it: {grant(path, ['VM.Audit'], user)}",
    )


async def _free(session: Session, vmid: int) -> bool:
    """Whether no node has a guest of this id: `nextid` looks at the cluster's file system, whatever our rights."""
    members = await _permitted(session.get("/cluster/status"))
    if members is not None and not listing.read_members(members)[1]:
        raise Waiting(f"without a quorum nobody knows whether guest {vmid} is gone", "most nodes must be up", 10.0)
    try:
        await session.get(f"/cluster/nextid?vmid={vmid}")
    except Conflict:
        return False
    return True
