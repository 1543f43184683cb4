"""`innkeeper serve` as a process of its own, and what is left of it when it is killed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.innkeeper.control.home import Home, container, home, until

PATIENCE = 60.0
_MODULES = ["innkeeper.serving.server", "innkeeper.serving.settings", "tests.innkeeper.control.served"]


class Served:
    """A server that is started, killed and started again. What it imports is imported once, for all of its lives."""

    def __init__(self, house: Home, data: Path) -> None:
        self.house, self.data = house, data
        self.ready: dict[str, Any] = {}
        self.log = house.place / "server.log"
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(_MODULES)

    async def start(self) -> None:
        mine, its = self._processes.Pipe(duplex=False)
        config, environ = self.house.place / "config.yaml", dict(os.environ)
        self.process = self._processes.Process(target=_serve, args=(self.data, config, environ, self.log, its))
        self.process.start()
        its.close()
        async with asyncio.timeout(PATIENCE):
            try:
                self.ready = await asyncio.to_thread(mine.recv)
            except EOFError:
                raise AssertionError(self.log.read_text()) from None
        mine.close()

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    async def kill(self) -> None:
        self.process.kill()
        await asyncio.to_thread(self.process.join, PATIENCE)

    async def stop(self) -> int | None:
        self.process.terminate()
        await asyncio.to_thread(self.process.join, PATIENCE)
        return self.process.exitcode

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What its database holds, read beside it."""
        (file,) = self.data.glob("*.db")
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return list(database.execute(query))


def _serve(data: Path, config: Path, environ: dict[str, str], log: Path, ready: Connection) -> None:
    from innkeeper.serving.server import serve
    from innkeeper.serving.settings import read_settings

    os.environ.update(environ)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 2)
    serve(read_settings(data, config, "", environ), "127.0.0.1:0", ready.send)


@asynccontextmanager
async def served(place: Path, *sources: str, data: Path | None = None) -> AsyncIterator[tuple[Home, Served]]:
    async with home(place, *(sources or ("interval: 1s",)), keep_queue=False) as house:
        server = Served(house, data or place / "served")
        try:
            yield house, server
        finally:
            if server.alive:
                await server.kill()
            server.process.close()


async def as_declared(house: Home, wanted: dict[int, str], seconds: float = PATIENCE) -> None:
    """Exactly these guests, with this memory, each made once."""

    async def so() -> bool:
        found = {
            vmid: str(guest.config.get("memory"))
            for vmid, guest in house.guests.items()
            if not guest.config.get("lock")
        }
        return found == wanted

    await until(so, seconds)
    names = Counter(str(guest.config["hostname"]) for guest in house.guests.values())
    assert max(names.values()) == 1, names


async def killed_in_syncs(place: Path, kills: int) -> int:
    """Kill a server so many times, each at a random moment of the sync of another push; then see that all is well.

    Returns how many of them left a job in the middle.
    """
    dice, hit = random.Random(20261121), 0
    async with served(place) as (house, server):
        wanted: dict[int, str] = {}
        for number in range(kills):
            await server.start()
            changed = dice.choice([*wanted, 1000 + number])
            wanted[1000 + number] = "512"
            wanted[changed] = str(dice.choice([512, 768, 1024]))
            files = {f"c{vmid}": container(f"c{vmid}", vmid, memory=f"{memory}Mi") for vmid, memory in wanted.items()}
            revision = house.upstream.push(**files)

            async def begun(newest: str = revision) -> bool:
                asked = f"SELECT id FROM jobs WHERE state != 'pending' AND revision = '{newest}'"
                return bool(server.rows(asked))

            await until(begun, PATIENCE)
            await asyncio.sleep(dice.uniform(0, 0.5))
            await server.kill()
            hit += bool(server.rows("SELECT id FROM jobs WHERE state = 'running'"))
        await server.start()
        await as_declared(house, wanted)

        async def over() -> bool:
            return not server.rows("SELECT id FROM jobs WHERE state IN ('pending', 'running')")

        await until(over, PATIENCE)
        creations = Counter(call.path for call in house.calls if call.method == "POST" and call.path.endswith("/lxc"))
        assert sum(creations.values()) >= kills
        house.calls.clear()
        await asyncio.sleep(3)
        assert house.writes == [], "all is as declared, and stays"
        assert await server.stop() == 0
    return hit
