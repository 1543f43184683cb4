"""One shape for everything that goes wrong: `{error, message, advice, fields}` for programs, a page for people."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from innkeeper.control.errors import Denied, NotFound
from innkeeper.engine.errors import Conflict, EngineError, Stalled, Uncertain, Waiting
from innkeeper.web.deps import SignedOut
from innkeeper.web.render import page


@dataclass(frozen=True, slots=True)
class Problem:
    """`error` is a CamelCase word that never changes; `fields` says of single fields what is wrong with them."""

    status: int
    error: str
    message: str
    advice: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        body = asdict(self)
        return {name: body[name] for name in ("error", "message", "advice", "fields")}


_STATUS: tuple[tuple[type[EngineError], int], ...] = (
    (Denied, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Stalled, 422),
    (Uncertain, 502),
    (Waiting, 503),
)
UNEXPECTED = Problem(
    500,
    "Unexpected",
    "Innkeeper made a mistake, and nothing more is known here",
    "look for this request's id (header X-Request-ID) in the server's log, and please report what stands there",
)


def problem(error: Exception) -> Problem:
    """What to answer. Values that were sent are never repeated: they may be secrets."""
    if isinstance(error, EngineError):
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        wait = {"Retry-After": str(max(1, round(error.after)))} if isinstance(error, Waiting) else {}
        fields: Mapping[str, str] = getattr(error, "fields", {})
        return Problem(status, type(error).__name__, error.message, error.advice, fields, wait)
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, SignedOut):
        return Problem(
            401,
            "SignedOut",
            "nobody is signed in, or the token is not good (any more)",
            "sign in, or send `Authorization: Bearer <token>` with a token from Settings",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        message = error.detail if error.detail and error.detail != phrase else phrase.lower()
        word = phrase.title().replace(" ", "").replace("-", "")
        return Problem(error.status_code, word, message, headers=error.headers or {})
    return UNEXPECTED


def _invalid(error: RequestValidationError) -> Problem:
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return Problem(400, "NotJson", "the body is not JSON", "send one JSON object")
    fields = {".".join(map(str, item["loc"][1:])) or str(item["loc"][0]): str(item["msg"]) for item in found}
    told = "; ".join(f"{name}: {message}" for name, message in fields.items())
    return Problem(422, "Invalid", told, "correct these fields; /api/v1/openapi.json says what each may be", fields)


def wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")


async def answer(request: Request, error: Exception) -> Response:
    """The response to an error: JSON, or for a browser a page, or the way to sign-in."""
    found = problem(error)
    if not wants_page(request):
        return JSONResponse(found.to_json(), found.status, dict(found.headers))
    if isinstance(error, SignedOut):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        target = f"/sign-in?next={quote(here, safe='')}" if request.method == "GET" and here != "/" else "/sign-in"
        return RedirectResponse(target, 303)
    response = page(request, "error.html", status=found.status, problem=found)
    response.headers.update(found.headers)
    return response


def install(app: FastAPI) -> None:
    for kind in (EngineError, SignedOut, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, answer)
