"""Clusters as they are now: capacity, who lives where, our own load on them, what the token may do."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from innkeeper.control.memory import GuestQuery
from innkeeper.control.ports import Finding, NodeUse
from innkeeper.engine.errors import EngineError
from innkeeper.model.objects import Cluster
from innkeeper.model.plan import Json
from innkeeper.model.records import GuestRecord
from innkeeper.model.units import parse_quantity
from innkeeper.web.deps import Services, Viewer
from innkeeper.web.parts import Parts
from innkeeper.web.render import page
from innkeeper.web.views.words import guest_path, size

router = APIRouter()
_PATIENCE = 5.0
"""Seconds that a page waits for a cluster."""
_MAP = 2000
"""Guests that the map of a cluster shows at most."""
_WARMTH = (1 << 30, 4 << 30, 16 << 30)
"""Bytes of memory from which on a cell is a shade darker."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """`problem` says why the nodes are not known."""

    name: str
    endpoints: tuple[str, ...]
    nodes: Sequence[NodeUse] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One guest on the map; `warmth` 1 to 4."""

    vmid: int
    warmth: int
    title: str
    address: str


async def _view(parts: Parts, cluster: Cluster) -> ClusterView:
    endpoints = tuple(cluster.spec.endpoints)
    try:
        async with asyncio.timeout(_PATIENCE):
            return ClusterView(cluster.name, endpoints, await parts.commands.nodes(cluster.name))
    except EngineError as error:
        return ClusterView(cluster.name, endpoints, problem=" ".join(filter(None, (error.message, error.advice))))
    except TimeoutError:
        return ClusterView(cluster.name, endpoints, problem=f"no answer within {_PATIENCE:.0f} s")


@router.get("/clusters")
async def clusters(request: Request, actor: Viewer, parts: Services) -> Response:
    found = await parts.commands.clusters()
    views = await asyncio.gather(*(_view(parts, found[name]) for name in sorted(found)))
    return page(request, "clusters.html", items=views)


@router.get("/clusters/{name}")
async def cluster(request: Request, name: str, actor: Viewer, parts: Services) -> Response:
    found = await parts.commands.cluster(name)
    view, (findings, unexamined) = await asyncio.gather(_view(parts, found), _examined(parts, name))
    living = await parts.store.guests(GuestQuery(clusters=(name,), sort="vmid", limit=_MAP))
    return page(
        request,
        "cluster.html",
        item=view,
        heat=heat(living.guests, [node.name for node in view.nodes]),
        unmapped=living.total - len(living.guests),
        findings=findings,
        unexamined=unexamined,
    )


async def _examined(parts: Parts, name: str) -> tuple[Sequence[Finding], str]:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await parts.commands.doctor(name), ""
    except EngineError as error:
        return (), error.message
    except TimeoutError:
        return (), "The cluster takes too long to be examined now."


def heat(guests: Sequence[GuestRecord], nodes: Sequence[str] = ()) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """Every guest that exists by its node, in the order of vmids; nodes without a guest are shown empty."""
    found: dict[str, list[Cell]] = {name: [] for name in sorted(nodes)}
    for guest in guests:
        if guest.vmid is not None and guest.node:
            found.setdefault(guest.node, []).append(_cell(guest, guest.vmid))
    return tuple((node, tuple(cells)) for node, cells in found.items())


def _cell(guest: GuestRecord, vmid: int) -> Cell:
    memory = _memory(guest.live) or _memory(guest.desired)
    warmth = 1 + sum(memory >= step for step in _WARMTH)
    title = f"{guest.ref.name}{', ' + size(memory) if memory else ''}, {guest.power}"
    return Cell(vmid, warmth, title, guest_path(guest.source, guest.ref))


def _memory(spec: Mapping[str, Json]) -> int:
    """Bytes that a spec names; 0 where it names none."""
    try:
        return parse_quantity(spec.get("memory"))
    except ValueError:
        return 0
