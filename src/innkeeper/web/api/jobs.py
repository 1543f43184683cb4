"""Jobs: what was asked for and what became of it, live."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from innkeeper.model.jobs import ENDED, Job, JobState
from innkeeper.model.objects import GuestKind, Ref
from innkeeper.web.api.fields import NAME, Before, Body, Names, Number, Word
from innkeeper.web.api.shapes import JobShape, LogShape
from innkeeper.web.deps import Operator, Services, Viewer
from innkeeper.web.streams import Seat

router = APIRouter(tags=["jobs"])
_BATCH = 500
_PATIENCE = 2.0
"""Seconds without news after which a job is looked at all the same."""


class Approval(Body):
    """`digest` of the plan that was looked at; `names` of every guest that it destroys, typed once more."""

    digest: Annotated[str, "64 hexadecimal digits"] = ""
    names: Names = ()


def accepted(job: Job, response: Response) -> Job:
    """A job that was just made, and where to look at it."""
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job


@router.get("/jobs", response_model=list[JobShape])
async def jobs(
    actor: Viewer,
    parts: Services,
    state: Annotated[list[JobState], Query(max_length=10)] = [],  # noqa: B006 - FastAPI copies it
    source: Annotated[Word, Query()] = "",
    kind: GuestKind | None = None,
    name: Annotated[str, Query(pattern=NAME)] | None = None,
    before: Before = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> object:
    """Newest first. With `kind` and `name`, those of one guest."""
    ref = Ref(kind, name) if kind and name else None
    return await parts.store.jobs(states=tuple(state), source=source, ref=ref, before=before, limit=limit)


async def known(job: Number, parts: Services) -> Job:
    return await parts.commands.job(job)


Known = Annotated[Job, Depends(known)]


@router.get("/jobs/{job}", response_model=JobShape)
async def job(actor: Viewer, found: Known) -> object:
    """One job with its result; of one that waits, the plan that it waits with."""
    return found


@router.get("/jobs/{job}/logs", response_model=list[LogShape])
async def logs(
    actor: Viewer,
    found: Known,
    parts: Services,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
) -> object:
    """Its log lines, from the one after `after`."""
    return await parts.store.logs(found.id, after, limit)


@router.get("/jobs/{job}/logs/follow", response_class=EventSourceResponse)
async def follow(
    actor: Viewer,
    found: Known,
    parts: Services,
    seat: Seat,
    after: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """Its log lines as they come (`event: log`, whose id is the line's number), then `event: end` with the job.

    One that waits for an approval is told once by `event: waiting`, and the stream goes on.
    """
    async with aclosing(seat.listen("job", "log", patience=_PATIENCE)) as news:
        more, waited = True, False
        while more or await anext(news, None) is not None:
            # The job is read before its lines: one that has ended then writes no more.
            job = await parts.commands.job(found.id)
            lines = await parts.store.logs(found.id, after, _BATCH)
            for line in lines:
                yield ServerSentEvent(event="log", id=str(line.number), data=LogShape.model_validate(line))
                after = line.number
            more = len(lines) == _BATCH
            if job.state in ENDED and not more:
                yield ServerSentEvent(event="end", data=JobShape.model_validate(job))
                return
            if job.state == "waiting" and not more and not waited:
                waited = True
                yield ServerSentEvent(event="waiting", data=JobShape.model_validate(job))


@router.post("/jobs/{job}/approve", response_model=JobShape)
async def approve(actor: Operator, found: Known, body: Approval, parts: Services) -> object:
    """Let exactly this plan go."""
    return await parts.commands.approve(actor, found.id, body.digest, names=body.names)


@router.post("/jobs/{job}/cancel", response_model=JobShape)
async def cancel(actor: Operator, found: Known, parts: Services) -> object:
    """Stop it at a safe point: the call that is under way is awaited, no other one is begun."""
    return await parts.commands.cancel(actor, found.id)


@router.post("/jobs/{job}/retry", response_model=JobShape, status_code=202)
async def retry(actor: Operator, found: Known, parts: Services, response: Response) -> object:
    """The same wish once more, as a new job."""
    return accepted(await parts.commands.retry(actor, found.id), response)
