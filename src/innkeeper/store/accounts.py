"""Who may sign in: users, their sessions and tokens, and the one-time link of the first start.

No secret is kept. Passwords are hashed with argon2; secrets that are random enough to need no slow hash (cookies,
tokens, the link) with SHA-256.
"""

import asyncio
import hashlib
import secrets
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Update, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from innkeeper.control.errors import NotFound
from innkeeper.control.memory import Session
from innkeeper.engine.errors import Conflict, Stalled, Waiting
from innkeeper.model.records import PASSWORD_LENGTH, ROLES, AccessToken, Role, User
from innkeeper.store import rows, tables
from innkeeper.store.database import Database

SETUP_LIFETIME = timedelta(days=1)
"""Among replicas each prints a link of its own; in one process a start ends the links before it."""
_NOTED = timedelta(minutes=1)
"""How exactly it is known when somebody was here last; a page view should not be a write."""
_ALONE = "accounts"


class SqlAccounts:
    """See the port for what each method promises."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._hasher = PasswordHasher()
        self._hashing = asyncio.Semaphore(2)
        self._nobody = ""

    async def users(self) -> tuple[User, ...]:
        async with self._database.read() as connection:
            found = await connection.execute(select(tables.users).order_by(tables.users.c.key))
            return tuple(map(rows.user_of, found.mappings()))

    async def user(self, name: str) -> User | None:
        return await self._user(tables.users.c.key == _key(name))

    async def by_subject(self, subject: str) -> User | None:
        user = await self._user(tables.users.c.subject == subject)
        return user if user and not user.disabled else None

    async def add_user(self, name: str, role: Role, *, password: str | None = None, subject: str = "") -> User:
        row = await self._new(name, role, password, subject)
        try:
            async with self._database.write(_ALONE) as connection:
                return await _insert(connection, row)
        except IntegrityError as error:
            raise Conflict(f"there is a user {name} already, or one with the same identity", "take another") from error

    async def update_user(
        self, user: int, *, role: Role | None = None, disabled: bool | None = None, password: str | None = None
    ) -> User:
        change: dict[str, object] = {}
        if role is not None:
            change["role"] = role
        if disabled is not None:
            change["disabled"] = disabled
        if password is not None:
            change["password"] = await self._hash(password)
        async with self._database.write(_ALONE) as connection:
            before = await _known(connection, user)
            lesser = role is not None and ROLES.index(role) < ROLES.index(before.role)
            if lesser or disabled:
                await _another_admin(connection, before)
            if lesser or disabled or password is not None:
                await connection.execute(delete(tables.sessions).where(tables.sessions.c.user == user))
            if change:
                await connection.execute(update(tables.users).where(tables.users.c.id == user).values(change))
            return await _known(connection, user)

    async def remove_user(self, user: int) -> None:
        async with self._database.write(_ALONE) as connection:
            await _another_admin(connection, await _known(connection, user))
            await connection.execute(delete(tables.users).where(tables.users.c.id == user))

    async def by_password(self, name: str, password: str) -> User | None:
        async with self._database.read() as connection:
            query = select(tables.users).where(tables.users.c.key == _key(name))
            row = (await connection.execute(query)).mappings().first()
        if not self._nobody:
            self._nobody = await self._hash(secrets.token_urlsafe())
        kept = row["password"] if row and row["password"] and not row["disabled"] else None
        right = await self._verify(kept or self._nobody, password)
        if row is None or kept is None or not right:
            return None
        if self._hasher.check_needs_rehash(kept):
            anew = {"password": await self._hash(password)}
            async with self._database.write() as connection:
                same = (tables.users.c.id == row["id"]) & (tables.users.c.password == kept)
                await connection.execute(update(tables.users).where(same).values(anew))
        return rows.user_of(row)

    async def open_session(self, user: int, lifetime: float) -> str:
        secret, now = secrets.token_urlsafe(32), self._clock()
        row = {"digest": _digest(secret), "user": user, "expires_at": now + timedelta(seconds=lifetime)}
        async with self._database.write() as connection:
            await connection.execute(delete(tables.sessions).where(tables.sessions.c.expires_at <= now))
            await _known(connection, user)
            await connection.execute(insert(tables.sessions).values(row))
        return secret

    async def session(self, secret: str) -> Session | None:
        session = tables.sessions.c
        query = select(tables.users, session.expires_at).join(tables.sessions, session.user == tables.users.c.id)
        async with self._database.read() as connection:
            found = await connection.execute(query.where(session.digest == _digest(secret)))
            row = found.mappings().first()
        if row is None or row["disabled"] or row["expires_at"] <= self._clock():
            return None
        user = rows.user_of(row)
        await self._noticed(user)
        return Session(user, _csrf(secret), row["expires_at"])

    async def close_session(self, secret: str) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(tables.sessions).where(tables.sessions.c.digest == _digest(secret)))

    async def add_token(
        self, user: int, name: str, role: Role, lifetime: float | None = None
    ) -> tuple[AccessToken, str]:
        secret, now = f"ink_{secrets.token_urlsafe(32)}", self._clock()
        async with self._database.write() as connection:
            owner = await _known(connection, user)
            row = {
                "user": user,
                "name": name,
                "role": _lesser(role, owner.role),
                "digest": _digest(secret),
                "created_at": now,
                "expires_at": now + timedelta(seconds=lifetime) if lifetime is not None else None,
            }
            added = await connection.execute(insert(tables.tokens).values(row).returning(tables.tokens))
            return rows.token_of(added.mappings().one()), secret

    async def tokens(self, user: int | None = None) -> tuple[AccessToken, ...]:
        query = select(tables.tokens).order_by(tables.tokens.c.id)
        if user is not None:
            query = query.where(tables.tokens.c.user == user)
        async with self._database.read() as connection:
            return tuple(map(rows.token_of, (await connection.execute(query)).mappings()))

    async def revoke_token(self, token: int) -> None:
        async with self._database.write() as connection:
            await connection.execute(delete(tables.tokens).where(tables.tokens.c.id == token))

    async def by_token(self, secret: str) -> tuple[User, Role] | None:
        token = tables.tokens.c
        async with self._database.read() as connection:
            query = select(tables.tokens).where(token.digest == _digest(secret))
            row = (await connection.execute(query)).mappings().first()
        now = self._clock()
        if row is None or (row["expires_at"] is not None and row["expires_at"] <= now):
            return None
        user = await self._user(tables.users.c.id == row["user"])
        if user is None or user.disabled:
            return None
        if row["used_at"] is None or now - row["used_at"] > _NOTED:
            await self._note(update(tables.tokens).where(token.id == row["id"]).values(used_at=now))
        await self._noticed(user)
        return user, _lesser(row["role"], user.role)

    async def setup_secret(self) -> str | None:
        secret, now = secrets.token_urlsafe(32), self._clock()
        setup = tables.setups.c
        old = delete(tables.setups)
        if self._database.shared:
            old = old.where(setup.created_at < now - SETUP_LIFETIME)
        async with self._database.write(_ALONE) as connection:
            if await _count(connection):
                return None
            await connection.execute(old)
            await connection.execute(insert(tables.setups).values(digest=_digest(secret), created_at=now))
        return secret

    async def claim_setup(self, secret: str, name: str, password: str) -> User | None:
        row = await self._new(name, "admin", password, "")
        this = tables.setups.c.digest == _digest(secret)
        async with self._database.write(_ALONE) as connection:
            if await _count(connection) or not (await connection.execute(select(tables.setups).where(this))).first():
                return None
            await connection.execute(delete(tables.setups))
            return await _insert(connection, row)

    async def _user(self, which: Any) -> User | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(tables.users).where(which))).mappings().first()
        return rows.user_of(row) if row else None

    async def _new(self, name: str, role: Role, password: str | None, subject: str) -> dict[str, object]:
        name = unicodedata.normalize("NFKC", name).strip()
        if not name or len(name) > 100 or not name.isprintable():
            raise Stalled("this cannot be a user's name", "write 1 to 100 printable characters")
        return {
            "name": name,
            "key": _key(name),
            "role": role,
            "subject": subject or None,
            "password": await self._hash(password) if password is not None else None,
            "disabled": False,
            "created_at": self._clock(),
        }

    async def _noticed(self, user: User) -> None:
        now = self._clock()
        if user.last_seen is None or now - user.last_seen > _NOTED:
            await self._note(update(tables.users).where(tables.users.c.id == user.id).values(last_seen=now))

    async def _note(self, change: Update) -> None:
        """Who cannot be noted may still look: on a full disk that is when it is needed most."""
        with suppress(Waiting):
            async with self._database.write() as connection:
                await connection.execute(change)

    async def _hash(self, password: str) -> str:
        if len(password) not in PASSWORD_LENGTH:
            raise Stalled(
                "the password is too short" if len(password) < PASSWORD_LENGTH.start else "the password is too long",
                f"take {PASSWORD_LENGTH.start} to {PASSWORD_LENGTH.stop - 1} characters",
            )
        async with self._hashing:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def _verify(self, kept: str, password: str) -> bool:
        if len(password) >= PASSWORD_LENGTH.stop:
            return False
        async with self._hashing:
            try:
                return await asyncio.to_thread(self._hasher.verify, kept, password)
            except (VerificationError, InvalidHashError):
                return False


async def _known(connection: AsyncConnection, user: int) -> User:
    row = (await connection.execute(select(tables.users).where(tables.users.c.id == user))).mappings().first()
    if row is None:
        raise NotFound("there is no such user", "look at the list of users; another admin may have removed it")
    return rows.user_of(row)


async def _another_admin(connection: AsyncConnection, user: User) -> None:
    """Conflict: this is the only admin who can sign in."""
    if user.role != "admin" or user.disabled:
        return
    at = tables.users.c
    others = select(func.count()).where(at.role == "admin", ~at.disabled, at.id != user.id)
    if not (await connection.execute(others)).scalar_one():
        raise Conflict(f"{user.name} is the last admin", "make another user an admin first")


async def _insert(connection: AsyncConnection, row: dict[str, object]) -> User:
    added = await connection.execute(insert(tables.users).values(row).returning(tables.users))
    return rows.user_of(added.mappings().one())


async def _count(connection: AsyncConnection) -> int:
    return (await connection.execute(select(func.count()).select_from(tables.users))).scalar_one()


def _lesser(one: Role, other: Role) -> Role:
    return min(one, other, key=ROLES.index)


def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", name).strip().casefold()


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _csrf(secret: str) -> str:
    """Follows from the cookie's secret, which pages of others cannot read; from it the secret does not follow."""
    return hashlib.blake2b(secret.encode("utf-8", "replace"), digest_size=24, person=b"innkeeper csrf").hexdigest()
