"""The cookies: a session, and what ties a form or a sign-in elsewhere to the browser that began it."""

import secrets
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from innkeeper.web.parts import Parts

Cookie = Literal["session", "form", "oidc"]


def name(cookie: Cookie, parts: Parts) -> str:
    """`__Host-` (over https) keeps other hosts of the same domain from setting it."""
    return f"{'__Host-' if parts.secure else ''}innkeeper-{cookie}"


def read(request: Request, cookie: Cookie) -> str:
    return request.cookies.get(name(cookie, request.app.state.parts), "")


def write(response: Response, cookie: Cookie, value: str, parts: Parts, lifetime: int | None = None) -> None:
    """`lifetime` in seconds; None: until the browser is closed."""
    response.set_cookie(
        name(cookie, parts), value, max_age=lifetime, path="/", secure=parts.secure, httponly=True, samesite="lax"
    )


def erase(response: Response, cookie: Cookie, parts: Parts) -> None:
    response.delete_cookie(name(cookie, parts), path="/", secure=parts.secure, httponly=True, samesite="lax")


def form_token(request: Request) -> str:
    """The CSRF token of a browser that is not signed in: what its cookie holds, a fresh one where it has none."""
    if not hasattr(request.state, "form_token"):
        request.state.form_token = read(request, "form") or secrets.token_urlsafe(32)
    token: str = request.state.form_token
    return token
