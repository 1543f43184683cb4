"""kopf's part: lists, watches, reconnects, `410 Gone`, signing in. Its handlers pass on what they see, and that is all.

kopf believes that the process is its own: it takes the signals, and ends every task that it finds when it ends. So it
gets a thread with an event loop of its own, and tells ours by `call_soon_threadsafe`.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import kopf

from innkeeper.operator.objects import RESOURCES

Seen = Callable[[str, str | None, dict[str, Any]], None]
"""`(plural, kind of event or None while listing, object)`."""


async def watch(loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    """Until it is cancelled, or kopf gives up. `seen` is called in `loop`."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login)
    for plural in RESOURCES:
        _register(registry, plural, loop, seen)
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.queueing.idle_timeout = 0.5
    stop = threading.Event()

    def run() -> None:
        asyncio.run(
            kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True, stop_flag=stop)
        )

    watching = asyncio.ensure_future(asyncio.to_thread(run))
    try:
        await asyncio.shield(watching)
    finally:
        stop.set()
        await asyncio.wait([watching], timeout=5)


def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _register(registry: kopf.OperatorRegistry, plural: str, loop: asyncio.AbstractEventLoop, seen: Seen) -> None:
    group, _, version = RESOURCES[plural][0].partition("/")

    @kopf.on.event(group, version, plural, registry=registry)
    async def look(event: Any, **_: Any) -> None:
        loop.call_soon_threadsafe(seen, plural, event["type"], event["object"])
