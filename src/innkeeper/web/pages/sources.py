"""Sources: where each stands, its revisions, and the ways to sync, hold, roll back and let go."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from innkeeper.control.memory import GuestQuery
from innkeeper.model.records import SourceRecord
from innkeeper.model.sources import Source, SourceSpec
from innkeeper.web.deps import Operator, Services, Viewer
from innkeeper.web.pages.actions import to_job
from innkeeper.web.parts import Parts
from innkeeper.web.render import page
from innkeeper.web.views.words import Mark

router = APIRouter()


@dataclass(frozen=True, slots=True)
class SourceView:
    name: str
    url: str
    branch: str
    record: SourceRecord
    mark: Mark
    rules: tuple[tuple[str, str], ...]


async def _view(parts: Parts, source: Source) -> SourceView:
    record = await parts.store.source(source.name)
    spec = source.spec
    followed = ", ".join((spec.branch, *spec.beside))
    return SourceView(source.name, str(spec.url), followed, record, source_mark(record), _rules(spec))


def source_mark(record: SourceRecord) -> Mark:
    """One word for where a source stands, the gravest first."""
    if record.error:
        return Mark("bad", "rise", "Unreadable")
    if record.suspended:
        return Mark("idle", "bars", "Suspended")
    if record.pinned:
        return Mark("warn", "bars", "Held by a rollback")
    if not record.seen:
        return Mark("idle", "ring", "Not fetched yet")
    return Mark("ok", "disc", "Synced") if record.seen == record.synced else Mark("busy", "half", "Behind")


def _rules(spec: SourceSpec) -> tuple[tuple[str, str], ...]:
    prune = f"yes, at most {spec.max_deletes} in a run" if spec.prune else "no"
    forms = ("pull requests below " if spec.propose else "commits below ") + spec.write if spec.write else "not taken"
    return (
        ("Sync", "by itself; grave changes wait" if spec.sync == "auto" else "every change waits for a person"),
        ("Looked at", f"every {spec.interval}" + (", and at a webhook" if spec.webhook else "")),
        ("Heals drift", "yes" if spec.self_heal else "no"),
        ("Prunes", prune),
        ("Forms", forms),
        ("Clusters", ", ".join(spec.clusters) if spec.clusters is not None else "every one"),
        ("May use", ", ".join(spec.allow) or "nothing beyond guests"),
        ("Path", spec.path),
    )


@router.get("/sources")
async def sources(request: Request, actor: Viewer, parts: Services) -> Response:
    house = parts.commands.house
    return page(
        request, "sources.html", items=[await _view(parts, house.sources[name]) for name in sorted(house.sources)]
    )


@router.get("/sources/{name}")
async def source(request: Request, name: str, actor: Viewer, parts: Services) -> Response:
    found = parts.commands.house.source(name)
    return page(
        request,
        "source.html",
        item=await _view(parts, found),
        here=f"/sources/{quote(name, safe='')}",
        guests=(await parts.store.guests(GuestQuery(sources=(name,), limit=1))).total,
        revisions=await parts.store.revisions(name, 30),
        jobs=await parts.store.jobs(source=name, limit=8),
    )


@router.post("/sources/{name}/sync")
async def sync(name: str, actor: Operator, parts: Services) -> Response:
    return to_job(await parts.commands.sync(actor, name))


@router.post("/sources/{name}/plan")
async def plan(name: str, actor: Operator, parts: Services) -> Response:
    return to_job(await parts.commands.plan(actor, name))


@router.post("/sources/{name}/rollback")
async def rollback(
    name: str,
    actor: Operator,
    parts: Services,
    to: Annotated[str, Form(pattern=r"^[0-9a-f]{7,64}$")],
    snapshot: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    return to_job(await parts.commands.rollback(actor, name, to, snapshot=bool(snapshot)))


@router.post("/sources/{name}/release")
async def release(name: str, actor: Operator, parts: Services) -> Response:
    await parts.commands.release(actor, name)
    return _back(name)


@router.post("/sources/{name}/suspend")
async def suspend(name: str, actor: Operator, parts: Services) -> Response:
    await parts.commands.suspend(actor, name, True)
    return _back(name)


@router.post("/sources/{name}/resume")
async def resume(name: str, actor: Operator, parts: Services) -> Response:
    await parts.commands.suspend(actor, name, False)
    return _back(name)


def _back(name: str) -> Response:
    return RedirectResponse(f"/sources/{quote(name, safe='')}", 303)
