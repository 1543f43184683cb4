"""Sources: where desired state comes from, where each stands, and what may be done with all of one."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from innkeeper.model.records import Revision
from innkeeper.web.api.fields import Body, NameInPath, Names, Number, Word
from innkeeper.web.api.jobs import accepted
from innkeeper.web.api.shapes import DriftShape, JobShape, SourceShape
from innkeeper.web.deps import Operator, Services, Viewer
from innkeeper.web.parts import Parts

router = APIRouter(tags=["sources"])


class Syncing(Body):
    """`prune` and `replace` still wait for an approval. `revision` empty: the newest."""

    revision: Word = ""
    only: Names = ()
    replace: Names = ()
    prune: bool = False
    configure: Literal["always", "changed", "never"] = "changed"
    snapshot: bool = False


class Planning(Body):
    """`ref`: a branch, tag or commit; empty: the newest revision."""

    ref: Word = ""
    only: Names = ()


class Back(Body):
    """`to`: an earlier revision; `snapshot`: of the guests that it touches, before."""

    to: Word
    snapshot: bool = False


class Suspension(Body):
    on: bool


class Adoption(Body):
    pull: bool = False


class Ignoring(Body):
    """`until` null: not any more."""

    until: AwareDatetime | None


async def _source(parts: Parts, name: str) -> SourceShape:
    return SourceShape.of(parts.commands.house.source(name), await parts.store.source(name))


@router.get("/sources", response_model=list[SourceShape])
async def sources(actor: Viewer, parts: Services) -> object:
    """All sources, by name."""
    return [await _source(parts, name) for name in sorted(parts.commands.house.sources)]


@router.get("/sources/{source}", response_model=SourceShape)
async def source(source: NameInPath, actor: Viewer, parts: Services) -> object:
    """One source: what its manifest says, and where it stands."""
    return await _source(parts, source)


@router.get("/sources/{source}/revisions", response_model=list[Revision])
async def revisions(
    source: NameInPath, actor: Viewer, parts: Services, limit: Annotated[int, Query(ge=1, le=500)] = 50
) -> object:
    """The commits that were synced, newest first."""
    parts.commands.house.source(source)
    return await parts.store.revisions(source, limit)


@router.post("/sources/{source}/sync", response_model=JobShape, status_code=202)
async def sync(source: NameInPath, body: Syncing, actor: Operator, parts: Services, response: Response) -> object:
    """Bring its guests to what a revision declares."""
    job = await parts.commands.sync(
        actor,
        source,
        revision=body.revision,
        only=body.only,
        replace=body.replace,
        prune=body.prune,
        configure=body.configure,
        snapshot=body.snapshot,
    )
    return accepted(job, response)


@router.post("/sources/{source}/plan", response_model=JobShape, status_code=202)
async def plan(source: NameInPath, body: Planning, actor: Operator, parts: Services, response: Response) -> object:
    """What a sync would do; nothing is changed."""
    return accepted(await parts.commands.plan(actor, source, ref=body.ref, only=body.only), response)


@router.post("/sources/{source}/rollback", response_model=JobShape, status_code=202)
async def rollback(source: NameInPath, body: Back, actor: Operator, parts: Services, response: Response) -> object:
    """Back to an earlier revision: its plan waits for an approval, then the source is held there."""
    return accepted(await parts.commands.rollback(actor, source, body.to, snapshot=body.snapshot), response)


@router.post("/sources/{source}/release", response_model=SourceShape)
async def release(source: NameInPath, actor: Operator, parts: Services) -> object:
    """Let it follow its branch again after a rollback."""
    await parts.commands.release(actor, source)
    return await _source(parts, source)


@router.post("/sources/{source}/suspend", response_model=SourceShape)
async def suspend(source: NameInPath, body: Suspension, actor: Operator, parts: Services) -> object:
    """While it is suspended nothing of it is changed by itself."""
    await parts.commands.suspend(actor, source, body.on)
    return await _source(parts, source)


@router.get("/drifts", response_model=list[DriftShape], tags=["drift"])
async def drifts(actor: Viewer, parts: Services, source: Annotated[Word, Query()] = "", ended: bool = False) -> object:
    """What hands changed, by whom and when; with `ended`, what is over as well."""
    return await parts.store.drifts(source=source, ended=ended)


@router.post("/drifts/{drift}/adopt", response_model=JobShape, status_code=202, tags=["drift"])
async def adopt(drift: Number, body: Adoption, actor: Operator, parts: Services, response: Response) -> object:
    """Write what the guest has become into its manifest."""
    return accepted(await parts.commands.adopt_drift(actor, drift, pull=body.pull), response)


@router.post("/drifts/{drift}/ignore", response_model=DriftShape, tags=["drift"])
async def ignore(drift: Number, body: Ignoring, actor: Operator, parts: Services) -> object:
    """Leave this field of this guest as it is, until a time."""
    return await parts.commands.ignore_drift(actor, drift, body.until)
