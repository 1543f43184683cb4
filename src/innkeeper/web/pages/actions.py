"""What a person does with one guest or one drift: each is a command, and leads to the page of its job."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from innkeeper.engine.errors import Stalled
from innkeeper.model.jobs import Job
from innkeeper.model.objects import Ref
from innkeeper.web.deps import Operator, Services
from innkeeper.web.views.words import guest_path

router = APIRouter()
_GUEST = "/guests/{source}/{kind}/{name}"
Field = Annotated[str, Form(max_length=200)]


def to_job(job: Job) -> Response:
    return RedirectResponse(f"/jobs/{job.id}", 303)


def check_typed(typed: str, name: str) -> None:
    """The name of what is destroyed was typed; Stalled else."""
    if typed != name:
        raise Stalled(f"the name that was typed is not {name}", "Go back, and type it as it is shown.")


@router.post(_GUEST + "/heal")
async def heal(source: str, kind: str, name: str, actor: Operator, parts: Services) -> Response:
    return to_job(await parts.commands.heal(actor, source, Ref(kind, name)))


@router.post(_GUEST + "/power")
async def power(
    source: str,
    kind: str,
    name: str,
    actor: Operator,
    parts: Services,
    action: Annotated[Literal["start", "stop", "shutdown", "reboot"], Form()],
) -> Response:
    return to_job(await parts.commands.power(actor, source, Ref(kind, name), action))


@router.post(_GUEST + "/snapshot")
async def snapshot(
    source: str,
    kind: str,
    name: str,
    actor: Operator,
    parts: Services,
    called: Annotated[str, Form(alias="name", pattern=r"^[A-Za-z][A-Za-z0-9_-]{1,39}$")],
) -> Response:
    return to_job(await parts.commands.snapshot(actor, source, Ref(kind, name), called))


@router.post(_GUEST + "/snapshot/delete")
async def remove_snapshot(
    source: str,
    kind: str,
    name: str,
    actor: Operator,
    parts: Services,
    called: Annotated[str, Form(alias="name", max_length=40)],
) -> Response:
    return to_job(await parts.commands.delete_snapshot(actor, source, Ref(kind, name), called))


@router.post(_GUEST + "/restore")
async def restore(
    source: str,
    kind: str,
    name: str,
    actor: Operator,
    parts: Services,
    called: Annotated[str, Form(alias="name", max_length=40)],
    typed: Field = "",
) -> Response:
    check_typed(typed, name)
    return to_job(await parts.commands.restore(actor, source, Ref(kind, name), called))


@router.post("/drifts/{drift}/adopt")
async def adopt(drift: int, actor: Operator, parts: Services) -> Response:
    return to_job(await parts.commands.adopt_drift(actor, drift))


@router.post("/drifts/{drift}/ignore")
async def ignore(
    request: Request,
    drift: int,
    actor: Operator,
    parts: Services,
    days: Annotated[int, Form(ge=0, le=365)] = 0,
) -> Response:
    """`days` 0: ignored no more."""
    until = parts.clock() + timedelta(days=days) if days else None
    found = await parts.commands.ignore_drift(actor, drift, until)
    return RedirectResponse(guest_path(found.source, found.ref), 303)
