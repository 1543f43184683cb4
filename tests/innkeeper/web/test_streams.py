"""Server-sent events, read from the socket as a browser does."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from innkeeper.model.jobs import Request
from innkeeper.web import streams
from tests.innkeeper.web.serving import Served

Event = tuple[str, str, Any]


@asynccontextmanager
async def listening(client: httpx2.AsyncClient, path: str) -> AsyncIterator[AsyncIterator[Event]]:
    """Events as (name, id, data)."""

    async def events(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
        found: dict[str, str] = {}
        async for line in lines:
            if line:
                name, _, value = line.partition(": ")
                found[name] = value
            elif "data" in found:
                yield found.get("event", ""), found.get("id", ""), json.loads(found["data"])
                found = {}

    async with client.stream("GET", path) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        if path.startswith("/events"):
            assert (await anext(lines)).startswith(": listening")
        yield events(lines)


async def test_pages_hear_what_changes_and_only_what_they_asked_for(portal: Served) -> None:
    viewer = await portal.token("viewer")
    async with listening(viewer, "/events?topics=job,drift") as events, asyncio.timeout(5):
        operator = await portal.token("operator")
        await operator.post("/api/v1/sources/lab/suspend", json={"on": True})
        await operator.post("/api/v1/sources/lab/sync", json={})
        name, _, data = await anext(events)
        assert (name, data["source"], data["state"]) == ("job", "lab", "pending")


async def test_a_log_is_followed_to_its_end(portal: Served) -> None:
    viewer = await portal.token("viewer")
    job = await portal.store.add_job(Request("sync", "lab"))
    for number in range(3):
        await portal.store.log(job.id, "info", f"line {number}")

    async def work() -> None:
        await portal.store.log(job.id, "warning", "the last line", guest="Container/web", phase="verify")
        await portal.store.update_job(job.id, ("pending",), state="failed", error="it broke")
        portal.parts.bus.tell("job", {"id": job.id, "state": "failed"})

    got: list[Event] = []
    async with listening(viewer, f"/api/v1/jobs/{job.id}/logs/follow?after=1") as events, asyncio.timeout(5):
        async for event in events:
            got.append(event)
            if len(got) == 2:
                await work()
    assert [(name, number) for name, number, _ in got] == [("log", "2"), ("log", "3"), ("log", "4"), ("end", "")]
    assert got[2][2]["guest"] == "Container/web"
    assert (got[3][2]["state"], got[3][2]["error"]) == ("failed", "it broke")
    shown = (await viewer.get(f"/api/v1/jobs/{job.id}/logs")).json()
    assert [line["message"] for line in shown] == ["line 0", "line 1", "line 2", "the last line"]


async def test_a_log_of_nothing_is_not_found_before_anything_streams(portal: Served) -> None:
    viewer = await portal.token("viewer")
    assert (await viewer.get("/api/v1/jobs/77/logs/follow")).status_code == 404


async def test_streams_are_bounded(portal: Served, monkeypatch: Any) -> None:
    monkeypatch.setattr(streams, "MOST", 1)
    viewer = await portal.token("viewer")
    async with listening(viewer, "/events"):
        refused = await viewer.get("/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "15")
    async with asyncio.timeout(5):
        while True:  # the seat is free as soon as the server has noticed
            async with viewer.stream("GET", "/events") as again:
                if again.status_code == 200:
                    break


async def test_a_server_that_stops_does_not_wait_for_listeners(portal: Served) -> None:
    viewer = await portal.token("viewer")
    async with listening(viewer, "/events") as events:
        portal.stop()
        async with asyncio.timeout(3):
            assert [event async for event in events] == []
