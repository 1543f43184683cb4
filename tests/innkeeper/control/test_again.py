"""When a source is tried again: soon for what may pass, once an interval for what only a person can mend."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from innkeeper.control.scheduling import Schedule
from tests.innkeeper.control.home import Home, container, home, until
from tests.innkeeper.control.test_jobs import Ears


class Clock:
    """Goes on by itself, and further where a test says so."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@asynccontextmanager
async def scheduled(place: Path, *sources: str) -> AsyncIterator[tuple[Home, Clock, Ears]]:
    """A home whose schedule runs, with its clock and somebody who is told."""
    async with home(place, "interval: 1h", *sources) as house:
        clock, ears = Clock(), Ears()
        object.__setattr__(house.house, "now", clock)
        object.__setattr__(house.house, "notifiers", (ears,))
        house.upstream.push(web=container("web", 101))
        assert (await house.sync()).state == "succeeded"
        schedule = asyncio.create_task(Schedule(house.house).run())
        try:
            yield house, clock, ears
        finally:
            schedule.cancel()
            await asyncio.gather(schedule, return_exceptions=True)


async def failures(house: Home) -> int:
    return sum(job.state == "failed" for job in await house.house.store.jobs())


@pytest.mark.parametrize("fields", [{"memory": "512"}, {"vmid": 111, "protected": "true"}], ids=["faulty", "refused"])
async def test_what_only_a_person_can_mend_waits_for_the_interval(tmp_path: Path, fields: dict[str, object]) -> None:
    async with scheduled(tmp_path) as (house, clock, _):
        await house.by_hand("PUT", "{101}/config", protection="1")
        house.upstream.push(web=container("web", **{"vmid": 101, **fields}))  # type: ignore[arg-type]
        assert (await house.sync()).state == "failed"
        clock.ahead = timedelta(minutes=50)
        await asyncio.sleep(2)  # several turns of the schedule
        assert await failures(house) == 1
        clock.ahead = timedelta(minutes=61)

        async def again() -> bool:
            return await failures(house) == 2

        await until(again)
        house.upstream.push(web=container("web", 101, memory="1Gi"))
        assert (await house.sync()).state == "succeeded", "a person and a new revision are not waited for"


@pytest.mark.parametrize("calls", ['path: "/*"', 'method: PUT, path: "/nodes/*/lxc/*"'], ids=["all", "writing"])
async def test_what_may_pass_is_tried_again_soon(tmp_path: Path, calls: str) -> None:
    async with scheduled(tmp_path) as (house, _, _):
        house.faults(f"rules: [{{on: {{{calls}}}, times: 0, do: status, status: 500, reason: out of order}}]")
        house.upstream.push(web=container("web", 101, memory="1Gi"))
        assert (await house.sync()).state == "failed"

        async def again() -> bool:
            return await failures(house) == 2

        await until(again)
        house.faults("{}")

        async def done() -> bool:
            return house.guests[101].config["memory"] == "1024"

        await until(done)


async def test_a_repository_that_cannot_be_read_is_looked_at_again_soon_and_told_once(tmp_path: Path) -> None:
    async with home(tmp_path, "interval: 1h") as house:
        ears = Ears()
        object.__setattr__(house.house, "notifiers", (ears,))
        house.upstream.push(web=container("web", 101))
        away = house.upstream.bare.rename(tmp_path / "away.git")
        schedule = asyncio.create_task(Schedule(house.house).run())

        async def told() -> bool:
            return bool(ears.heard)

        await until(told)
        assert (await house.sync()).state == "failed"
        away.rename(house.upstream.bare)

        async def there() -> bool:
            return 101 in house.guests

        await until(there)

        async def well() -> bool:
            return len(ears.heard) > 1

        await until(well)
        schedule.cancel()
        await asyncio.gather(schedule, return_exceptions=True)
        await house.worker.rest()
        assert [(item.kind, item.key) for item in ears.heard] == [("failure", "fetch/home"), ("recovery", "fetch/home")]
        assert "cannot be read" in ears.heard[0].title and ears.heard[0].text
