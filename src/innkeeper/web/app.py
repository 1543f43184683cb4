"""The web application, put together from its parts. Refuses to start where a route does not say who may use it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from innkeeper.web import deps, errors, events, hooks, ops, pages, render, signin
from innkeeper.web.api import document
from innkeeper.web.edge import Edge
from innkeeper.web.limits import Limits
from innkeeper.web.parts import Parts
from innkeeper.web.streams import Streams


def create_app(parts: Parts) -> FastAPI:
    """ValueError: a route does not say who may use it."""

    @asynccontextmanager
    async def counting(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(parts.metrics.watch(parts.bus, parts.store))
        yield
        task.cancel()
        await asyncio.wait((task,))

    app = FastAPI(title="Innkeeper", docs_url=None, redoc_url=None, openapi_url=None, lifespan=counting)
    app.state.parts = parts
    app.state.templates = render.environment()
    app.state.streams = Streams(parts.bus)
    app.state.limits = Limits.of(parts.clock)
    errors.install(app)
    for router in (signin.router, events.router, hooks.router, ops.router):
        app.include_router(router, include_in_schema=False)
    document.install(app)
    for router in pages.routers():
        app.include_router(router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=render.HERE / "static"), "static")
    deps.table(app)  # a route without a least role ends it here
    app.add_middleware(Edge, secure=parts.secure)
    if parts.server.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(parts.server.trusted_proxies))
    return app
