"""A real server among troubles: whatever ends it or fails around it, it recovers; nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.innkeeper.control.home import Home, container, home, until

KILLS = 50 if os.environ.get("INNKEEPER_LONG") else 6
PATIENCE = 60.0


class Served:
    """`innkeeper serve` as a process."""

    def __init__(self, house: Home, data: Path) -> None:
        self.house, self.data = house, data
        self.ready: dict[str, Any] = {}
        self.log = house.place / "server.log"

    async def start(self) -> None:
        words = [sys.executable, "-m", "innkeeper", "serve", "--listen", "127.0.0.1:0"]
        words += ["--data", str(self.data), "--config", str(self.house.place / "config.yaml")]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        assert line, self.log.read_text()
        self.ready = json.loads(line)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), PATIENCE)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What its database holds, read beside it."""
        (file,) = self.data.glob("*.db")
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return list(database.execute(query))


@asynccontextmanager
async def served(place: Path, *sources: str, data: Path | None = None) -> AsyncIterator[tuple[Home, Served]]:
    async with home(place, "interval: 1s", *sources, keep_queue=False) as house:
        server = Served(house, data or place / "served")
        try:
            yield house, server
        finally:
            if server.process.returncode is None:
                await server.kill()


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


@pytest.mark.timeout(900)
async def test_killed_at_any_moment(tmp_path: Path) -> None:
    dice = random.Random(20261121)
    async with served(tmp_path) as (house, server):
        wanted: dict[int, str] = {}
        for number in range(KILLS):
            await server.start()
            size = dice.choice([512, 768, 1024])
            changed = dice.choice([*wanted, 1000 + number])
            wanted[1000 + number] = "512"
            wanted[changed] = str(size)
            files = {f"c{vmid}": container(f"c{vmid}", vmid, memory=f"{memory}Mi") for vmid, memory in wanted.items()}
            house.upstream.push(**files)
            await asyncio.sleep(dice.uniform(0, 1.5))
            await server.kill()
        await server.start()
        await as_declared(house, wanted)

        async def over() -> bool:
            return not server.rows("SELECT id FROM jobs WHERE state IN ('pending', 'running')")

        await until(over, PATIENCE)
        creations = Counter(call.path for call in house.calls if call.method == "POST" and call.path.endswith("/lxc"))
        assert sum(creations.values()) >= KILLS
        house.calls.clear()
        await asyncio.sleep(3)
        assert house.writes == [], "all is as declared, and stays"
        assert await server.stop() == 0


async def test_a_stop_leaves_no_half_step(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, server):
        house.upstream.push(**{f"c{vmid}": container(f"c{vmid}", vmid) for vmid in range(1000, 1012)})
        await server.start()

        async def begun() -> bool:
            return bool(house.writes)

        await until(begun)
        assert await server.stop() == 0
        assert not any(guest.config.get("lock") for guest in house.guests.values())
        states = [state for (state,) in server.rows("SELECT state FROM jobs")]
        assert "running" not in states
        await server.start()
        await as_declared(house, dict.fromkeys(range(1000, 1012), "512"))


async def test_a_lost_database_loses_history_only(tmp_path: Path) -> None:
    async with served(tmp_path, "prune: true") as (house, server):
        house.upstream.push(web=container("web", 101), db=container("db", 102))
        await server.start()
        await as_declared(house, {101: "512", 102: "512"})
        await server.stop()
        for file in server.data.glob("*.db*"):
            file.unlink()
        shutil.rmtree(server.data / "mirrors")
        house.calls.clear()
        await server.start()

        async def known() -> bool:
            return len(server.rows("SELECT name FROM guests")) == 2 and bool(
                server.rows("SELECT id FROM jobs WHERE state = 'succeeded'")
            )

        await until(known, PATIENCE)
        assert house.writes == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A directory on a disk of its own, which is soon full."""
    data = tmp_path / "small"
    data.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(data)]
    done = subprocess.run(words, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"needs: the right to mount ({done.stderr.decode().strip()})")
    yield data
    subprocess.run(["umount", "-l", str(data)], check=True)


def fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as stream:
        while stream.write(b"x" * 4096):
            pass


async def test_a_full_disk(tmp_path: Path, small: Path) -> None:
    async with served(tmp_path, data=small) as (house, server):
        house.upstream.push(web=container("web", 101))
        await server.start()
        await as_declared(house, {101: "512"})
        fill(small / "ballast")
        house.upstream.push(web=container("web", 101, memory="1Gi"), db=container("db", 102))
        await asyncio.sleep(4)
        async with httpx2.AsyncClient(base_url=server.ready["url"]) as browser:
            assert (await browser.get("/healthz")).status_code == 200
        (small / "ballast").unlink()
        await as_declared(house, {101: "1024", 102: "512"})
        assert server.process.returncode is None
        assert await server.stop() == 0


async def test_a_git_server_that_is_down(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, server):
        house.upstream.push(web=container("web", 101))
        await server.start()
        await as_declared(house, {101: "512"})
        away = house.upstream.bare.rename(tmp_path / "away.git")

        async def said() -> bool:
            return any(error for (error,) in server.rows("SELECT error FROM sources"))

        await until(said, PATIENCE)
        assert sorted(house.guests) == [101], "what cannot be fetched deletes nobody"
        away.rename(house.upstream.bare)
        house.upstream.push(web=container("web", 101, memory="1Gi"))
        await as_declared(house, {101: "1024"})

        async def well() -> bool:
            return not any(error for (error,) in server.rows("SELECT error FROM sources"))

        await until(well, PATIENCE)


async def test_a_proxmox_that_answers_500(tmp_path: Path) -> None:
    async with served(tmp_path) as (house, server):
        house.upstream.push(web=container("web", 101))
        await server.start()
        await as_declared(house, {101: "512"})
        house.faults('rules: [{on: {path: "/*"}, times: 0, do: status, status: 500, reason: out of order}]')
        house.upstream.push(web=container("web", 101, memory="1Gi"), db=container("db", 102))

        async def failed() -> bool:
            return bool(server.rows("SELECT id FROM jobs WHERE state = 'failed'"))

        await until(failed, PATIENCE)
        await asyncio.sleep(5)
        assert sorted(house.guests) == [101]
        house.faults("{}")
        await as_declared(house, {101: "1024", 102: "512"})


async def test_a_dead_node_holds_up_only_its_own_guests(tmp_path: Path) -> None:
    async with served(tmp_path, "prune: true") as (house, server):
        there = container("there", 103, node="pve3")
        house.upstream.push(web=container("web", 101), there=there)
        await server.start()
        await as_declared(house, {101: "512", 103: "512"})
        house.faults("down: [pve3]")
        house.upstream.push(web=container("web", 101, memory="1Gi"), there=None)

        async def changed() -> bool:
            return house.guests[101].config["memory"] == "1024"

        await until(changed, PATIENCE)
        await asyncio.sleep(2)
        assert 103 in house.guests, "who cannot be seen is not deleted"
        house.faults("{}")
        house.upstream.push(web=container("web", 101, memory="768Mi"))
        await as_declared(house, {101: "768"})
