"""Three real servers on one real PostgreSQL: the one that works is killed, and another goes on where the guests are."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import psycopg
import pytest

from tests.innkeeper.control.home import container, home, until
from tests.innkeeper.store.servers import binaries, postgres

_BUSY = """
    SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.classid = 6909547 AND l.objsubid = 2 AND l.granted
"""
"""Whoever holds a job's advisory lock (`innkeeper.store.replicas`)."""


@pytest.mark.timeout(180)
async def test_a_killed_replica_loses_and_doubles_nothing(tmp_path: Path) -> None:
    found = binaries()
    if found is None:
        pytest.skip("needs: postgresql (initdb and postgres)")
    with postgres(found) as server:
        url = server.database("house")
        async with home(tmp_path, "interval: 1s", keep_queue=False, real=True) as house:
            replicas: dict[str, asyncio.subprocess.Process] = {}
            with (tmp_path / "log").open("wb") as log:
                for name in ("one", "two", "three"):
                    words = ["serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / name)]
                    words += ["--config", str(tmp_path / "config.yaml")]
                    words += ["--database", f"{url}&application_name={name}"]
                    replicas[name] = await asyncio.create_subprocess_exec(
                        sys.executable, "-m", "innkeeper", *words, stdout=asyncio.subprocess.PIPE, stderr=log
                    )
            try:
                for process in replicas.values():
                    assert process.stdout is not None
                    assert await asyncio.wait_for(process.stdout.readline(), 60), (tmp_path / "log").read_text()
                wanted = {vmid: container(f"c{vmid}", vmid) for vmid in range(1000, 1012)}
                house.upstream.push(**{f"c{vmid}": text for vmid, text in wanted.items()})
                busy = ""

                async def half_way() -> bool:
                    nonlocal busy
                    with psycopg.connect(url, autocommit=True) as connection:
                        names = [row[0] for row in connection.execute(_BUSY).fetchall()]
                    busy = names[0] if names else ""
                    return bool(busy) and 0 < len(house.guests) < len(wanted)

                await until(half_way, 60)
                replicas[busy].kill()
                killed = asyncio.get_running_loop().time()
                before = len(house.writes)

                async def taken_over() -> bool:
                    return len(house.writes) > before + 1

                await until(taken_over, 30)
                assert asyncio.get_running_loop().time() - killed < 30

                async def whole() -> bool:
                    return sorted(house.guests) == sorted(wanted) and not any(
                        guest.config.get("lock") for guest in house.guests.values()
                    )

                await until(whole, 60)
                names = Counter(str(guest.config["hostname"]) for guest in house.guests.values())
                assert max(names.values()) == 1

                async def over() -> bool:
                    with psycopg.connect(url, autocommit=True) as connection:
                        states = connection.execute("SELECT state FROM jobs").fetchall()
                    return {state for (state,) in states} <= {"succeeded", "failed", "cancelled"}

                await until(over, 60)
            finally:
                for process in replicas.values():
                    if process.returncode is None:
                        process.kill()
                    await process.wait()
