"""`/events`: every open page hears what changed, and looks again."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from innkeeper.web.deps import Viewer
from innkeeper.web.streams import Seat

TOPICS = ("job", "log", "guest", "source", "drift")

router = APIRouter()


@router.get("/events", response_class=EventSourceResponse)
async def events(
    actor: Viewer,
    seat: Seat,
    topics: Annotated[
        str, Query(max_length=100, description="some of job, log, guest, source, drift; all where none is named")
    ] = "",
) -> AsyncIterator[ServerSentEvent]:
    """`event:` is the topic, `data:` what changed. `missed`: events were lost, so all must be looked up again.

    `topics`: some of job, log, guest, source, drift, separated by commas; all where none is named.
    """
    wanted = tuple(word for word in topics.split(",") if word in TOPICS) or TOPICS
    yield ServerSentEvent(comment="listening")
    async with aclosing(seat.listen(*wanted)) as news:
        async for topic, body in news:
            if topic:
                yield ServerSentEvent(event=topic, data=dict(body))
