"""HTTPS as pveproxy speaks it: HTTP/1 only, 100 requests a connection, closed after every answer of 400 or more
and after five idle seconds.

One listener a node. Headers and body leave in one write: with two, a client that delays its acknowledgements waits
40 ms for each answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from email.utils import formatdate

import h11

from pvesim.api.dispatch import MAX_BODY, Answer, Dispatcher, Request
from pvesim.cluster.state import Node

KEEP_ALIVE = 100
IDLE_SECONDS = 5
UPLOAD_BODY = 2**31


class Server:
    """The listeners of all nodes."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def listen(self, node: Node, hosts: Sequence[str], port: int, tls: ssl.SSLContext) -> int:
        """Begin to serve `node` on these addresses, at one port, which is returned; `port` 0: a free one."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task:
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)
            with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError, TimeoutError):
                await self._serve(node, reader, writer)
            if node.online:
                writer.close()
            else:
                writer.transport.abort()

        for host in hosts:
            server = await asyncio.start_server(serve, host, port, ssl=tls, backlog=512)
            self._servers.append(server)
            port = int(server.sockets[0].getsockname()[1])
        return port

    async def close(self) -> None:
        """End all connections and listeners."""
        for server in self._servers:
            server.close()
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=2)

    async def _serve(self, node: Node, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
        for left in range(KEEP_ALIVE - 1, -1, -1):
            try:
                request, refusal = await _read(node.name, connection, reader)
            except h11.RemoteProtocolError:
                request, refusal = None, Answer(400, "bad request")
            if not node.online:
                return
            if refusal:
                answer = refusal
            elif request:
                answer = await self._dispatcher.answer(request)
            else:
                return
            if answer.delay:
                await asyncio.sleep(answer.delay)
            if answer.drop:
                writer.transport.abort()
                return
            keep = left > 0 and answer.status < 400 and connection.their_state is h11.DONE
            writer.write(_bytes(connection, answer, keep))
            await writer.drain()
            if not keep or connection.our_state is not h11.DONE:
                return
            connection.start_next_cycle()


async def _read(
    here: str, connection: h11.Connection, reader: asyncio.StreamReader
) -> tuple[Request | None, Answer | None]:
    """The next request; (None, None) when the client has gone; an answer where it is refused before it is read."""
    request: Request | None = None
    body: list[bytes] = []
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await asyncio.wait_for(reader.read(65536), IDLE_SECONDS))
        elif isinstance(event, h11.Request):
            headers = dict(event.headers)
            request = Request(here, event.method.decode("latin-1"), event.target.decode("latin-1"), headers)
            if b"transfer-encoding" in headers:
                return request, Answer(501, "chunked transfer encoding not supported")
            limit = UPLOAD_BODY if headers.get(b"content-type", b"").startswith(b"multipart/") else MAX_BODY
            if int(headers.get(b"content-length", b"0")) > limit:
                return request, Answer(501, "for data too large")
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and request:
            request.body = b"".join(body)
            return request, None
        else:
            return None, None


def _bytes(connection: h11.Connection, answer: Answer, keep: bool) -> bytes:
    date = formatdate(usegmt=True)
    body = answer.body or b""
    headers = [
        ("Cache-Control", "max-age=0"),
        ("Connection", "Keep-Alive" if keep else "close"),
        ("Date", date),
        ("Pragma", "no-cache"),
        ("Server", "pve-api-daemon/3.0"),
        ("Content-Length", str(len(body))),
        ("Expires", date),
    ]
    if answer.gzipped:
        headers.append(("Content-Encoding", "gzip"))
    if answer.body is not None:
        headers.append(("Content-Type", answer.content_type))
    reason = answer.reason.encode("latin-1", "replace")
    head = connection.send(h11.Response(status_code=answer.status, headers=headers, reason=reason)) or b""
    data = connection.send(h11.Data(data=body)) if body and connection.our_state is h11.SEND_BODY else b""
    return head + (data or b"") + (connection.send(h11.EndOfMessage()) or b"")
