"""What takes its time: fifty kills, and a Proxmox that is out of order for a whole minute."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.innkeeper.control.home import container, until
from tests.innkeeper.control.served import as_declared, killed_in_syncs, served

MINUTE = 60.0


@pytest.mark.timeout(900)
async def test_killed_in_fifty_syncs(tmp_path: Path) -> None:
    assert await killed_in_syncs(tmp_path, 50) >= 10, "kills that hit nothing show nothing"


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "calls", ['path: "/*"', 'method: "[PD]*", path: "/nodes/*"'], ids=["everything", "every write"]
)
async def test_a_proxmox_that_answers_500_for_a_minute(tmp_path: Path, calls: str) -> None:
    """No interval helps: what failed is tried again by itself."""
    async with served(tmp_path, "interval: 1d") as (house, server):
        house.upstream.push(web=container("web", 101))
        await server.start()
        await as_declared(house, {101: "512"})
        assert await server.stop() == 0
        house.faults(f"rules: [{{on: {{{calls}}}, times: 0, do: status, status: 500, reason: out of order}}]")
        house.upstream.push(web=container("web", 101, memory="1Gi"), db=container("db", 102))
        await server.start()

        async def failed() -> bool:
            return bool(server.rows("SELECT id FROM jobs WHERE state = 'failed'"))

        await until(failed, MINUTE)
        await asyncio.sleep(MINUTE)
        assert sorted(house.guests) == [101]
        assert house.guests[101].config["memory"] == "512"
        house.faults("{}")
        await as_declared(house, {101: "1024", 102: "512"}, 2 * MINUTE)
