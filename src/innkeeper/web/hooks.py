"""Webhooks: `POST /hooks/<source>` and, as proxnix listens, `POST /whlisten`. Bounded, proved, then only a hint."""

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from innkeeper.control.errors import NotFound
from innkeeper.web.deps import Address, Services, Signed, Tries
from innkeeper.web.hearing import Cause

_STATUS: Mapping[Cause, int] = {"signature": 401, "malformed": 400, "repository": 403}

router = APIRouter()


@router.post("/hooks/{source}")
async def hook(
    source: str, request: Request, signed: Signed, parts: Services, tries: Tries, address: Address
) -> Response:
    """202 with a job, or 200 with the reason why there is none. The sender's own delivery id makes it count once."""
    tries.refused.check(address)
    if source not in parts.commands.house.sources:
        tries.refused.take(address)
        raise NotFound(f"there is no source {source[:63]}", "The address is /hooks/ and the source's name.")
    heard = parts.hooks.receive(source, request.headers, await request.body())
    if heard.cause:
        tries.refused.take(address)
        raise HTTPException(_STATUS[heard.cause], heard.reason)
    tries.deliveries.take(source)
    if heard.hint is None:
        return JSONResponse({"job": None, "reason": heard.reason})
    job, reason = await parts.commands.webhook(source, heard.hint)
    return JSONResponse({"job": job.id if job else None, "reason": reason}, 202 if job else 200)


@router.post("/whlisten")
async def listen(request: Request, signed: Signed, parts: Services, tries: Tries, address: Address) -> Response:
    """For whoever moves here from proxnix: 200 accepted, 400 not understood, 429 busy. Signed it must be, too."""
    tries.refused.check(address)
    found = parts.hooks.addressed(request.headers, await request.body())
    if not found:
        tries.refused.take(address)
        raise HTTPException(400, "not understood, or signed with no source's webhook secret")
    told: dict[str, object] = {}
    for source, heard in found.items():
        tries.deliveries.take(source)
        job, reason = await parts.commands.webhook(source, heard.hint) if heard.hint else (None, heard.reason)
        told[source] = {"job": job.id if job else None, "reason": reason}
    return JSONResponse(told)
