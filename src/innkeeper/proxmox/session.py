"""One signed-in conversation with one cluster: endpoints, signatures, the limit per node, retries of reads, counts."""

import asyncio
import json
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpcore2
from pydantic import SecretStr

from innkeeper.engine.errors import EngineError, Stalled, Uncertain, Waiting
from innkeeper.model.objects import Tls
from innkeeper.proxmox.answers import refusal
from innkeeper.proxmox.connections import Answer, Body, Connections, Headers, Lost, Method
from innkeeper.proxmox.credentials import Login, Token
from innkeeper.proxmox.tls import Endpoint, distrust, trust
from innkeeper.proxmox.uploads import Upload

Params = Iterable[tuple[str, str]]

PER_NODE = 4
"""Calls at once per node: pveproxy and pvedaemon have three workers each, and four is where measurements flatten."""

_RENEW = 3600.0
"""Seconds after which a ticket is renewed; Proxmox lets it live for 7200 (PVE::AccessControl)."""


@dataclass(slots=True)
class Load:
    """What we ask of one node; `""` is the endpoint itself (calls that name no node)."""

    reads: int = 0
    writes: int = 0


class _Again(Exception):
    """A read that failed in a way that may pass."""

    def __init__(self, error: EngineError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(slots=True)
class _Line:
    """The way to one endpoint; connections are made when they are first needed."""

    endpoint: Endpoint
    connections: Connections | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Session:
    """Raises only `innkeeper.engine.errors`. Reads are retried, writes are sent once, by whichever endpoint is up."""

    def __init__(
        self,
        cluster: str,
        endpoints: Iterable[Endpoint],
        tls: Tls,
        identity: Token | Login,
        directory: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cluster = cluster
        self.identity = identity
        self.load: defaultdict[str, Load] = defaultdict(Load)
        self.heard: Callable[[str, str, int], None] = lambda method, path, status: None
        """Told of every answer; who counts calls sets it."""
        self._tls = tls
        self._directory = directory
        self._clock = clock
        self._lines = [_Line(endpoint) for endpoint in endpoints]
        self._current = 0
        self._limits: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(PER_NODE))
        self._secrets: set[str] = set()
        self._reading: Headers = []
        self._writing: Headers = []
        self._renew_at = 0.0
        self._ticket: SecretStr | None = None
        self._signing = asyncio.Lock()
        if isinstance(identity, Token):
            secret = identity.secret.get_secret_value()
            self._sign([(b"Authorization", f"PVEAPIToken={identity.id}={secret}".encode())], [])
            self._secrets.add(secret)
            self._renew_at = float("inf")
        else:
            self._secrets.add(identity.password.get_secret_value())

    def __repr__(self) -> str:
        return f"Session({self.cluster!r}, {self.identity.user!r})"

    @property
    def reads(self) -> int:
        return sum(load.reads for load in self.load.values())

    @property
    def writes(self) -> int:
        return sum(load.writes for load in self.load.values())

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint in use."""
        return self._lines[self._current].endpoint

    async def context(self) -> ssl.SSLContext:
        """The TLS context of the endpoint in use."""
        return (await self._open(self._lines[self._current])).context

    async def get(self, path: str, node: str = "") -> Any:
        """The `data` of a GET below /api2/json; `node` is whose limit it counts to."""
        answer = await self.read(path, node)
        try:
            return data_of(answer.body)
        except ValueError:
            pass
        raise Stalled(f"GET {path}: {self.endpoint} does not answer as Proxmox does", "check the endpoint's address")

    async def read(self, path: str, node: str = "") -> Answer:
        """A GET that is repeated when its answer is lost or the node's services are just starting."""
        try:
            return await self._read_once(path, node)
        except _Again:
            pass
        import stamina  # only where it is needed: it takes a tenth of a short command's start

        stamina.instrumentation.set_on_retry_hooks([])  # else it writes to standard output
        try:
            async for attempt in stamina.retry_context(
                on=_Again, attempts=3, timeout=30.0, wait_initial=0.1, wait_max=1.0, wait_jitter=0.1
            ):
                with attempt:
                    return await self._read_once(path, node)
        except _Again as again:
            error = again.error
        raise error

    async def write(self, method: Method, path: str, params: Params, node: str = "", file: Path | None = None) -> Any:
        """The `data` of a writing call, sent once, `file` with it. Uncertain when its answer is lost."""
        error: EngineError
        call = f"{method} {path}"
        upload = Upload(params, file) if file is not None else None
        try:
            answer = await self._signed(method, path, params, node, upload)
        except Lost as lost:
            error = Uncertain(f"{call}: {lost}", "look before anything is repeated")
        else:
            if answer.status == 200:
                try:
                    return data_of(answer.body)
                except ValueError:
                    error = Uncertain(f"{call}: the answer is cut or not Proxmox's", "look before anything is repeated")
            else:
                error = self._refused(call, answer, writing=True)
        raise error

    async def close(self) -> None:
        for line in self._lines:
            if line.connections is not None:
                await line.connections.close()
                line.connections = None

    async def _read_once(self, path: str, node: str) -> Answer:
        call = f"GET {path}"
        error: EngineError
        try:
            answer = await self._signed("GET", path, (), node)
        except Lost as lost:
            error, again = Waiting(f"{call}: {lost}", "", 2.0), True
        else:
            if answer.status == 200:
                if answer.body.endswith(b"}"):
                    return answer
                error, again = Waiting(f"{call}: the answer is cut or not Proxmox's", "", 2.0), True
            else:
                error = self._refused(call, answer, writing=False)
                again = isinstance(error, Waiting) and answer.status in (502, 503, 504, 596, 597, 598, 599)
        if again:
            raise _Again(error)
        raise error

    async def _signed(
        self, method: Method, path: str, params: Params, node: str, upload: Upload | None = None
    ) -> Answer:
        """Signs in first where that is due, and once more when the ticket is refused (a 401 has had no effect)."""
        async with self._limits[node]:
            if self._clock() >= self._renew_at:
                await self._sign_in()
            load = self.load[node]
            query, body = ("", b"") if method == "GET" or upload else _encode(method, params)
            for attempt in (1, 2):
                signature = self._reading
                if method == "GET":
                    load.reads += 1
                    answer = await self._send(method, path, b"", signature)
                else:
                    load.writes += 1
                    headers = [*self._writing[:-1], (b"Content-Type", upload.content_type)] if upload else self._writing
                    answer = await self._send(method, path + query, upload or body, headers)
                if answer.status != 401 or attempt == 2 or isinstance(self.identity, Token):
                    break
                if signature is self._reading:
                    self._renew_at, self._ticket = 0.0, None
                await self._sign_in()
            return answer

    async def _send(self, method: Method, target: str, body: Body, headers: Headers) -> Answer:
        """By the endpoint in use, else the next one that lets us connect. Waiting when none does."""
        problems: list[str] = []
        start = self._current
        for turn in range(len(self._lines)):
            number = (start + turn) % len(self._lines)
            line = self._lines[number]
            untrusted: ssl.SSLCertVerificationError | None = None
            try:
                connections = line.connections or await self._open(line)
                answer = await connections.exchange(method, target, body, headers)
            except Lost:
                self._current = (number + 1) % len(self._lines)
                raise
            except Waiting as error:
                problems.append(error.message)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                untrusted = _verification(error)
                problems.append(f"{line.endpoint}: {_said(error)}")
            else:
                self._current = number
                self.heard(method, target, answer.status)
                return answer
            if untrusted is not None:
                raise await distrust(line.endpoint, untrusted, self._tls)
        raise Waiting(
            f"no endpoint of cluster {self.cluster} can be reached: {'; '.join(problems)}",
            "check the address, the network and that the node is up",
            5.0,
        )

    async def _open(self, line: _Line) -> Connections:
        async with line.lock:
            if line.connections is None:
                line.connections = Connections(line.endpoint, await trust(self._tls, line.endpoint, self._directory))
            return line.connections

    async def _sign_in(self) -> None:
        """A fresh ticket: by the old one while it lives, else by the password (PVE::API2::AccessControl)."""
        async with self._signing:
            if self._clock() < self._renew_at or not isinstance(self.identity, Login):
                return
            answer: Answer | None = None
            for secret in filter(None, (self._ticket, self.identity.password)):
                form = [("username", self.identity.username), ("password", secret.get_secret_value())]
                body = urlencode(form, quote_via=quote, safe="").encode()
                self.load[""].reads += 1
                try:
                    answer = await self._send("POST", "/access/ticket", body, [(b"Content-Type", _FORM)])
                except Lost:
                    answer = None
                if answer is not None and answer.status == 200:
                    break
            if answer is None:
                raise Waiting(f"{self.identity.user} cannot sign in: the answer was lost", "", 2.0)
            if answer.status != 200:
                raise self._refused("POST /access/ticket", answer, writing=False)
            data = data_of(answer.body)
            if data.get("NeedTFA"):
                raise Stalled(f"{self.identity.user} has a second factor", "use an API token: it needs none")
            self._ticket = SecretStr(data["ticket"])
            self._secrets |= {data["ticket"], data["CSRFPreventionToken"]}
            cookie = (b"Cookie", b"PVEAuthCookie=" + quote(data["ticket"], safe="").encode())
            self._sign([cookie], [(b"CSRFPreventionToken", data["CSRFPreventionToken"].encode())])
            self._renew_at = self._clock() + _RENEW

    def _sign(self, always: Headers, writing: Headers) -> None:
        self._reading = [(b"Accept", b"application/json"), *always]
        self._writing = [*self._reading, *writing, (b"Content-Type", _FORM)]

    def _refused(self, call: str, answer: Answer, *, writing: bool) -> EngineError:
        error = refusal(call, answer.status, answer.reason, answer.body, writing=writing, user=self.identity.user)
        error.message, error.advice = self._clean(error.message), self._clean(error.advice)
        error.args = (error.message,)
        return error

    def _clean(self, text: str) -> str:
        """Without our secrets, should an answer ever repeat one."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, "…")
        return text


def data_of(body: bytes) -> Any:
    """The `data` of an answer; ValueError when this is not Proxmox's envelope."""
    answer = json.loads(body)
    if not isinstance(answer, dict) or "data" not in answer:
        raise ValueError("no data")
    return answer["data"]


_FORM = b"application/x-www-form-urlencoded"


def _encode(method: Method, params: Params) -> tuple[str, bytes]:
    """Query and body. A DELETE has no body (501); everything is percent-encoded, since pveproxy splits on `;` too."""
    text = urlencode(list(params), quote_via=quote, safe="")
    if method == "DELETE":
        return (f"?{text}" if text else ""), b""
    return "", text.encode()


def _verification(error: BaseException) -> ssl.SSLCertVerificationError | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _said(error: Exception) -> str:
    return "no answer in time" if isinstance(error, httpcore2.TimeoutException) else str(error) or "cannot connect"
