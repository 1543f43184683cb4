"""Guests: the list, one of them, and what may be done with it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from innkeeper.control.errors import NotFound
from innkeeper.control.forms import Form
from innkeeper.control.memory import GuestQuery, Sort
from innkeeper.control.ports import Snapshot, Task
from innkeeper.model.objects import Ref
from innkeeper.web.api.fields import Body, NameInPath, Word, Words, ref_of
from innkeeper.web.api.jobs import accepted
from innkeeper.web.api.shapes import DriftShape, GuestPage, GuestShape, JobShape
from innkeeper.web.deps import Operator, Services, Viewer

router = APIRouter(tags=["guests"])
_ONE = "/guests/{source}/{kind}/{name}"
This = Annotated[Ref, Depends(ref_of)]


class NewSnapshot(Body):
    """`keep`: only the newest so many of Innkeeper's own are left; 0: all."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{1,38}$")]
    keep: Annotated[int, Field(ge=0, le=100)] = 0


class PowerAction(Body):
    action: Literal["start", "stop", "shutdown", "reboot"]


class Removal(Body):
    """`name` is the guest's own, typed once more; `pull`: by a pull request."""

    name: Word
    pull: bool = False


@router.get("/guests", response_model=GuestPage)
async def guests(
    actor: Viewer,
    parts: Services,
    text: Annotated[Word, Query(description="in name, hostname, address, node or vmid")] = "",
    source: Words = [],  # noqa: B006 - a query without it; FastAPI copies it
    cluster: Words = [],  # noqa: B006
    node: Words = [],  # noqa: B006
    sync: Words = [],  # noqa: B006
    health: Words = [],  # noqa: B006
    sort: Sort = "name",
    descending: bool = False,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> object:
    """Search, filter, sort, page. Filters may be given several times; any of the values will do."""
    query = GuestQuery(
        text=text,
        sources=tuple(source),
        clusters=tuple(cluster),
        nodes=tuple(node),
        sync=tuple(sync),
        health=tuple(health),
        sort=sort,
        descending=descending,
        offset=offset,
        limit=limit,
    )
    return await parts.store.guests(query)


@router.get(_ONE, response_model=GuestShape)
async def guest(source: NameInPath, ref: This, actor: Viewer, parts: Services) -> object:
    """One guest: desired, live and pending, conditions, checks, and what a sync would change."""
    found = await parts.store.guest(source, ref)
    if found is None:
        raise NotFound(f"source {source} has no guest {ref}")
    return found


@router.get(f"{_ONE}/drifts", response_model=list[DriftShape])
async def drifts(source: NameInPath, ref: This, actor: Viewer, parts: Services, ended: bool = False) -> object:
    """What a hand changed on it, by whom and when."""
    return await parts.store.drifts(source=source, ref=ref, ended=ended)


@router.get(f"{_ONE}/tasks", response_model=list[Task])
async def tasks(source: NameInPath, ref: This, actor: Viewer, parts: Services) -> object:
    """What Proxmox did with it, newest first."""
    return await parts.commands.tasks(source, ref)


@router.post(f"{_ONE}/heal", response_model=JobShape, status_code=202)
async def heal(source: NameInPath, ref: This, actor: Operator, parts: Services, response: Response) -> object:
    """Bring it back to what is declared."""
    return accepted(await parts.commands.heal(actor, source, ref), response)


@router.post(f"{_ONE}/power", response_model=JobShape, status_code=202)
async def power(
    source: NameInPath, ref: This, body: PowerAction, actor: Operator, parts: Services, response: Response
) -> object:
    """Start, stop, shut down or reboot it."""
    return accepted(await parts.commands.power(actor, source, ref, body.action), response)


@router.get(f"{_ONE}/snapshots", response_model=list[Snapshot])
async def snapshots(source: NameInPath, ref: This, actor: Viewer, parts: Services) -> object:
    """Its snapshots, newest last."""
    return await parts.commands.snapshots(source, ref)


@router.post(f"{_ONE}/snapshots", response_model=JobShape, status_code=202)
async def snapshot(
    source: NameInPath, ref: This, body: NewSnapshot, actor: Operator, parts: Services, response: Response
) -> object:
    """Take a snapshot."""
    return accepted(await parts.commands.snapshot(actor, source, ref, body.name, keep=body.keep), response)


@router.post(f"{_ONE}/snapshots/{{snapshot}}/restore", response_model=JobShape, status_code=202)
async def restore(
    source: NameInPath, ref: This, snapshot: NameInPath, actor: Operator, parts: Services, response: Response
) -> object:
    """Back to a snapshot; what the guest has become since is lost."""
    return accepted(await parts.commands.restore(actor, source, ref, snapshot), response)


@router.delete(f"{_ONE}/snapshots/{{snapshot}}", response_model=JobShape, status_code=202)
async def delete_snapshot(
    source: NameInPath, ref: This, snapshot: NameInPath, actor: Operator, parts: Services, response: Response
) -> object:
    """Delete a snapshot."""
    return accepted(await parts.commands.delete_snapshot(actor, source, ref, snapshot), response)


@router.get(f"{_ONE}/form", response_model=Form)
async def form(source: NameInPath, ref: This, actor: Operator, parts: Services) -> object:
    """The form that edits it; send it back to /forms."""
    return await parts.commands.form_of(source, ref)


@router.post(f"{_ONE}/delete", response_model=JobShape, status_code=202)
async def delete(
    source: NameInPath, ref: This, body: Removal, actor: Operator, parts: Services, response: Response
) -> object:
    """Take it out of its manifests; the sync that follows destroys it, where the source may prune."""
    job = await parts.commands.delete(actor, source, ref, name_typed=body.name, pull=body.pull)
    return accepted(job, response)
