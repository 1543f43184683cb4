"""A person's own tokens and colours; for admins, who else may come in and as what."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from innkeeper.control.actors import Actor
from innkeeper.control.errors import NotFound
from innkeeper.engine.errors import Stalled
from innkeeper.model.records import ROLES, Entry, Role, User
from innkeeper.web.deps import Admin, Anyone, Services, Viewer
from innkeeper.web.pages.actions import check_typed
from innkeeper.web.parts import Parts
from innkeeper.web.render import THEME_COOKIE, THEMES, page
from innkeeper.web.signin import local, password_problem

router = APIRouter()
_YEAR = 365 * 86400
Text = Annotated[str, Form(max_length=200)]


@router.get("/settings")
async def settings(request: Request, actor: Viewer, parts: Services) -> Response:
    return await _show(request, actor, parts)


async def _show(request: Request, actor: Actor, parts: Parts, *, status: int = 200, **more: object) -> Response:
    myself = await _me(actor, parts)
    return page(
        request,
        "settings.html",
        status=status,
        tokens=await parts.accounts.tokens(myself.id),
        roles=ROLES[: ROLES.index(actor.role) + 1],
        all_roles=ROLES,
        users=await parts.accounts.users() if actor.role == "admin" else None,
        **({"fresh": None, "problem": ""} | more),
    )


async def _me(actor: Actor, parts: Parts) -> User:
    found = await parts.accounts.user(actor.name)
    if found is None:
        raise NotFound(f"there is no user {actor.name} any more")
    return found


@router.post("/settings/tokens")
async def add_token(
    request: Request,
    actor: Viewer,
    parts: Services,
    name: Text,
    role: Annotated[Role, Form()],
    days: Annotated[int, Form(ge=0, le=3650)] = 90,
) -> Response:
    myself = await _me(actor, parts)
    lifetime = timedelta(days=days).total_seconds() if days else None
    token, secret = await parts.accounts.add_token(myself.id, name.strip() or "token", role, lifetime)
    await _note(parts, actor, "token", token.name, f"as {token.role}")
    return await _show(request, actor, parts, fresh={"name": token.name, "secret": secret})


@router.post("/settings/tokens/{token}/revoke")
async def revoke(token: int, actor: Viewer, parts: Services) -> Response:
    myself = await _me(actor, parts)
    if token not in {item.id for item in await parts.accounts.tokens(myself.id)}:
        raise NotFound(f"{actor.name} has no such token")
    await parts.accounts.revoke_token(token)
    await _note(parts, actor, "revoke", f"token {token}")
    return RedirectResponse("/settings", 303)


@router.post("/settings/users")
async def add_user(
    request: Request, actor: Admin, parts: Services, name: Text, role: Annotated[Role, Form()], password: Text
) -> Response:
    if wrong := password_problem(password) or ("" if name.strip() and name.isprintable() else "Choose a name."):
        return await _show(request, actor, parts, status=422, problem=wrong)
    user = await parts.accounts.add_user(name.strip(), role, password=password)
    await _note(parts, actor, "add user", user.name, role)
    return RedirectResponse("/settings", 303)


@router.post("/settings/users/{user}")
async def change_user(
    user: int,
    actor: Admin,
    parts: Services,
    role: Annotated[Role | None, Form()] = None,
    disabled: Annotated[str | None, Form(max_length=10)] = None,
) -> Response:
    off = bool(disabled) if role is None else None
    changed = await parts.accounts.update_user(user, role=role, disabled=off)
    told = role or ("disabled" if off else "enabled")
    await _note(parts, actor, "change user", changed.name, told)
    return RedirectResponse("/settings", 303)


@router.post("/settings/users/{user}/remove")
async def remove_user(user: int, actor: Admin, parts: Services, typed: Text = "") -> Response:
    found = next((item for item in await parts.accounts.users() if item.id == user), None)
    if found is None:
        raise NotFound("there is no such user")
    check_typed(typed, found.name)
    if found.name == actor.name:
        raise Stalled("nobody removes themselves", "Ask another admin.")
    await parts.accounts.remove_user(user)
    await _note(parts, actor, "remove user", found.name)
    return RedirectResponse("/settings", 303)


@router.post("/theme")
async def theme(
    actor: Anyone, parts: Services, theme: Text = "", target: Annotated[str, Form(alias="next", max_length=2000)] = "/"
) -> Response:
    response = RedirectResponse(local(target), 303)
    if theme in THEMES:
        response.set_cookie(THEME_COOKIE, theme, max_age=_YEAR, secure=parts.secure, httponly=True, samesite="lax")
    else:
        response.delete_cookie(THEME_COOKIE, secure=parts.secure, httponly=True, samesite="lax")
    return response


async def _note(parts: Parts, actor: Actor, action: str, target: str, detail: str = "") -> None:
    await parts.store.audit(Entry(parts.clock(), actor.name, action, target, detail, actor.address))
