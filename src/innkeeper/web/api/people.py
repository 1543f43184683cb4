"""Who may do what: users, their tokens, and the record of who did what."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from innkeeper.control.actors import Actor
from innkeeper.control.errors import Denied, NotFound
from innkeeper.model.records import ROLES, AccessToken, Entry, Role, User
from innkeeper.web.api.fields import Before, Body, Number, Password, Word
from innkeeper.web.api.shapes import MeShape, NewToken, UserShape, attributes
from innkeeper.web.deps import Admin, Operator, Services, Viewer
from innkeeper.web.parts import Parts

router = APIRouter(tags=["people"])
_DAY = 86_400


class NewUser(Body):
    name: Annotated[Word, Field(min_length=1, max_length=64)]
    role: Role
    password: Password


class UserChange(Body):
    """What is left out stays. A new password, a lesser role and disabling end the user's sessions."""

    role: Role | None = None
    disabled: bool | None = None
    password: Password | None = None


class TokenWish(Body):
    """`role` is never above its user's."""

    name: Annotated[Word, Field(min_length=1, max_length=64)]
    role: Role = "viewer"
    days: Annotated[int, Field(ge=1, le=366)] = 90


@router.get("/me", response_model=MeShape)
async def me(actor: Viewer) -> object:
    """Who asks, and with which role."""
    return actor


@router.get("/audit", response_model=list[Entry])
async def audit(
    actor: Operator, parts: Services, before: Before = None, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> object:
    """Who changed what, when, from where; newest first."""
    return await parts.store.audits(before=before, limit=limit)


@router.get("/users", response_model=list[UserShape])
async def users(actor: Admin, parts: Services) -> object:
    """All users, by name."""
    return [_shown(user) for user in await parts.accounts.users()]


@router.post("/users", response_model=UserShape, status_code=201)
async def add_user(body: NewUser, actor: Admin, parts: Services) -> object:
    """A local user with a password."""
    user = await parts.accounts.add_user(body.name, body.role, password=body.password)
    await note(parts, actor, "add user", user.name, user.role)
    return _shown(user)


@router.patch("/users/{user}", response_model=UserShape)
async def change_user(user: Number, body: UserChange, actor: Admin, parts: Services) -> object:
    """Another role or password, or disabled."""
    done = await parts.accounts.update_user(user, role=body.role, disabled=body.disabled, password=body.password)
    told = ("password" if name == "password" else f"{name}: {getattr(body, name)}" for name in body.model_fields_set)
    await note(parts, actor, "change user", done.name, ", ".join(sorted(told)))
    return _shown(done)


@router.delete("/users/{user}", status_code=204)
async def remove_user(user: Number, actor: Admin, parts: Services) -> None:
    """With all sessions and tokens."""
    known = {item.id: item.name for item in await parts.accounts.users()}
    await parts.accounts.remove_user(user)
    await note(parts, actor, "remove user", known.get(user, str(user)))


@router.get("/tokens", response_model=list[AccessToken])
async def tokens(actor: Viewer, parts: Services, everybody: Annotated[bool, Query()] = False) -> object:
    """One's own, without their secrets; an admin sees everybody's with `everybody`."""
    if everybody and actor.role != "admin":
        raise Denied("only an admin sees the tokens of everybody", "Leave `everybody` out.")
    return await parts.accounts.tokens(None if everybody else (await _self(parts, actor)).id)


@router.post("/tokens", response_model=NewToken, status_code=201)
async def add_token(body: TokenWish, actor: Viewer, parts: Services) -> object:
    """A new personal token; its secret is shown this once."""
    user = await _self(parts, actor)
    allowed = lesser(body.role, actor.role)
    token, secret = await parts.accounts.add_token(user.id, body.name, allowed, body.days * _DAY)
    await note(parts, actor, "add token", body.name, f"{token.role}, {body.days} days")
    return {"token": token, "secret": secret}


@router.delete("/tokens/{token}", status_code=204)
async def revoke_token(token: Number, actor: Viewer, parts: Services) -> None:
    """One's own; an admin anybody's."""
    whose = None if actor.role == "admin" else (await _self(parts, actor)).id
    found = next((item for item in await parts.accounts.tokens(whose) if item.id == token), None)
    if found is None:
        raise NotFound(f"there is no token {token} of yours", "GET /api/v1/tokens lists them.")
    await parts.accounts.revoke_token(token)
    await note(parts, actor, "revoke token", found.name)


def lesser(one: Role, other: Role) -> Role:
    return min(one, other, key=ROLES.index)


def _shown(user: User) -> UserShape:
    return UserShape.model_validate({**attributes(user), "local": not user.subject})


async def _self(parts: Parts, actor: Actor) -> User:
    user = await parts.accounts.user(actor.name)
    if user is None:
        raise NotFound(f"there is no user {actor.name} any more")
    return user


async def note(parts: Parts, actor: Actor, action: str, target: str, detail: str = "") -> None:
    await parts.store.audit(Entry(parts.clock(), actor.name, action, target, detail, actor.address))
