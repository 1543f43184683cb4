"""Who asks, and may they: every route names its least role in its own signature, and is refused without one.

    @router.post("/jobs/{job}/cancel")
    async def cancel(job: int, actor: Operator, parts: Services) -> …

`Anyone`, `Viewer`, `Operator`, `Admin` stand for the least role; the route receives the Actor that asks (None for
`Anyone` who is not signed in). What changes something needs, from a browser, the page's CSRF token as well: the form
field `csrf` or the header `X-CSRF-Token`. `table` lists all routes with their least role.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from innkeeper.control.actors import Actor
from innkeeper.control.errors import Denied
from innkeeper.control.memory import Session
from innkeeper.model.records import ROLES, Role
from innkeeper.web import cookies
from innkeeper.web.limits import Limits
from innkeeper.web.parts import Parts

Least = Literal["anyone"] | Role
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class SignedOut(Exception):
    """Nobody is signed in, or the token is not (any more) good: pages lead to sign-in, the API answers 401."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `session` where it is a browser; None: a token."""

    actor: Actor
    session: Session | None = None


@dataclass(frozen=True, slots=True)
class Require:
    """Lets a request in whose caller has at least this role."""

    least: Least
    signed: bool = False
    """The route checks a signature of the body itself; no browser has a business there."""

    async def __call__(self, request: Request) -> Actor | None:
        caller = await recognise(request)
        request.state.caller = caller
        request.state.user = caller.actor.name if caller else ""
        if self.least != "anyone":
            _check_role(caller, self.least)
        if request.method not in _SAFE and not self.signed and (caller is None or caller.session is not None):
            await _from_our_page(request, caller.session if caller else None)
        return caller.actor if caller else None


def _check_role(caller: Caller | None, least: Role) -> None:
    if caller is None:
        raise SignedOut
    if ROLES.index(caller.actor.role) < ROLES.index(least):
        raise Denied(
            f"{caller.actor.name} is {_article(caller.actor.role)}; this needs {_article(least)}",
            "ask an admin for the role, or use a token that has it",
        )


Anyone = Annotated[Actor | None, Depends(Require("anyone"))]
Viewer = Annotated[Actor, Depends(Require("viewer"))]
Operator = Annotated[Actor, Depends(Require("operator"))]
Admin = Annotated[Actor, Depends(Require("admin"))]
Signed = Annotated[None, Depends(Require("anyone", signed=True))]


# These wait for nothing, and are async nevertheless: FastAPI sends every plain function through a pool of threads.
async def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


async def limits_of(request: Request) -> Limits:
    limits: Limits = request.app.state.limits
    return limits


async def address_of(request: Request) -> str:
    """Where the request came from: the peer, or whom a trusted proxy names."""
    return request.client.host if request.client else ""


Services = Annotated[Parts, Depends(parts_of)]
Tries = Annotated[Limits, Depends(limits_of)]
Address = Annotated[str, Depends(address_of)]


async def recognise(request: Request) -> Caller | None:
    """The caller by the bearer token, else by the session's cookie; a bad token is never passed over for a cookie."""
    parts = await parts_of(request)
    address = await address_of(request)
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found = await parts.accounts.by_token(secret.strip())
        if found is None or found[0].disabled:
            raise SignedOut
        ours = request.headers.get("user-agent", "").startswith("innkeeper-cli")
        return Caller(Actor(found[0].name, found[1], address, "cli" if ours else "api"))
    if not (cookie := cookies.read(request, "session")):
        return None
    session = await parts.accounts.session(cookie)
    if session is None or session.user.disabled or session.expires_at <= parts.clock():
        return None
    return Caller(Actor(session.user.name, session.user.role, address, "portal"), session)


async def _from_our_page(request: Request, session: Session | None) -> None:
    """The request was made by one of our own pages: by what the browser says of itself, and by the page's token."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    ours = {request.headers.get("host", ""), urlsplit((await parts_of(request)).url).netloc}
    foreign = urlsplit(origin).netloc not in ours if origin is not None else site not in (None, "same-origin", "none")
    expected = session.csrf if session else cookies.read(request, "form")
    given = request.headers.get("x-csrf-token") or await _field(request, "csrf")
    if foreign or not expected or not secrets.compare_digest(given.encode(), expected.encode()):
        raise Denied(
            "this form was not made for you, or is too old", "go back, load the page again and send the form once more"
        )


async def _field(request: Request, name: str) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return ""
    value = (await request.form()).get(name)
    return value if isinstance(value, str) else ""


def _article(role: str) -> str:
    return f"{'a' if role == 'viewer' else 'an'} {role}"


def table(app: FastAPI) -> dict[tuple[str, str], Least]:
    """Every route, (method, path), with its least role; ValueError: one names none, or several."""
    found: dict[tuple[str, str], Least] = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if not isinstance(route, APIRoute):
            continue
        least = {require.least for require in _requires(context.dependant)}
        if len(least) != 1:
            raise ValueError(f"{context.path} names {sorted(least) or 'no'} least role; one of Anyone, Viewer, …")
        for method in context.methods or ():
            found[(method, str(context.path))] = next(iter(least))
    return found


def _requires(dependant: Dependant) -> Iterator[Require]:
    for part in dependant.dependencies:
        if isinstance(part.call, Require):
            yield part.call
        yield from _requires(part)
