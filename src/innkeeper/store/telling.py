"""The bus among replicas: what one tells reaches the pages of all, through PostgreSQL's LISTEN and NOTIFY."""

import asyncio
import json
import logging
import secrets
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping

import psycopg

from innkeeper.engine.errors import Waiting
from innkeeper.model.plan import Json
from innkeeper.store.bus import MISSED, LocalBus, Message
from innkeeper.store.holding import Connection, connect

CHANNEL = "innkeeper"
LONGEST = 7900
"""Bytes of one notification; PostgreSQL takes less than 8000."""
WAITING = 1000
"""Messages that wait to be sent."""
_PAUSE = 2.0
_logger = logging.getLogger(__name__)


class SharedBus:
    """Tells its own process at once. What is too long or too much to be sent, the others hear of as `missed`."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._name = secrets.token_hex(8)
        self._local = LocalBus()
        self._outgoing: deque[Message] = deque()
        self._guard = threading.Lock()
        self._wake: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()

    def tell(self, topic: str, body: Mapping[str, Json]) -> None:
        self._local.tell(topic, body)
        with self._guard:
            if len(self._outgoing) == WAITING:
                self._outgoing.clear()
                self._outgoing.append(MISSED)
            self._outgoing.append((topic, body))
            loop = self._wake
        if loop is not None:
            loop.call_soon_threadsafe(self._news.set)

    def listen(self, *topics: str) -> AsyncIterator[Message]:
        return self._local.listen(*topics)

    async def run(self) -> None:
        with self._guard:
            self._wake = asyncio.get_running_loop()
        try:
            while True:
                try:
                    await self._run()
                except* (Waiting, psycopg.Error) as troubles:
                    _logger.warning("pages hear nothing of other replicas for now: %s", troubles.exceptions[0])
                self._local.missed()
                await asyncio.sleep(_PAUSE)
        finally:
            with self._guard:
                self._wake = None

    async def _run(self) -> None:
        async with await connect(self._conninfo) as ear, await connect(self._conninfo) as mouth:
            await ear.execute(f"LISTEN {CHANNEL}")
            self._local.missed()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(ear))
                group.create_task(self._say(mouth))

    async def _hear(self, ear: Connection) -> None:
        async for notification in ear.notifies():
            sender, topic, body = json.loads(notification.payload)
            if sender == self._name:
                continue
            if topic == MISSED[0]:
                self._local.missed()
            else:
                self._local.tell(topic, body)

    async def _say(self, mouth: Connection) -> None:
        while True:
            self._news.clear()
            while self._outgoing:
                with self._guard:
                    topic, body = self._outgoing.popleft()
                text = json.dumps([self._name, topic, dict(body)])
                if len(text) > LONGEST:
                    text = json.dumps([self._name, *MISSED])
                await mouth.execute("SELECT pg_notify(%s, %s)", [CHANNEL, text])
            await self._news.wait()
