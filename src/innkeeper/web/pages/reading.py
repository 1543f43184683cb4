"""Pages that are only read: profiles, and the audit log."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from innkeeper.web.deps import Services, Viewer
from innkeeper.web.render import page

router = APIRouter()
_LIMIT = 100


@router.get("/profiles")
async def profiles(request: Request, actor: Viewer, parts: Services) -> Response:
    return page(request, "profiles.html", profiles=await parts.commands.profiles())


@router.get("/audit")
async def audit(
    request: Request, actor: Viewer, parts: Services, before: Annotated[int | None, Query(ge=1)] = None
) -> Response:
    found = await parts.store.audits(before=before, limit=_LIMIT + 1)
    later = f"/audit?before={found[_LIMIT - 1].id}" if len(found) > _LIMIT else ""
    return page(request, "audit.html", entries=found[:_LIMIT], later=later)
