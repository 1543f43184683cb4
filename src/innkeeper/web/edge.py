"""What holds for every request, whatever answers it: bounded, with an id, security headers, one line in the log.

Written as plain ASGI so that streams stay streams and an error of any layer below ends here.
"""

import secrets
import time
from collections.abc import Mapping

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from innkeeper.web import errors

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_YEAR = 31_536_000
MAX_BODY = 1 << 20
"""Bytes of a request's body, counted while it streams in; more is refused with 413 before anything is parsed."""
_log = structlog.stdlib.get_logger("innkeeper.web")


def headers(*, secure: bool) -> Mapping[str, str]:
    """Nothing inline, nothing from elsewhere, never in a frame; TLS for a year where it is there at all.

    Referrer-Policy is `same-origin`: with `no-referrer` browsers would send `Origin: null` with our own forms.
    """
    found = {
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    return found | {"Strict-Transport-Security": f"max-age={_YEAR}"} if secure else found


class Edge:
    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._headers = headers(secure=secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, began, status, size = secrets.token_hex(8), time.perf_counter(), 0, 0
        structlog.contextvars.bind_contextvars(request=number)

        async def ask() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MAX_BODY:
                raise _too_large()
            return message

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._complete(MutableHeaders(scope=message), scope, number)
            await send(message)

        try:
            if _announced(scope) > MAX_BODY:
                found = errors.problem(_too_large())
                await JSONResponse(found.to_json(), found.status, dict(found.headers))(scope, ask, answer)
            else:
                await self._app(scope, ask, answer)
        except Exception as error:
            _log.exception("a request failed", path=scope["path"])
            if status:
                raise
            await (await _told(Request(scope, ask), error))(scope, ask, answer)
        finally:
            _log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round((time.perf_counter() - began) * 1000, 1),
                address=client[0] if (client := scope.get("client")) else "",
                user=scope.get("state", {}).get("user", ""),
            )
            structlog.contextvars.unbind_contextvars("request")

    def _complete(self, found: MutableHeaders, scope: Scope, number: str) -> None:
        for name, value in self._headers.items():
            found[name] = value
        found["X-Request-ID"] = number
        if not scope["path"].startswith("/static/"):
            found.setdefault("Cache-Control", "no-store")


async def _told(request: Request, error: Exception) -> Response:
    """What is said of a mistake of ours; in JSON to people, too, where no page can be made."""
    try:
        return await errors.answer(request, error)
    except Exception:  # noqa: BLE001 - the last line of defence
        _log.exception("no page can be made")
        return JSONResponse(errors.UNEXPECTED.to_json(), errors.UNEXPECTED.status)


def _announced(scope: Scope) -> int:
    """What Content-Length says; the server (h11) has refused anything but a number."""
    return int(Headers(scope=scope).get("content-length", "0"))


def _too_large() -> HTTPException:
    return HTTPException(413, f"the body is larger than {MAX_BODY >> 10} KiB", {"Connection": "close"})
