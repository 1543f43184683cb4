"""The connections to one endpoint, and one request with its whole answer over one of them.

Requests go over the connections of httpx2 (`httpcore2`) themselves: no cookie jar, no redirects that could carry a
token elsewhere, no proxy from the environment, no log of addresses, half the work per call. The session already limits
calls per node, so there is nothing for a pool to arbitrate: the connection that was used last is used next.
pveproxy speaks HTTP/1 only, closes a connection after 100 requests, after 5 idle seconds and after any answer of 400
and above (PVE::APIServer::AnyEvent).
"""

import ssl
from dataclasses import dataclass
from typing import Literal

import httpcore2

from innkeeper.proxmox.streams import Streams
from innkeeper.proxmox.tls import Endpoint
from innkeeper.proxmox.uploads import Upload

Method = Literal["GET", "POST", "PUT", "DELETE"]
Headers = list[tuple[bytes, bytes]]
Body = bytes | Upload

_API = "/api2/json"
_PATIENCE = {"timeout": {"connect": 5.0, "read": 35.0, "write": 35.0}}
"""pveproxy itself gives up on a proxied call after 30 seconds."""
_IDLE = 4.0


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    reason: str
    body: bytes
    date: str = ""
    """The `Date` header."""


class Lost(Exception):
    """No answer, or half of one: the call may have arrived. Carries only our own words."""


class Connections:
    """Made when they are needed, kept while they are good."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext) -> None:
        self.endpoint = endpoint
        self.context = context
        self._origin = httpcore2.Origin(b"https", endpoint.host.encode(), endpoint.port)
        self._host = (b"Host", endpoint.authority.encode())
        self._streams = Streams()
        self._idle: list[httpcore2.AsyncHTTPConnection] = []

    async def exchange(self, method: Method, target: str, body: Body, headers: Headers) -> Answer:
        """One request and its whole answer. Lost, or httpcore2's errors of connecting: then nothing was sent."""
        request = httpcore2.Request(
            method,
            httpcore2.URL(
                scheme=self._origin.scheme,
                host=self._origin.host,
                port=self._origin.port,
                target=(_API + target).encode(),
            ),
            headers=[
                self._host,
                *headers,
                *([] if method in ("GET", "DELETE") else [(b"Content-Length", b"%d" % len(body))]),
            ],
            content=body or None,
            extensions=_PATIENCE,
        )
        connection = await self._free()
        problem = ""
        try:
            response = await connection.handle_async_request(request)
            try:
                content = await response.aread()
            finally:
                await response.aclose()
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
            raise
        except httpcore2.TimeoutException:
            problem = "no answer in time"
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            problem = f"the connection broke ({type(error).__name__})"
        if problem:
            raise Lost(problem)
        if connection.is_idle():
            self._idle.append(connection)
        reason = response.extensions.get("reason_phrase", b"").decode("utf-8", "replace")
        date = next((value for name, value in response.headers if name.lower() == b"date"), b"")
        return Answer(response.status, reason, content, date.decode("latin-1"))

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().aclose()

    async def _free(self) -> httpcore2.AsyncHTTPConnection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return httpcore2.AsyncHTTPConnection(
            self._origin, self.context, keepalive_expiry=_IDLE, network_backend=self._streams
        )
