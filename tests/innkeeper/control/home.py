"""A whole control plane in this process: pvesim behind its real HTTPS, real git, a real store, the real queue."""

from __future__ import annotations

import asyncio
import os
import subprocess
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from innkeeper.control.actors import Actor
from innkeeper.control.commands import Commands
from innkeeper.control.house import House
from innkeeper.control.memory import GuestQuery
from innkeeper.control.worker import Worker
from innkeeper.model.jobs import ENDED, Job, JobLog
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Operation
from innkeeper.model.records import GuestRecord
from innkeeper.planner.policy import Unreachable
from innkeeper.serving.links import KeptLinks
from innkeeper.serving.settings import Settings, read_settings
from innkeeper.serving.wiring import house as wired
from innkeeper.serving.wiring import prepare_data
from innkeeper.store import open_bus, open_queue, open_store
from pvesim.api.dispatch import Record
from pvesim.cluster.state import Guest as Simulated
from pvesim.run import Simulator
from tests.innkeeper.engine.lab import SECRET, SEED

ADA = Actor("ada", "operator", "192.0.2.7")
SECONDS = 30.0
CONFIG = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: lab}}
spec:
  endpoints: [{endpoints}]
  tls: {{caFile: {cafile}}}
  credentials: {{tokenID: "root@pam!full", tokenSecret: {{env: TOKEN}}}}
  defaults: {{storage: btr, bridge: vmbr0, template: debian-12}}
"""
SOURCE = """\
---
apiVersion: innkeeper.dev/v1alpha1
kind: Source
metadata: {{name: {name}}}
spec:
  url: {url}
{more}
"""


def container(name: str, vmid: int, **fields: object) -> str:
    """A manifest; `fields` as YAML flow text."""
    spec: dict[str, object] = {"vmid": vmid, "node": "pve1", "memory": "512Mi", "rootDisk": "{size: 4Gi}", **fields}
    lines = "".join(f"  {key}: {value}\n" for key, value in spec.items() if value is not None)
    return f"apiVersion: innkeeper.dev/v1alpha1\nkind: Container\nmetadata: {{name: {name}}}\nspec:\n{lines}"


@dataclass(frozen=True)
class Upstream:
    """A repository that people push to, with a work tree to do it from."""

    work: Path
    bare: Path

    def git(self, *words: str) -> str:
        identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        command = ["git", *identity, "-C", str(self.work), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def push(self, message: str = "more", **files: str | None) -> str:
        """`web=…` writes web.yaml; None removes it. The new commit."""
        for name, text in files.items():
            path = self.work / f"{name}.yaml"
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        self.git("push", "-q", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def pull(self) -> None:
        self.git("pull", "-q", "origin", "main")

    def text(self, name: str) -> str:
        return (self.work / name).read_text()


def upstream(place: Path) -> Upstream:
    bare, work = place / "upstream.git", place / "work"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    subprocess.run(["git", "init", "-q", "-b", "main", str(work)], check=True)
    made = Upstream(work, bare)
    made.git("remote", "add", "origin", str(bare))
    return made


@dataclass
class Home:
    """`calls` is every call that reached the cluster's API, in order."""

    place: Path
    sim: Simulator
    upstream: Upstream
    settings: Settings
    house: House
    commands: Commands
    worker: Worker
    calls: list[Record] = field(default_factory=list)

    @property
    def guests(self) -> dict[int, Simulated]:
        return self.sim.cluster.guests

    @property
    def writes(self) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.calls if call.write]

    def faults(self, text: str) -> None:
        (self.place / "faults.yaml").write_text(textwrap.dedent(text))
        self.sim.faults.load()

    def config(self, vmid: int) -> dict[str, Any]:
        return dict(self.guests[vmid].config)

    async def by_hand(self, method: str, path: str, **params: str) -> None:
        """A call that somebody else makes: `{101}` in a path is where that guest is."""
        places = {str(vmid): f"/nodes/{guest.node}/lxc/{vmid}" for vmid, guest in self.guests.items()}
        for vmid, where in places.items():
            path = path.replace(f"{{{vmid}}}", where)
        async with self.house.links.connected(self.house.clusters.values()) as links:
            link = links["lab"]
            assert not isinstance(link, Unreachable)
            operation = Operation("by hand", method, path, tuple(params.items()))  # type: ignore[arg-type]
            await link.call(operation, "", lambda line: None)

    async def sync(self, **options: Any) -> Job:
        return await self.done(await self.commands.sync(ADA, "home", **options))

    async def done(self, job: Job) -> Job:
        """The job once it has ended or waits for a person."""
        found = job

        async def over() -> bool:
            nonlocal found
            found = await self.commands.job(job.id)
            return found.state in ENDED or found.state == "waiting"

        await until(over)
        return found

    async def log(self, job: Job) -> list[JobLog]:
        return list(await self.house.store.logs(job.id))

    async def said(self, job: Job) -> str:
        return "\n".join(f"{line.level} {line.guest} {line.phase} {line.message}" for line in await self.log(job))

    async def record(self, name: str, source: str = "home") -> GuestRecord:
        found = await self.house.store.guest(source, Ref("Container", name))
        assert found is not None, f"no record of {name}"
        return found

    async def records(self) -> dict[str, GuestRecord]:
        page = await self.house.store.guests(GuestQuery(limit=1000))
        return {item.ref.name: item for item in page.guests}


async def until(condition: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Wait for it, with a bound."""
    end = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < end, "it did not become so in time"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def home(
    place: Path, *sources: str, seed: str = SEED, more: str = "", keep_queue: bool = True, real: bool = False
) -> AsyncIterator[Home]:
    """`sources`: more lines of the spec of source `home`; `more`: other documents of the configuration.

    `real`: tasks take the time that they take on a real cluster.
    """
    (place / "seed.yaml").write_text(seed)
    (place / "faults.yaml").write_text("{}")
    sim = Simulator(place, place / "seed.yaml", place / "faults.yaml", real=real)
    urls = await sim.start(0)
    calls: list[Record] = []
    sim._dispatcher.logged = calls.append
    up = upstream(place)
    spec = textwrap.indent(textwrap.dedent("\n".join(sources)), "  ") if sources else "  interval: 1h"
    text = CONFIG.format(endpoints=", ".join(urls.values()), cafile=sim.cafile)
    (place / "config.yaml").write_text(text + SOURCE.format(name="home", url=up.bare, more=spec) + more)
    environ = {**os.environ, "TOKEN": SECRET}
    os.environ["TOKEN"] = SECRET
    settings = read_settings(place / "data", place / "config.yaml", "", environ)
    await prepare_data(settings)
    store, _ = await open_store(settings.data)
    links, bus, queue = KeptLinks(), open_bus(settings.data), open_queue(settings.data, store)
    mine = wired(settings, store, queue, bus, links, "http://portal.example")
    worker = Worker(mine)
    made = Home(place, sim, up, settings, mine, Commands(mine), worker, calls)
    running = asyncio.create_task(queue.run(worker)) if keep_queue else None
    try:
        yield made
    finally:
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await worker.rest()
        await links.close()
        await store.close()
        await sim.stop()
