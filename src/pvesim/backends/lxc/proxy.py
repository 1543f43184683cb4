"""The node's package proxy: containers on a private bridge get packages through it, and nothing else.

GETs are kept on disk: for good where the name tells that the content never changes, else they are asked for again
with what is known of them, and served as they are where the source does not answer. CONNECT goes through to the hosts
of package registries only. Which hosts those are, this machine's own settings of apt, pip and npm say.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import h11
import httpx2

_IMMUTABLE = re.compile(r"\.(deb|udeb|whl|tgz)$|/by-hash/")
_KEPT = ("content-type", "last-modified", "etag")
_SECONDS = 60
_IDLE_SECONDS = 120
_CHUNK = 2**16


@dataclass(frozen=True)
class Answer:
    """A whole answer; its content is in `path` or, short, in `body`."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    path: Path | None = None


class Proxy:
    """`folder` keeps what was fetched; several simulators may share it. `hosts` is asked once, on the first request."""

    def __init__(self, folder: Path, hosts: Callable[[], frozenset[str]]) -> None:
        self._folder = folder
        self._hosts = hosts
        self._allowed: frozenset[str] | None = None
        self._client: httpx2.AsyncClient | None = None
        self._server: asyncio.Server | None = None
        self._locks: dict[str, asyncio.Lock] = {}
        self._open: set[asyncio.Task[None]] = set()

    async def listen(self, listener: socket.socket) -> None:
        """Serve on a bound socket, in whichever network namespace it was made."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._client = httpx2.AsyncClient(timeout=_SECONDS, follow_redirects=False)
        self._server = await asyncio.start_server(self._serve, sock=listener)

    async def close(self) -> None:
        if self._server:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        if self._client:
            await self._client.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        try:
            await self._connection(reader, writer)
        except (OSError, h11.ProtocolError, TimeoutError, asyncio.CancelledError):
            pass  # whoever asked is gone, or was not speaking HTTP
        finally:
            self._open.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await asyncio.wait_for(reader.read(_CHUNK), _IDLE_SECONDS)
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                if event.method == b"CONNECT":
                    await self._tunnel(event.target.decode(), connection, reader, writer)
                    return
                await _send(connection, writer, await self._answer(event), body=event.method != b"HEAD")
            elif isinstance(event, h11.ConnectionClosed):
                return
            elif isinstance(event, h11.EndOfMessage):
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            elif event is h11.PAUSED:
                return

    async def _allows(self, host: str) -> bool:
        if self._allowed is None:
            self._allowed = await asyncio.to_thread(self._hosts)
        return host in self._allowed

    async def _answer(self, request: h11.Request) -> Answer:
        url = request.target.decode()
        parts = urlsplit(url)
        if request.method not in (b"GET", b"HEAD") or parts.scheme not in ("http", "https") or not parts.hostname:
            return Answer(405, body=b"This proxy fetches packages: GET of a whole URL.\n")
        if not await self._allows(parts.hostname):
            return Answer(403, body=_refusal(parts.hostname))
        wanted = {name.decode(): value.decode() for name, value in request.headers}
        lock = self._locks.setdefault(url, asyncio.Lock())
        async with lock:
            answer = await self._cached(url, request.method == b"HEAD")
        held = dict(answer.headers)
        same = wanted.get("if-none-match") == held.get("etag") if "if-none-match" in wanted else (
            wanted.get("if-modified-since") == held.get("last-modified")
        )  # fmt: skip
        if answer.path and same and ("if-none-match" in wanted or "if-modified-since" in wanted):
            return Answer(304, answer.headers)
        return answer

    async def _cached(self, url: str, head: bool) -> Answer:
        assert self._client
        name = hashlib.sha256(url.encode()).hexdigest()
        content, facts = self._folder / name, self._folder / f"{name}.json"
        known = _facts(content, facts)
        if known and _IMMUTABLE.search(urlsplit(url).path):
            return Answer(200, known, path=content)
        held = dict(known or ())
        asked = {"If-None-Match": held["etag"]} if "etag" in held else {}
        if "last-modified" in held:
            asked["If-Modified-Since"] = held["last-modified"]
        fresh = self._folder / f".{name}.{os.getpid()}"
        try:
            async with self._client.stream("HEAD" if head else "GET", url, headers=asked) as reply:
                headers = tuple((key, reply.headers[key]) for key in _KEPT if key in reply.headers)
                if reply.status_code == 304 and known:
                    return Answer(200, known, path=content)
                if head or reply.status_code != 200:
                    location = reply.headers.get("location")
                    extra = (("location", location),) if location else ()
                    return Answer(reply.status_code, headers + extra, b"" if head else await reply.aread())
                with fresh.open("wb") as file:
                    async for chunk in reply.aiter_bytes(_CHUNK):
                        file.write(chunk)
        except httpx2.HTTPError as error:
            fresh.unlink(missing_ok=True)
            if known:
                return Answer(200, known, path=content)
            return Answer(502, body=f"{url}: {type(error).__name__}: {error}\n".encode())
        facts.write_text(json.dumps(headers))
        fresh.replace(content)
        return Answer(200, headers, path=content)

    async def _tunnel(
        self, target: str, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, _, port = target.rpartition(":")
        if port != "443" or not await self._allows(host):
            await _send(connection, writer, Answer(403, body=_refusal(host)), body=True)
            return
        try:
            there = await asyncio.wait_for(asyncio.open_connection(host, 443), _SECONDS)
        except (OSError, TimeoutError) as error:
            await _send(connection, writer, Answer(502, body=f"{host}: {error}\n".encode()), body=True)
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await relay(reader, writer, *there)


async def relay(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    """Carry bytes both ways until both sides have ended."""

    async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                sink.write(data)
                await sink.drain()
        with contextlib.suppress(OSError, RuntimeError):
            sink.write_eof()

    try:
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer))
    finally:
        far_writer.close()
        with contextlib.suppress(OSError):
            await far_writer.wait_closed()


async def _send(connection: h11.Connection, writer: asyncio.StreamWriter, answer: Answer, *, body: bool) -> None:
    length = answer.path.stat().st_size if answer.path else len(answer.body)
    headers = [*answer.headers, ("content-length", str(length))]
    if answer.status == 304:
        headers, body = list(answer.headers), False
    head = connection.send(h11.Response(status_code=answer.status, headers=headers))
    writer.write(head or b"")
    if body and answer.path:
        with answer.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                writer.write(connection.send(h11.Data(chunk)) or b"")
                await writer.drain()
    elif body:
        writer.write(connection.send(h11.Data(answer.body)) or b"")
    if not body and answer.status != 304 and connection.their_state is not h11.ERROR:
        writer.write(b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()


def _refusal(host: str) -> bytes:
    return f"{host} is no host of packages: this machine's own apt, pip or npm settings do not name it.\n".encode()


def _facts(content: Path, facts: Path) -> tuple[tuple[str, str], ...] | None:
    """What is kept of an earlier answer."""
    try:
        return tuple((key, value) for key, value in json.loads(facts.read_text())) if content.exists() else None
    except (OSError, ValueError):
        return None
