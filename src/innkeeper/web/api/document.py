"""The whole API: its routers below one prefix, and the OpenAPI document that describes them."""

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.responses import JSONResponse

from innkeeper.web.api import clusters, guests, jobs, people, sources
from innkeeper.web.api.shapes import ErrorShape
from innkeeper.web.deps import Anyone, table

PREFIX = "/api/v1"
_WHAT = {
    400: "The body is not JSON.",
    401: "Nobody is signed in, or the token is not good.",
    403: "The role does not suffice, or a form was not ours.",
    404: "There is no such thing.",
    409: "The world moved: look again.",
    413: "The body is larger than a mebibyte.",
    422: "A person must act: something in the request, or about the guest, is not in order.",
    429: "Too many tries.",
    502: "It may or may not have had its effect: look before doing anything.",
    503: "Not now; later it will do.",
}
_DESCRIPTION = (
    "Everything that the portal does. Sign in with `Authorization: Bearer <personal token>`, or with the portal's "
    "session and its CSRF token in `X-CSRF-Token`. What takes time answers 202 with a job; follow it at `/jobs/{job}`."
)


def routers() -> APIRouter:
    router = APIRouter(
        prefix=PREFIX,
        responses={status: {"model": ErrorShape, "description": text} for status, text in _WHAT.items()},
    )
    for part in (guests, jobs, sources, clusters, people):
        router.include_router(part.router)
    return router


def install(app: FastAPI) -> None:
    app.include_router(routers())

    @app.get(f"{PREFIX}/openapi.json", include_in_schema=False)
    async def openapi(actor: Anyone) -> JSONResponse:
        return JSONResponse(describe(app))


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, with who may use what: `x-least-role` of each operation."""
    document = get_openapi(
        title="Innkeeper",
        version="v1",
        description=_DESCRIPTION,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    document["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "a personal token (`ink_…`)"}
    }
    document["security"] = [{"token": []}]
    for (method, path), least in table(app).items():
        if path in document["paths"]:
            document["paths"][path][method.lower()]["x-least-role"] = least
    return document
