"""The list of all guests, and the page of one: what it is to be, what it is, what happened to it."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from innkeeper.control.errors import NotFound
from innkeeper.control.memory import GuestQuery
from innkeeper.control.ports import Commit
from innkeeper.engine.errors import EngineError
from innkeeper.model.objects import Ref
from innkeeper.model.records import GuestRecord
from innkeeper.model.status import Condition
from innkeeper.web.deps import Services, Viewer
from innkeeper.web.parts import Parts
from innkeeper.web.render import page
from innkeeper.web.views import listing
from innkeeper.web.views.comparing import compare
from innkeeper.web.views.planview import change_view
from innkeeper.web.views.timeline import timeline
from innkeeper.web.views.words import CONDITIONS, HEALTH, SYNC, guest_path

router = APIRouter()
T = TypeVar("T")
_PATIENCE = 3.0
"""Seconds that a page waits for a cluster or git; it then shows what is remembered."""
_SICK = (("Degraded,Missing", "Degraded or missing"),)
_IN_ORDER = ("Checked", "Prepared", "Reachable", "Ready", "Running", "Synced")
_POWERS = {
    "running": (("shutdown", "Shut down"), ("reboot", "Restart"), ("stop", "Stop hard")),
    "stopped": (("start", "Start"),),
}


@router.get("/guests")
async def guests(request: Request, actor: Viewer, parts: Services) -> Response:
    query = listing.from_address(request.query_params)
    found = await parts.store.guests(query)
    return page(
        request,
        "guests.html",
        query=query,
        page=found,
        columns=listing.COLUMNS,
        facets=_facets(parts, query, sorted(await parts.commands.clusters())),
        narrowed=_narrowed(query),
        filtered=listing.filtered(query),
        sort_address=lambda sort: listing.sorted_by(query, sort),
        earlier=listing.earlier(query),
        later=listing.later(query, found.total),
    )


def _facets(parts: Parts, query: GuestQuery, clusters: Sequence[str]) -> tuple[object, ...]:
    house = parts.commands.house
    return (
        ("sync", "Sync", query.sync, [(word, mark.word) for word, mark in SYNC.items()]),
        ("health", "Health", query.health, [*_SICK, *((word, mark.word) for word, mark in HEALTH.items())]),
        ("source", "Source", query.sources, [(name, name) for name in sorted(house.sources)]),
        ("cluster", "Cluster", query.clusters, [(name, name) for name in clusters]),
    )


def _narrowed(query: GuestQuery) -> tuple[tuple[str, str, str, str], ...]:
    """What narrows the list without a field of its own: name and value in the address, words, the list without it."""
    found = (
        ("node", query.nodes, "on " + ", ".join(query.nodes), replace(query, nodes=(), offset=0)),
        (
            "condition",
            query.conditions,
            ", ".join(CONDITIONS.get(item, ("", item))[1] for item in query.conditions),
            replace(query, conditions=(), offset=0),
        ),
    )
    return tuple(
        (name, ",".join(values), words, listing.to_address(rest)) for name, values, words, rest in found if values
    )


async def known(parts: Parts, source: str, kind: str, name: str) -> GuestRecord:
    found = await parts.store.guest(source, Ref(kind, name))
    if found is None:
        raise NotFound(f"source {source} has no guest {kind}/{name}", "It may have been deleted: look into the list.")
    return found


@router.get("/guests/{source}/{kind}/{name}")
async def guest(request: Request, source: str, kind: str, name: str, actor: Viewer, parts: Services) -> Response:
    record = await known(parts, source, kind, name)
    ref, commands = record.ref, parts.commands
    drifts = await parts.store.drifts(source=source, ref=ref, ended=True)
    jobs = await parts.store.jobs(source=source, ref=ref, limit=20)
    (snapshots, first), (tasks, _), (commits, _) = await asyncio.gather(
        _in_time(commands.snapshots(source, ref)),
        _in_time(commands.tasks(source, ref)),
        _in_time(_commits(parts, record)),
    )
    drifting = [item for item in drifts if item.ended_at is None]
    return page(
        request,
        "guest.html",
        guest=record,
        here=guest_path(source, ref),
        drifts=drifting,
        told=[item for item in record.conditions if _tells(item) and not (drifting and item.type == "Drifted")],
        compared=compare(record.desired, record.live, record.pending, record.changes),
        changes=[change_view(item) for item in record.changes],
        snapshots=snapshots,
        unseen=first,
        timeline=timeline(commits, jobs, drifts, tasks, snapshots),
        powers=_POWERS.get(record.power, (*_POWERS["stopped"], *_POWERS["running"])),
        proposed=f"before-{parts.clock():%Y%m%d-%H%M}",
    )


def _tells(condition: Condition) -> bool:
    """Whether a condition is news: that something is in order is not."""
    return not (condition.status == "True" and condition.type in _IN_ORDER)


async def _in_time(asked: Awaitable[Sequence[T]]) -> tuple[Sequence[T], str]:
    """What was asked for, or nothing and the reason."""
    try:
        async with asyncio.timeout(_PATIENCE):
            return await asked, ""
    except EngineError as error:
        return (), error.message
    except TimeoutError:
        return (), "The cluster does not answer quickly; what it alone knows is not shown."


async def _commits(parts: Parts, record: GuestRecord) -> Sequence[Commit]:
    if not record.file:
        return ()
    return await parts.commands.house.repository(record.source).log(20, record.file)
