"""How people get in: the one-time link of the first start, a password, or a provider; and how they get out."""

import unicodedata
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from innkeeper.control.errors import Denied, NotFound
from innkeeper.engine.errors import Conflict
from innkeeper.model.records import PASSWORD_LENGTH, Entry, User
from innkeeper.model.units import seconds
from innkeeper.web import cookies
from innkeeper.web.deps import Address, Anyone, Services, Tries, Viewer
from innkeeper.web.oidc import Attempt, Identity
from innkeeper.web.parts import Parts
from innkeeper.web.render import page

_LONGEST = 2000
_WRONG = "This name and password do not go together."
_GONE = "This link is not good any more. Restart the server while it has no users, and it prints a new one."

router = APIRouter()
Text = Annotated[str, Form(max_length=_LONGEST)]
Target = Annotated[str, Query(alias="next", max_length=2000)]


def local(target: str) -> str:
    """A path of this server, else its first page: whoever made the link must not lead people elsewhere."""
    parts = urlsplit(target)
    plain = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if plain and not parts.scheme and not parts.netloc else "/"


@router.get("/sign-in")
async def ask(request: Request, actor: Anyone, parts: Services, target: Target = "/") -> Response:
    return RedirectResponse(local(target), 303) if actor else await _ask(request, parts, target)


async def _ask(request: Request, parts: Parts, target: str, message: str = "", status: int = 200) -> Response:
    return page(
        request,
        "sign-in.html",
        status=status,
        local=parts.server.sign_in.local,
        providers=sorted(parts.providers),
        next=local(target),
        message=message,
        fresh=not await parts.accounts.users(),
    )


@router.post("/sign-in")
async def enter(
    request: Request,
    actor: Anyone,
    parts: Services,
    tries: Tries,
    address: Address,
    name: Text = "",
    password: Text = "",
    target: Annotated[str, Form(alias="next", max_length=2000)] = "/",
) -> Response:
    if not parts.server.sign_in.local:
        raise Denied("passwords are not taken here", "Sign in through a provider.")
    tries.addresses.take(address)
    tries.users.take(who := _same(name))
    user = await parts.accounts.by_password(name, password)
    if user is None:
        await _note(parts, name if user else "", "sign-in refused", "password", address)
        return await _ask(request, parts, target, _WRONG, 401)
    tries.users.forget(who)
    return await _enter(request, parts, user, target, "password", address)


def _same(name: str) -> str:
    """However a name is written, it is tried as one."""
    return unicodedata.normalize("NFKC", name).strip().casefold()[:100]


@router.post("/sign-out")
async def leave(request: Request, actor: Viewer, parts: Services) -> Response:
    await parts.accounts.close_session(cookies.read(request, "session"))
    await _note(parts, actor.name, "sign-out", "", actor.address)
    response = RedirectResponse("/sign-in", 303)
    cookies.erase(response, "session", parts)
    return response


@router.get("/setup")
async def begin(request: Request, actor: Anyone, secret: Annotated[str, Query(max_length=_LONGEST)] = "") -> Response:
    return _setup(request, secret)


@router.post("/setup")
async def claim(
    request: Request,
    actor: Anyone,
    parts: Services,
    tries: Tries,
    address: Address,
    secret: Text = "",
    name: Annotated[str, Form(max_length=64)] = "",
    password: Text = "",
) -> Response:
    tries.addresses.take(address)
    wrong = password_problem(password) or ("" if name.strip() and name.isprintable() else "Choose a name.")
    user = None if wrong else await parts.accounts.claim_setup(secret, name, password)
    if user is None:
        return _setup(request, secret, wrong or _GONE, 422 if wrong else 403)
    return await _enter(request, parts, user, "/", "one-time link", address)


def _setup(request: Request, secret: str, message: str = "", status: int = 200) -> Response:
    shortest = PASSWORD_LENGTH.start
    return page(request, "setup.html", status=status, secret=secret, message=message, shortest=shortest)


def password_problem(password: str) -> str:
    """Why a password will not do; empty: it will."""
    if len(password) in PASSWORD_LENGTH:
        return ""
    return f"A password has {PASSWORD_LENGTH.start} to {PASSWORD_LENGTH.stop - 1} characters."


@router.get("/sign-in/{provider}")
async def go(
    provider: str, actor: Anyone, parts: Services, tries: Tries, address: Address, target: Target = "/"
) -> Response:
    tries.addresses.take(address)
    if provider not in parts.providers:
        raise NotFound(f"there is no provider {provider}", "Go back to sign-in.")
    url, attempt = await parts.providers[provider].begin(_callback(parts, provider), local(target))
    response = RedirectResponse(url, 303)
    cookies.write(response, "oidc", attempt.to_cookie(), parts, 600)
    return response


@router.get("/sign-in/{provider}/callback")
async def come_back(
    request: Request, provider: str, actor: Anyone, parts: Services, tries: Tries, address: Address
) -> Response:
    tries.addresses.take(address)
    attempt = Attempt.from_cookie(cookies.read(request, "oidc"))
    if provider not in parts.providers or attempt is None or attempt.provider != provider:
        raise Denied("this sign-in was not begun in this browser, or too long ago", "Begin it again.")
    now = int(parts.clock().timestamp())
    answer = dict(request.query_params)
    identity = await parts.providers[provider].finish(attempt, answer, _callback(parts, provider), now)
    user = await _known(parts, identity, provider)
    response = await _enter(request, parts, user, attempt.next, provider, address)
    cookies.erase(response, "oidc", parts)
    return response


def _callback(parts: Parts, provider: str) -> str:
    return f"{parts.url}/sign-in/{provider}/callback"


async def _known(parts: Parts, identity: Identity, provider: str) -> User:
    """The user of an identity, made at the first sign-in; the role is what the provider says now."""
    user = await parts.accounts.by_subject(identity.subject)
    if user is not None:
        return user if user.role == identity.role else await parts.accounts.update_user(user.id, role=identity.role)
    if any(item.subject == identity.subject for item in await parts.accounts.users()):
        raise Denied(f"{identity.name} is disabled here", "Ask an admin.")
    try:
        return await parts.accounts.add_user(identity.name, identity.role, subject=identity.subject)
    except Conflict:
        # A name is not an identity: whoever is called `admin` elsewhere is not our admin.
        return await parts.accounts.add_user(f"{identity.name}@{provider}", identity.role, subject=identity.subject)


async def _enter(request: Request, parts: Parts, user: User, target: str, way: str, address: str) -> Response:
    """A new session under a new secret, whatever the browser held before."""
    if before := cookies.read(request, "session"):
        await parts.accounts.close_session(before)
    lifetime = seconds(parts.server.sign_in.session)
    response = RedirectResponse(local(target), 303)
    cookies.write(response, "session", await parts.accounts.open_session(user.id, lifetime), parts, lifetime)
    cookies.erase(response, "form", parts)
    await _note(parts, user.name, "sign-in", way, address)
    return response


async def _note(parts: Parts, actor: str, action: str, detail: str, address: str) -> None:
    await parts.store.audit(Entry(parts.clock(), actor, action, "session", detail, address))
