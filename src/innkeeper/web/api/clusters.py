"""Clusters and their nodes, as they are now; and the forms that ask for new guests on them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from innkeeper.control.forms import Form, FormOptions
from innkeeper.control.ports import NodeUse
from innkeeper.web.api.fields import NameInPath, Word
from innkeeper.web.api.jobs import accepted
from innkeeper.web.api.shapes import ClusterShape, FindingShape, JobShape, OverviewShape, PreviewShape
from innkeeper.web.deps import Operator, Services, Viewer

router = APIRouter(tags=["clusters"])


@router.get("/overview", response_model=OverviewShape, tags=["guests"])
async def overview(actor: Viewer, parts: Services) -> object:
    """What needs attention first, then counts, then what happened."""
    return await parts.commands.overview()


@router.get("/clusters", response_model=list[ClusterShape])
async def clusters(actor: Viewer, parts: Services) -> object:
    """The server's clusters and those that repositories declare themselves, by name."""
    found = await parts.commands.clusters()
    return [ClusterShape(name=name, endpoints=found[name].spec.endpoints) for name in sorted(found)]


@router.get("/clusters/{cluster}/nodes", response_model=list[NodeUse])
async def nodes(cluster: NameInPath, actor: Viewer, parts: Services) -> object:
    """What each node has and uses (memory and disk in bytes), and how often Innkeeper itself called it."""
    return await parts.commands.nodes(cluster)


@router.get("/clusters/{cluster}/doctor", response_model=list[FindingShape])
async def doctor(cluster: NameInPath, actor: Viewer, parts: Services) -> object:
    """What stands in the way of keeping it, the token's rights among it."""
    return await parts.commands.doctor(cluster)


@router.get("/forms/options", response_model=FormOptions, tags=["forms"])
async def options(actor: Operator, parts: Services, source: Annotated[Word, Query()] = "") -> object:
    """What a form may offer: only values that exist and are approved."""
    return await parts.commands.options(source)


@router.post("/forms/preview", response_model=PreviewShape, tags=["forms"])
async def preview(form: Form, actor: Operator, parts: Services) -> object:
    """Everything that a form would write and do; nothing is changed."""
    return PreviewShape.of(await parts.commands.preview(actor, form))


@router.post("/forms", response_model=JobShape, status_code=202, tags=["forms"])
async def propose(
    form: Form, actor: Operator, parts: Services, response: Response, pull: Annotated[bool, Query()] = False
) -> object:
    """Commit what a form says, or with `pull` open a pull request; `original` names the guest that it changes."""
    return accepted(await parts.commands.propose(actor, form, pull=pull), response)
