"""A forge that cannot be had here, as its documents tell: exactly the calls that a test expects, in their order."""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "canary-5f3a"


@dataclass(frozen=True)
class Exchange:
    call: str
    """Method and path with its query: `GET /user`."""
    answer: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    """What must be sent."""


class Recorded:
    """`problems` holds what was asked otherwise than expected. `{base}` in headers and answers is the server's URL."""

    def __init__(self, prefix: str) -> None:
        self.prefix, self.exchanges, self.problems = prefix, list[Exchange](), list[str]()
        self.asked: list[Mapping[str, str]] = []
        self.base = ""

    def expect(self, call: str, answer: Any = None, status: int = 200, *, body: Any = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.exchanges.append(Exchange(call, answer, status, named, body))

    def finished(self) -> None:
        assert not self.problems, self.problems
        assert not self.exchanges, f"never asked: {self.exchanges}"

    def take(self, call: str, headers: Mapping[str, str], body: Any) -> Exchange:
        self.asked.append(headers)
        expected = self.exchanges.pop(0) if self.exchanges else Exchange("nothing")
        if call != f"{expected.call.partition(' ')[0]} {self.prefix}{expected.call.partition(' ')[2]}":
            self.problems.append(f"{call} instead of {expected.call}")
            return Exchange(call, {"message": "unexpected"}, 418)
        if body != expected.body:
            self.problems.append(f"{call} sent {body}, not {expected.body}")
        return expected


@contextmanager
def recorded(prefix: str, tls: ssl.SSLContext | None = None) -> Iterator[Recorded]:
    forge = Recorded(prefix)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            named = {name.lower(): value for name, value in self.headers.items()}
            found = forge.take(f"{self.command} {self.path}", named, body)
            answer = json.dumps(found.answer).replace("{base}", forge.base).encode()
            self.send_response(found.status)
            for name, value in {"Content-Type": "application/json", **found.headers}.items():
                self.send_header(name, value.replace("{base}", forge.base))
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_PATCH = _do  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Not on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        forge.base = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield forge
        finally:
            server.shutdown()
            thread.join()
