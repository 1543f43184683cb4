"""From a request to its answer: who calls, which method, may they, on which node, with what; then the handler.

The order is that of PVE::APIServer::AnyEvent and PVE::HTTPServer (rest_handler): the caller before the path, rights
before the node, the node before the parameters. Every node is in this process, so to proxy a call is to name another
node; what can be seen of proxying (a dead node, 30 seconds and no more) is done here.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

from pvesim import schema
from pvesim.api import decode, permission
from pvesim.api.method import Call
from pvesim.api.router import Route, Router
from pvesim.cluster.access import Auth, denied
from pvesim.cluster.state import Cluster
from pvesim.cluster.tickets import authenticate
from pvesim.errors import ApiError
from pvesim.faults import Faults, Rule

VERBS = {"GET", "POST", "PUT", "DELETE"}
NOBODY = Auth("")
PROXY_SECONDS = 30
INSTANT_SECONDS = 5  # how long an instant task may keep its call waiting: only a stuck one does
WORKERS = 3  # of pvedaemon, on each node
UNAUTHORIZED_SECONDS = 3
MAX_BODY = 512 * 1024
GZIP_BYTES = 1024
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(slots=True)
class Request:
    """What came over the wire to node `here`; header names in lower case."""

    here: str
    verb: str
    target: str
    headers: dict[bytes, bytes]
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    """What goes back. `body` None: none at all. `delay` in seconds; `drop`: close without a word after it."""

    status: int
    reason: str
    body: bytes | None = None
    content_type: str = "application/json;charset=UTF-8"
    delay: float = 0
    drop: bool = False
    gzipped: bool = False


@dataclass(slots=True)
class Record:
    """What the log says of a call."""

    method: str
    path: str
    params: list[str] = field(default_factory=list)
    status: int = 0
    user: str = ""
    node: str = ""
    write: bool = False
    upid: str | None = None
    fault: str | None = None


class _Refused(Exception):
    """Ends a request with an answer that has no body."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.answer = Answer(status, reason.split("\n")[0])


class Dispatcher:
    """Answers requests on one cluster. Calls `changed` after every call that is no GET, `logged` with every call."""

    def __init__(self, cluster: Cluster, faults: Faults, router: Router | None = None) -> None:
        self.cluster = cluster
        self.faults = faults
        self.router = router or Router(cluster.version)
        self._workers: dict[str, asyncio.Semaphore] = {}
        self.changed: Callable[[], None] = lambda: None
        self.logged: Callable[[Record], None] = lambda _: None

    async def answer(self, request: Request) -> Answer:
        """Never raises for what a client can send."""
        path = unquote(request.target.partition("?")[0])
        record = Record(request.verb, path, node=request.here, write=request.verb != "GET")
        try:
            answer = await self._answer(request, path, record)
        except _Refused as refused:
            answer = refused.answer
        if answer.body and len(answer.body) > GZIP_BYTES and b"gzip" in request.headers.get(b"accept-encoding", b""):
            answer.body, answer.gzipped = gzip.compress(answer.body, 1, mtime=0), True
        if answer.status == 401 and self.cluster.clock.real:
            answer.delay = UNAUTHORIZED_SECONDS
        record.status = 0 if answer.drop else answer.status
        if record.write:
            self.changed()
        self.logged(record)
        return answer

    async def _answer(self, request: Request, path: str, record: Record) -> Answer:
        verb = request.verb
        if verb not in VERBS:
            raise _Refused(501, f"method '{verb}' not available")
        form, separator, rest = path.removeprefix("/api2").lstrip("/").partition("/")
        if not path.startswith("/api2/") or form not in {"json", "extjs"}:
            raise _Refused(501, f"no such file '{path}'" if not path.startswith("/api2/") else "no such uri")
        uri = "/" + rest if separator else "/"
        record.path = uri
        try:
            auth = authenticate(self.cluster, verb, uri, request.headers) or NOBODY
        except ApiError as error:
            raise _Refused(error.status, error.message) from None
        record.user = auth.name
        fault = self.faults.meet(verb, uri, auth.name, request.here)
        record.fault = fault.do if fault else None
        if fault and not fault.effect and fault.do in {"drop", "status"}:
            return _faulty(fault)
        call = Call(self.cluster, auth, request.here, {}, verb, uri)
        try:
            _decode(request, call)
            record.params = sorted(call.params)
            data = await self._call(call)
            answer = _result(form, data, call)
        except ApiError as error:
            answer = _error(form, error)
        record.upid = call.upids[0] if call.upids else None
        return _faulty(fault) if fault else answer

    async def _call(self, call: Call) -> object:
        found = self.router.find(call.method, call.path)
        if found is None:
            raise ApiError(501, f"Method '{call.method} {call.path}' not implemented")
        route, values = found
        for name, value in values.items():
            if call.params.get(name, value) != value:
                text = "duplicate parameter (already defined in URI) with conflicting values!"
                raise ApiError(400, "Parameter verification failed.", {name: text})
        call.params = values | call.params
        if call.auth.tokenid and not route.method.allow_token:
            raise denied(f"URI '{call.path}' not available with API token, need proper ticket.")
        permission.check(route.method, call)
        away = self._place(route, call)
        typed, errors = schema.check(route.method, call.params)
        if errors:
            raise ApiError(400, "Parameter verification failed.", errors)
        call.params = typed
        if self.cluster.clock.real and route.is_async and (away or route.method.protected):
            return await self._patiently(route, call)
        result = await _run(route, call)
        if call.upids and not self.cluster.clock.real:
            await self.cluster.tasks.idle(INSTANT_SECONDS)
        return result

    def _place(self, route: Route, call: Call) -> bool:
        """Whether the call is another node's; 595 where that one is dead (PVE::HTTPServer, remote_node_ip)."""
        if not route.method.proxyto:
            return False
        name = call.params.get(route.method.proxyto)
        if name == "localhost":
            call.params[route.method.proxyto] = call.here
            return False
        if name is None:
            raise ApiError(
                400, "Parameter verification failed.", {route.method.proxyto: "proxyto parameter does not exist"}
            )
        node = self.cluster.nodes.get(str(name))
        if node is None:
            text = f"failed to get address info for: {name}: Name or service not known"
            raise ApiError(500, f"hostname lookup '{name}' failed - {text}")
        if not node.online:
            raise _Refused(595, "No route to host")
        return node.name != call.here

    async def _patiently(self, route: Route, call: Call) -> object:
        """Run it as one of a node's few workers; the proxy gives up after a while, the work goes on."""

        async def work() -> object:
            async with self._workers.setdefault(call.node, asyncio.Semaphore(WORKERS)):
                return await _run(route, call)

        job = asyncio.ensure_future(work())
        done, _ = await asyncio.wait({job}, timeout=PROXY_SECONDS)
        if not done:
            job.add_done_callback(lambda late: late.exception())
            raise _Refused(596, "Connection timed out")
        return job.result()


async def _run(route: Route, call: Call) -> object:
    """The handler's result; what it did not foresee is an answer too, and a line on stderr."""
    try:
        result = route.handler(call)
        return await cast("Awaitable[object]", result) if route.is_async else result
    except (ApiError, _Refused):
        raise
    except Exception as error:
        text = f"pvesim: {call.method} {call.path}: {type(error).__name__}: {error}"
        sys.stderr.write("".join(traceback.format_exception(error)[-2:]) + text + "\n")
        raise ApiError(500, text) from error


def _decode(request: Request, call: Call) -> None:
    """Fill in the parameters; raises what Proxmox answers to a body that it does not take."""
    query = decode.form(request.target.partition("?")[2])
    if request.body:
        if request.verb not in {"POST", "PUT"}:
            raise _Refused(501, f"Unexpected content for method '{request.verb}'")
        kind = request.headers.get(b"content-type", b"").decode("latin-1")
        plain = kind.partition(";")[0].strip()
        if plain == "multipart/form-data" and call.path.endswith("/upload"):
            fields, call.upload = decode.multipart(kind, request.body)
            query = fields | query
        elif len(request.body) > MAX_BODY:
            raise _Refused(501, "for data too large")
        elif plain not in {"", "application/x-www-form-urlencoded", "application/json"}:
            raise _Refused(506, f"upload 'Content-Type '{kind}' not implemented")
        else:
            query = decode.body(kind, request.body) | query
    query.pop("_dc", None)
    call.params = query


def _result(form: str, data: object, call: Call) -> Answer:
    body: dict[str, Any] = {"data": data, **call.attributes}
    if form == "extjs":
        body["success"] = 1
    return Answer(200, "OK", _json(body))


def _error(form: str, error: ApiError) -> Answer:
    plain = error.message.removesuffix("\n")
    message = plain if error.status == 501 else plain + "\n"
    body: dict[str, Any] = {"data": None, "message": message}
    if error.errors:
        body["errors"] = error.errors
    if form == "extjs":
        return Answer(200, "OK", _json(body | {"success": 0, "status": error.status}))
    return Answer(error.status, plain.split("\n")[0], _json(body))


def _json(body: dict[str, Any]) -> bytes:
    return _ENCODER.encode(body).encode()


def _faulty(fault: Rule) -> Answer:
    if fault.do == "status":
        return Answer(fault.status, fault.reason)
    return Answer(0, "", delay=fault.seconds if fault.do == "timeout" else 0, drop=True)
