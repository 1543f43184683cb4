"""The web application on a real socket, over a real store; clusters and git are not there unless a test brings them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx2
from argon2 import PasswordHasher

from innkeeper.control.commands import Commands
from innkeeper.control.house import House
from innkeeper.control.memory import Accounts, Store
from innkeeper.engine.errors import Waiting
from innkeeper.model.diagnostics import Location
from innkeeper.model.jobs import Job
from innkeeper.model.objects import Cluster, Origin
from innkeeper.model.records import Role
from innkeeper.model.server import ServerSpec
from innkeeper.model.sources import Source, SourceSpec
from innkeeper.planner.policy import Unreachable
from innkeeper.store import open_store
from innkeeper.store.bus import LocalBus
from innkeeper.web.app import create_app
from innkeeper.web.cookies import Cookie
from innkeeper.web.listen import server as web_server
from innkeeper.web.parts import Parts

PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """Goes on by itself, and further where a test says so; or stands still."""

    ahead: timedelta = timedelta()
    stopped: datetime | None = None

    def __call__(self) -> datetime:
        return (self.stopped or datetime.now(UTC)) + self.ahead


class Recorded:
    """A queue that nobody works on: what was submitted stays pending."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    async def submit(self, job: Job) -> None:
        self.jobs.append(job)


class Nowhere:
    """The way to clusters that all are away."""

    @asynccontextmanager
    async def connected(self, clusters: Iterable[Cluster]) -> AsyncIterator[Mapping[str, Unreachable]]:
        yield {cluster.name: Unreachable(f"{cluster.name} is away", "wait") for cluster in clusters}

    async def examine(self, declared: object, cluster: Cluster) -> tuple[()]:
        raise Waiting(f"{cluster.name} is away", "wait")


@dataclass
class Served:
    """A running portal, and ways in."""

    parts: Parts
    url: str
    clock: Clock
    queue: Recorded
    stop: Callable[[], None]
    clients: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.parts.store

    @property
    def accounts(self) -> Accounts:
        return self.parts.accounts

    def browser(self, **headers: str) -> httpx2.AsyncClient:
        """A browser that nobody is signed in with: it keeps cookies and follows nothing by itself."""
        client = httpx2.AsyncClient(base_url=self.url, headers={"accept": "text/html", **headers}, timeout=10)
        self.clients.append(client)
        return client

    async def user(self, name: str, role: Role) -> int:
        return (await self.accounts.add_user(name, role, password=PASSWORD)).id

    async def token(self, role: Role, name: str = "") -> httpx2.AsyncClient:
        """A program with the token of a new user of this role."""
        user = await self.user(name or f"{role}-{len(self.clients)}", role)
        _, secret = await self.accounts.add_token(user, "test", role)
        client = httpx2.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {secret}"}, timeout=10)
        self.clients.append(client)
        return client

    async def signed_in(self, name: str, role: Role) -> httpx2.AsyncClient:
        """A browser of a new user, who came in by the form."""
        await self.user(name, role)
        browser = self.browser()
        answer = await sign_in(browser, name)
        assert answer.status_code == 303, answer.text
        return browser


async def form_token(browser: httpx2.AsyncClient, path: str = "/sign-in") -> str:
    """The CSRF token of a page's form."""
    text = (await browser.get(path)).text
    return text.partition('name="csrf" value="')[2].partition('"')[0]


async def sign_in(browser: httpx2.AsyncClient, name: str, password: str = PASSWORD, **more: str) -> httpx2.Response:
    form = {"name": name, "password": password, "csrf": await form_token(browser), **more}
    return await browser.post("/sign-in", data=form)


def cookie(browser: httpx2.AsyncClient, name: Cookie) -> str:
    return browser.cookies.get(f"innkeeper-{name}") or ""


def source(name: str = "lab", **spec: Any) -> Source:
    said = SourceSpec.model_validate({"url": "https://git.example.org/lab.git"} | spec)
    return Source(name, said, Origin(Location("server.yaml")))


@asynccontextmanager
async def serving(
    folder: Path,
    *,
    server: Mapping[str, Any] | None = None,
    sources: tuple[Source, ...] = (source(),),
    url: str = "",
    **parts: Any,
) -> AsyncIterator[Served]:
    """`url` is the public address, where it is another one than where it listens."""
    spec = ServerSpec.model_validate_json(json.dumps(server or {}))
    clock, queue, bus = Clock(), Recorded(), LocalBus()
    store, accounts = await open_store(folder, clock)
    accounts._hasher = PasswordHasher(1, 8, 1)  # type: ignore[attr-defined]  # a slow hash is not what is tried here
    listener = socket.create_server(("127.0.0.1", 0))
    here = f"http://127.0.0.1:{listener.getsockname()[1]}"
    house = House(
        sources={item.name: item for item in sources},
        clusters={},
        server=spec,
        store=store,
        queue=cast(Any, queue),
        bus=bus,
        links=cast(Any, Nowhere()),
        insides=cast(Any, None),
        repositories={},
        now=clock,
        url=url or here,
    )
    made = Parts(store, accounts, Commands(house), bus, url or here, spec, clock=clock, **parts)
    running = web_server(create_app(made))
    served = Served(made, here, clock, queue, lambda: setattr(running, "should_exit", True))
    task = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        while not running.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0)
        yield served
    finally:
        for client in served.clients:
            await client.aclose()
        running.should_exit = True
        await task
        await store.close()
