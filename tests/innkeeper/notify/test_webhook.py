"""Notices arrive, signed; nothing arrives where it has no business."""

import hashlib
import hmac
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from syrupy.assertion import SnapshotAssertion

from innkeeper.control.ports import Notice
from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.server import WebhookNotifier
from innkeeper.notify.shapes import SHAPES
from innkeeper.notify.webhook import Webhook

NOTICE = Notice(
    kind="drift",
    key="home/Container/web",
    title="Container/web <!channel> drifted",
    text="memory: 512Mi → 1Gi by root@pam\n<script>alert(1)</script> & more",
    at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
    url="https://innkeeper.example.org/guests/home/Container/web?tab=drift&x=1",
)


@dataclass
class Receiver:
    port: int = 0
    status: int = 200
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.posts.append((self.path, dict(self.headers), body))
            self.send_response(found.status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def notifier(url: str, secret: str | None = None, **rest: object) -> Webhook:
    spec = {"type": "webhook", "name": "chat", "url": {"env": "HOOK"}, "allowPrivate": True, **rest}
    signing = (lambda: SecretStr(secret)) if secret is not None else None
    return Webhook(WebhookNotifier.model_validate(spec), lambda: SecretStr(url), signing)


@pytest.mark.parametrize("shape", sorted(SHAPES))
async def test_every_shape_arrives(receiver: Receiver, shape: str, snapshot: SnapshotAssertion) -> None:
    await notifier(f"http://localhost:{receiver.port}/hook/secret?x=1", shape=shape).notify(NOTICE)
    ((path, headers, body),) = receiver.posts
    assert path == "/hook/secret?x=1"
    assert headers["Host"] == f"localhost:{receiver.port}"
    assert json.loads(body) == snapshot


async def test_the_signature_is_of_the_body(receiver: Receiver) -> None:
    await notifier(f"http://127.0.0.1:{receiver.port}/", "s3cret").notify(NOTICE)
    ((_, headers, body),) = receiver.posts
    expected = hmac.new(b"s3cret", body, hashlib.sha256).hexdigest()
    assert headers["X-Innkeeper-Signature-256"] == f"sha256={expected}"


async def test_only_what_is_wanted(receiver: Receiver) -> None:
    await notifier(f"http://127.0.0.1:{receiver.port}/", events=("failure",)).notify(NOTICE)
    assert receiver.posts == []


@pytest.mark.parametrize(
    ("status", "kind"), [(302, Stalled), (404, Stalled), (429, Waiting), (500, Waiting), (503, Waiting)]
)
async def test_what_refusals_mean(receiver: Receiver, status: int, kind: type[Exception]) -> None:
    receiver.status = status
    with pytest.raises(kind, match=str(status)) as caught:
        await notifier(f"http://127.0.0.1:{receiver.port}/token-in-path").notify(NOTICE)
    assert "token-in-path" not in str(caught.value)
    assert len(receiver.posts) == 1, "a redirect is not followed, nothing is repeated"


async def test_nobody_listens(receiver: Receiver) -> None:
    with pytest.raises(Waiting, match="no answer") as caught:
        await notifier("http://127.0.0.1:9/token-in-path").notify(NOTICE)
    assert "token-in-path" not in str(caught.value)
    assert "token-in-path" not in repr(caught.value.__context__)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::ffff:10.0.0.1]", "0"]
)
async def test_no_way_into_the_network(receiver: Receiver, host: str) -> None:
    with pytest.raises((Stalled, Waiting)) as caught:
        await notifier(f"http://{host}:{receiver.port}/", allowPrivate=False).notify(NOTICE)
    assert "private network" in str(caught.value)
    assert receiver.posts == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x", "http://user:pw@example.org/", "nonsense"])
async def test_only_http(url: str) -> None:
    with pytest.raises(Stalled, match="is no http"):
        await notifier(url).notify(NOTICE)


async def test_the_address_that_was_looked_at_is_the_one_that_is_called(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere a moment later leads nobody there."""
    real, asked = socket.getaddrinfo, list[str]()

    def rebinding(host: str, *rest: object, **more: object) -> object:
        if host != "rebind.example":
            return real(host, *rest, **more)  # type: ignore[arg-type]
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.9", *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    await notifier(f"http://rebind.example:{receiver.port}/").notify(NOTICE)
    assert (len(receiver.posts), asked) == (1, ["rebind.example"])
