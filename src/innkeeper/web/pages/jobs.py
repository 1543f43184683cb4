"""Jobs: the list, the page of one with its live log, its plan, and what a person decides about it."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Annotated, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import PlainTextResponse, Response

from innkeeper.control.commands import destroyed, taken_back
from innkeeper.engine.errors import EngineError
from innkeeper.model.jobs import ENDED, Job, JobLog, JobState
from innkeeper.model.objects import Ref
from innkeeper.web.deps import Operator, Services, Viewer
from innkeeper.web.pages.actions import to_job
from innkeeper.web.parts import Parts
from innkeeper.web.render import page
from innkeeper.web.views.planview import PlanView, StepView, plan_view
from innkeeper.web.views.words import JOBS, web_address

router = APIRouter()
_LIMIT = 50
_LINES = 1000
_PATIENCE = 2.0
"""Seconds that a plan waits for git to tell where its lines come from."""
_BLAMED = 40
_STATES: tuple[JobState, ...] = get_args(JobState)


@router.get("/jobs")
async def jobs(
    request: Request,
    actor: Viewer,
    parts: Services,
    state: str = "",
    source: str = "",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    states = tuple(item for item in _STATES if item == state)
    found = await parts.store.jobs(states=states, source=source, before=before, limit=_LIMIT + 1)
    shown = found[:_LIMIT]
    chosen = {name: value for name, value in (("state", state), ("source", source)) if value}
    later = f"/jobs?{urlencode(chosen | {'before': str(shown[-1].id)})}" if len(found) > _LIMIT else ""
    sources = [(name, name) for name in sorted(parts.commands.house.sources)]
    facets = (
        ("state", "State", state, [(word, mark.word) for word, mark in JOBS.items()]),
        ("source", "Source", source, sources),
    )
    return page(request, "jobs.html", jobs=shown, later=later, facets=facets)


@router.get("/jobs/{job}")
async def job(request: Request, job: int, actor: Viewer, parts: Services) -> Response:
    found = await parts.commands.job(job)
    lines = await _lines(parts, job)
    view = plan_view(found.result)
    return page(
        request,
        "job.html",
        job=found,
        ended=found.state in ENDED,
        plan=view,
        lines=lines,
        busy=_busy(lines) if found.state == "running" else {},
        ref=_ref,
        outputs=_outputs(found),
    )


@router.get("/jobs/{job}/log")
async def log(
    request: Request, job: int, actor: Viewer, parts: Services, after: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """The lines after one, as the page shows them: for its script."""
    return page(request, "log_lines.html", lines=await parts.store.logs(job, after, _LINES))


@router.get("/jobs/{job}/log.txt")
async def log_text(job: int, actor: Viewer, parts: Services) -> Response:
    await parts.commands.job(job)
    lines = await _lines(parts, job)
    text = "".join(
        f"{line.at:%Y-%m-%dT%H:%M:%SZ} {line.level:7} {line.guest or '-'} {line.message}\n" for line in lines
    )
    return PlainTextResponse(text)


async def _lines(parts: Parts, job: int) -> tuple[JobLog, ...]:
    """All lines of a log."""
    found: tuple[JobLog, ...] = ()
    while more := await parts.store.logs(job, found[-1].number if found else 0, _LINES):
        found += more
        if len(more) < _LINES:
            break
    return found


@router.get("/jobs/{job}/plan")
async def plan(request: Request, job: int, actor: Viewer, parts: Services) -> Response:
    found = await parts.commands.job(job)
    view = plan_view(found.result) or PlanView()
    view = view.blamed(await _blamed(parts, found, view.places))
    names = tuple(dict.fromkeys(destroyed(found))) if found.state == "waiting" else ()
    back = tuple(name for name in taken_back(found) if name not in names) if found.state == "waiting" else ()
    return page(request, "plan.html", job=found, plan=view, destroyed=names, back=back)


async def _blamed(parts: Parts, job: Job, places: Sequence[tuple[str, int]]) -> Mapping[tuple[str, int], str]:
    """The commit of each place, as far as git tells soon."""
    found: dict[tuple[str, int], str] = {}
    if job.revision:
        with suppress(EngineError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                repository = parts.commands.house.repository(job.request.source)
                for file, line in places[:_BLAMED]:
                    if commit := await repository.blame(job.revision, file, line):
                        found[file, line] = commit.revision
    return found


@router.post("/jobs/{job}/approve")
async def approve(
    job: int,
    actor: Operator,
    parts: Services,
    digest: Annotated[str, Form(max_length=200)],
    names: Annotated[Sequence[str], Form()] = (),
) -> Response:
    return to_job(await parts.commands.approve(actor, job, digest, names=names))


@router.post("/jobs/{job}/cancel")
async def cancel(job: int, actor: Operator, parts: Services) -> Response:
    return to_job(await parts.commands.cancel(actor, job))


@router.post("/jobs/{job}/retry")
async def retry(job: int, actor: Operator, parts: Services) -> Response:
    return to_job(await parts.commands.retry(actor, job))


def _ref(step: StepView) -> Ref:
    return Ref(step.kind, step.name)


def _busy(lines: Sequence[JobLog]) -> Mapping[str, str]:
    """The phase that each guest was in when it was heard of last."""
    return {line.guest.partition("/")[2]: line.phase for line in lines if line.guest and line.phase}


def _outputs(job: Job) -> tuple[tuple[str, str, str], ...]:
    """What a job made besides its steps: (name, value, address to link to)."""
    made = job.result
    files = made.get("files")
    found = [("File", str(file), "") for file in (files if isinstance(files, list) else [])]
    if job.request.type == "commit" and made.get("revision"):
        found.append(("Commit", str(made["revision"])[:10], ""))
    if made.get("branch"):
        found.append(("Branch", str(made["branch"]), ""))
    if made.get("url"):
        found.append(
            (f"Pull request {made.get('pull') or ''}".strip(), str(made["url"]), web_address(str(made["url"])))
        )
    if isinstance(made.get("job"), int):
        found.append(("Then", f"job {made['job']}", f"/jobs/{made['job']}"))
    return tuple(found)
