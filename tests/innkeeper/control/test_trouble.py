"""A real server among troubles: whatever ends it or fails around it, it recovers; nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from tests.innkeeper.control.home import container, until
from tests.innkeeper.control.served import PATIENCE, as_declared, killed_in_syncs, served


async def test_killed_at_any_moment(tmp_path: Path) -> None:
    await killed_in_syncs(tmp_path, 5)


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
    async with served(tmp_path, "interval: 1s", "prune: true") as (house, server):
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
        assert server.alive
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
    async with served(tmp_path, "interval: 1s", "prune: true") as (house, server):
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
