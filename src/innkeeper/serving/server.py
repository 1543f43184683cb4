"""`innkeeper serve`: the web in this thread, the work in another, both ended in order."""

import asyncio
import json
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from innkeeper.control.commands import Commands
from innkeeper.control.memory import Accounts, Store
from innkeeper.engine.errors import EngineError, Stalled, Waiting
from innkeeper.model.server import Oidc
from innkeeper.proxmox.tls import parse_endpoint, trust
from innkeeper.serving.control import Control
from innkeeper.serving.links import KeptLinks
from innkeeper.serving.settings import Settings
from innkeeper.serving.wiring import hooks, house, prepare_data
from innkeeper.store import open_bus, open_store
from innkeeper.web import logs
from innkeeper.web.app import create_app
from innkeeper.web.listen import Server
from innkeeper.web.listen import server as web_server
from innkeeper.web.metrics import Metrics
from innkeeper.web.oidc import Provider
from innkeeper.web.parts import Parts

_WATCH_SECONDS = 0.5
_TRIES = 30
_SWITCH = 0.0005
"""Seconds after which the thread that computes lets the other one go on. A page changes threads at every statement of
the database; with Python's own 5 ms each of them would wait that long while a plan of many guests is made."""


def as_json(ready: Mapping[str, object]) -> None:
    """One line for whoever started the server."""
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def serve(settings: Settings, listen: str, ready: Callable[[Mapping[str, object]], None] = as_json) -> None:
    """Until SIGTERM or SIGINT, or until the jobs that run at a SIGHUP have ended. `ready` gets `url` and `setup`.

    Stalled: it cannot start, or it ended by itself.
    """
    logs.configure()
    sys.setswitchinterval(_SWITCH)
    # uvicorn hands a signal on to whoever was there before, once it has ended: we go on to end the rest in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    with _listening(listen) as door:
        asyncio.run(_run(settings, door, ready))


def _listening(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:
        raise Stalled(f"--listen {listen}: this is not HOST:PORT", "such as 127.0.0.1:8080")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, int(port)))
    except OSError as error:
        door.close()
        raise Stalled(f"--listen {listen}: {error.strerror}", "take another port, or 0 for any free one") from None
    door.listen(1024)
    return door


def _address(door: socket.socket) -> str:
    host, port = door.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _run(settings: Settings, door: socket.socket, ready: Callable[[Mapping[str, object]], None]) -> None:
    await prepare_data(settings)
    database = settings.database or settings.data
    url = (settings.server.public_url or _address(door)).rstrip("/")
    store, accounts = await _opened(database)
    metrics = Metrics()
    links = KeptLinks(metrics.answered)
    bus = open_bus(database)
    control = Control(settings, bus, url, metrics.answered)
    try:
        queue = await asyncio.to_thread(control.start)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, control.drain)
        parts = Parts(
            store=store,
            accounts=accounts,
            commands=Commands(house(settings, store, queue, bus, links, url)),
            bus=bus,
            url=url,
            server=settings.server,
            providers=_providers(settings),
            hooks=hooks(settings),
            metrics=metrics,
        )
        web = web_server(create_app(parts))
        secret = await accounts.setup_secret()
        setup = f"{url}/setup?secret={secret}" if secret else None
        found = {"url": _address(door), "setup": setup}
        telling = asyncio.create_task(_tell(web, control, lambda: ready(found)))
        await web.serve(sockets=[door])
        await telling
    finally:
        await asyncio.to_thread(control.stop)
        await links.close()
        await store.close()
    if control.failed is not None:
        raise (
            control.failed
            if isinstance(control.failed, EngineError)
            else Stalled(f"the control plane ended by itself: {type(control.failed).__name__}", "its log tells more")
        )


async def _tell(web: Server, control: Control, ready: Callable[[], None]) -> None:
    """One line once it is served; then watch whether the other thread still lives."""
    while not web.started and not web.should_exit:  # noqa: ASYNC110 - uvicorn tells by a flag
        await asyncio.sleep(0.01)
    if web.started:
        ready()
    while not web.should_exit:
        if control.ended.is_set():
            web.should_exit = True
        await asyncio.sleep(_WATCH_SECONDS)


async def _opened(database: str | Path) -> tuple[Store, Accounts]:
    """A database that starts beside us may take a moment."""
    for _ in range(_TRIES):
        try:
            return await open_store(database)
        except Waiting as error:
            await asyncio.sleep(error.after)
    return await open_store(database)


def _providers(settings: Settings) -> dict[str, Provider]:
    def one(spec: Oidc) -> Provider:
        def secret() -> str:
            return settings.secret(spec.client_secret, f"signIn {spec.name}: clientSecret").get_secret_value()

        async def context() -> ssl.SSLContext:
            parts = urlsplit(spec.issuer)
            port = f":{parts.port}" if parts.port else ":443"
            return await trust(spec.tls, parse_endpoint(f"https://{parts.hostname}{port}"), settings.directory)

        return Provider(spec, secret, context)

    return {spec.name: one(spec) for spec in settings.server.sign_in.oidc}
