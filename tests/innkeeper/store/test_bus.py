"""The bus: nobody waits for a slow page, and a page knows when it missed something."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg

from innkeeper.control.ports import Bus
from innkeeper.store import open_bus
from innkeeper.store.bus import KEPT, MISSED, LocalBus, Message
from tests.innkeeper.store.servers import Postgres


@asynccontextmanager
async def listening(bus: Bus, *topics: str) -> AsyncIterator[AsyncIterator[Message]]:
    """Listens from here on."""
    messages = cast(Any, bus.listen(*topics))
    first = asyncio.create_task(anext(messages))
    await asyncio.sleep(0)

    async def all_of_them() -> AsyncIterator[Message]:
        yield await first
        async for message in messages:
            yield message

    heard = cast(Any, all_of_them())
    try:
        yield heard
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await heard.aclose()
        await messages.aclose()


async def test_every_listener_hears_its_topics() -> None:
    bus = LocalBus()
    async with listening(bus) as everything, listening(bus, "job") as jobs:
        bus.tell("guest", {"name": "web"})
        bus.tell("job", {"id": 1})
        assert [await anext(everything), await anext(everything)] == [("guest", {"name": "web"}), ("job", {"id": 1})]
        assert await anext(jobs) == ("job", {"id": 1})


async def test_a_slow_listener_loses_the_oldest_and_is_told() -> None:
    bus = LocalBus()
    async with listening(bus, "job") as slow:
        for number in range(KEPT + 10):
            bus.tell("job", {"id": number})
        assert await anext(slow) == MISSED
        assert [(await anext(slow))[1]["id"] for _ in range(KEPT)] == list(range(10, KEPT + 10))
        bus.tell("job", {"id": -1})
        assert await anext(slow) == ("job", {"id": -1})


async def test_threads_tell_and_threads_listen() -> None:
    bus = LocalBus()
    heard: list[object] = []
    ready = threading.Event()

    async def listen() -> None:
        async with listening(bus) as messages:
            ready.set()
            while len(heard) < 300:
                heard.append((await anext(messages))[1].get("id"))

    listener = threading.Thread(target=lambda: asyncio.run(listen()))
    listener.start()
    await asyncio.to_thread(ready.wait)
    for number in range(300):
        bus.tell("job", {"id": number})
        if number % 50 == 0:
            await asyncio.sleep(0.02)
    await asyncio.to_thread(listener.join, 10)
    assert heard == list(range(300))
    bus.tell("job", {"id": 301})  # nobody listens any more


async def next_of(messages: AsyncIterator[Message]) -> Message:
    async with asyncio.timeout(10):
        while (message := await anext(messages)) == MISSED:
            pass
    return message


@asynccontextmanager
async def two(database: str) -> AsyncIterator[tuple[Bus, Bus, AsyncIterator[Message]]]:
    one, other = open_bus(database), open_bus(database)
    async with listening(other) as heard:
        runs = [asyncio.create_task(bus.run()) for bus in (one, other)]
        try:
            async with asyncio.timeout(10):
                assert await anext(heard) == MISSED  # from here on it hears
            yield one, other, heard
        finally:
            for run in runs:
                run.cancel()
            await asyncio.gather(*runs, return_exceptions=True)


async def test_replicas_hear_each_other_once(shared: str) -> None:
    async with two(shared) as (one, other, heard):
        one.tell("job", {"id": 1, "text": "ü"})
        assert await next_of(heard) == ("job", {"id": 1, "text": "ü"})
        other.tell("job", {"id": 2})
        one.tell("job", {"id": 3})
        assert [(await next_of(heard))[1]["id"] for _ in range(2)] == [2, 3], "its own comes back to nobody"


async def test_what_is_too_long_is_missed(shared: str) -> None:
    async with two(shared) as (one, _, heard):
        one.tell("job", {"text": "x" * 9000})
        async with asyncio.timeout(10):
            assert await anext(heard) == MISSED
        one.tell("job", {"id": 1})
        assert await next_of(heard) == ("job", {"id": 1})


async def test_a_lost_connection_is_made_again_and_told(server: Postgres, shared: str) -> None:
    async with two(shared) as (one, _, heard):
        with psycopg.connect(shared, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN innkeeper'")
        async with asyncio.timeout(10):
            assert await anext(heard) == MISSED
            assert await anext(heard) == MISSED  # again: now it hears
        one.tell("job", {"id": 1})
        assert await next_of(heard) == ("job", {"id": 1})
