"""`/events`: every open page hears what changed, and looks again."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from innkeeper.web.deps import Viewer
from innkeeper.web.streams import Seat

router = APIRouter()


@router.get("/events", response_class=EventSourceResponse)
async def events(
    actor: Viewer,
    seat: Seat,
    topics: Annotated[str, Query(max_length=100, description="some of job, log, guest, source, drift")] = "",
) -> AsyncIterator[ServerSentEvent]:
    """`event:` is the topic, `data:` what changed. `missed`: events were lost, so all must be looked up again."""
    wanted = tuple(word for word in topics.split(",") if word)
    yield ServerSentEvent(comment="listening")
    async with aclosing(seat.listen(*wanted)) as news:
        async for topic, body in news:
            if topic:
                yield ServerSentEvent(event=topic, data=dict(body))
