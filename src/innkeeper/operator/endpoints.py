"""`/metrics`, `/healthz` and `/readyz`: 200, or 500 with the reason."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

Question = Callable[[], str]
"""Answers why not; empty where all is well."""


async def serve_metrics(bind: str, registry: CollectorRegistry) -> web.AppRunner:
    """`bind` is `[host]:port`."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return await _serve(bind, {"/metrics": metrics})


async def serve_health(bind: str, alive: Question, ready: Question) -> web.AppRunner:
    async def healthz(_: web.Request) -> web.Response:
        return _answer(alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    return await _serve(bind, {"/healthz": healthz, "/readyz": readyz})


def _answer(problem: str) -> web.Response:
    return web.Response(status=500 if problem else 200, text=f"{problem or 'ok'}\n")


async def _serve(bind: str, routes: dict[str, Callable[[web.Request], object]]) -> web.AppRunner:
    app = web.Application()
    for path, handler in routes.items():
        app.router.add_get(path, handler)  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, _, port = bind.rpartition(":")
    await web.TCPSite(runner, host.strip("[]") or None, int(port)).start()
    return runner
