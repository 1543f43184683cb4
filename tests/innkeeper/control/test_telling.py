"""Whoever is away when services or notices are told hears of them later."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from innkeeper.control import notices, scheduling
from innkeeper.control.ports import Notice, Service
from innkeeper.control.publishing import due, publish
from innkeeper.control.scheduling import Schedule
from innkeeper.engine.errors import Stalled, Waiting
from tests.innkeeper.control.home import container, home, until


@dataclass
class Away:
    """A publisher and notifier that does not answer the first times."""

    times: int
    name: str = "front"
    told: list[object] = field(default_factory=list)

    async def _take(self, what: object) -> None:
        if self.times:
            self.times -= 1
            raise Waiting("front does not answer")
        self.told.append(what)

    async def publish(self, services: Sequence[Service]) -> tuple[str, ...]:
        await self._take(tuple(item.owner for item in services))
        return ()

    async def notify(self, notice: Notice) -> None:
        await self._take(notice.title)


async def test_services_that_could_not_be_told_are_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_TICK", 0.05)
    async with home(tmp_path) as house:
        exposed = container("web", 101, running="true", expose="{domain: www.example.org}",
                            network="[{ip: 10.0.0.5/24}]")  # fmt: skip
        house.upstream.push(web=exposed)
        assert (await house.sync()).state == "succeeded"
        front = Away(times=2)
        mine = replace(house.house, publishers=(front,))
        await publish(mine, lambda line, level: None)
        assert await due(mine)
        task = asyncio.create_task(Schedule(mine).run())

        async def heard() -> bool:
            return bool(front.told)

        await until(heard)
        assert front.told[0] == ("home/Container/web",)

        async def settled() -> bool:
            return not await due(mine)

        await until(settled)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_notice_that_was_not_taken_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_PAUSES", (0.05, 0.05))
    async with home(tmp_path) as house:
        chat, gone = Away(times=2), Away(times=9)
        mine = replace(house.house, notifiers=(chat, gone))
        await notices.tell(mine, Notice("failure", "key", "home: sync failed", "", house.house.now()))
        assert chat.told == []

        async def over() -> bool:
            return not mine.telling

        await until(over)
        assert chat.told == ["home: sync failed"]
        assert (gone.told, gone.times) == ([], 6)


async def test_a_notice_that_is_refused_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(Away):
        async def notify(self, notice: Notice) -> None:
            self.times += 1
            raise Stalled("check its url")

    async with home(tmp_path) as house:
        chat = Refusing(times=0)
        mine = replace(house.house, notifiers=(chat,))
        await notices.tell(mine, Notice("failure", "key", "home: sync failed", "", house.house.now()))
        assert (chat.times, mine.telling) == (1, set())
