"""What a real Gitea sends, as it sends it."""

import queue
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from innkeeper.model.sources import SourceSpec
from innkeeper.sources.webhooks import Hint, Ignored, Refused, receive
from tests.innkeeper.forge.giteaserver import Gitea

SECRET = "the webhook's secret"
Message = tuple[Mapping[str, str], bytes]


@pytest.fixture
def mailbox() -> Iterator[tuple[str, "queue.Queue[Message]"]]:
    """An address, and what arrives there."""
    arrived: queue.Queue[Message] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            arrived.put((dict(self.headers.items()), body))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Not on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hooks/home", arrived
        server.shutdown()
        thread.join()


@pytest.fixture
def repository(gitea_server: Gitea, mailbox: tuple[str, "queue.Queue[Message]"]) -> str:
    name = gitea_server.repository()
    gitea_server.webhook(name, mailbox[0], SECRET)
    return name


@pytest.fixture
def said(
    gitea_server: Gitea, repository: str, mailbox: tuple[str, "queue.Queue[Message]"]
) -> Callable[[], Hint | Ignored | Refused]:
    """What the next message says."""
    source = SourceSpec.model_validate({"url": f"{gitea_server.url}/{repository}.git"})
    return lambda: receive(*mailbox[1].get(timeout=20), SECRET, source)


def test_pushes(gitea_server: Gitea, repository: str, said: Callable[[], Hint | Ignored | Refused]) -> None:
    revision = gitea_server.write(repository, "web.yaml", "a: 1\n")
    hint = said()
    assert isinstance(hint, Hint)
    assert (hint.branch, hint.after, hint.pull) == ("main", revision, None)
    gitea_server.write(repository, "web.yaml", "a: 2\n", new="other")
    assert said() == Ignored("refs/heads/other was pushed: the source follows main")
    gitea_server.push(repository, "HEAD:refs/tags/v1")
    assert said() == Ignored("refs/tags/v1 was pushed: the source follows main")


def test_a_pull_request_from_its_own_branch(
    gitea_server: Gitea, repository: str, said: Callable[[], Hint | Ignored | Refused]
) -> None:
    head = gitea_server.write(repository, "web.yaml", "a: 1\n", new="change")
    assert isinstance(said(), Ignored)
    pull = gitea_server.pull(repository, "change")
    opened = said()
    assert isinstance(opened, Hint)
    assert (opened.pull, opened.head, opened.fork, opened.closed) == (pull, head, False, False)
    assert opened.ref == f"refs/pull/{pull}/head"

    head = gitea_server.write(repository, "web.yaml", "a: 2\n", branch="change")
    found = [said(), said()]
    updated = next(item for item in found if isinstance(item, Hint))
    assert (updated.pull, updated.head, updated.closed) == (pull, head, False)

    gitea_server.merge(repository, pull)
    hints = [item for item in (said(), said()) if isinstance(item, Hint)]
    assert {(hint.pull, hint.closed) for hint in hints} == {(pull, True), (None, False)}


def test_a_pull_request_from_a_fork(
    gitea_server: Gitea, repository: str, said: Callable[[], Hint | Ignored | Refused]
) -> None:
    user = gitea_server.user("stranger")
    fork = gitea_server.fork(repository, user)
    head = gitea_server.write(fork, "web.yaml", "a: 1\n", new="change", user=user)
    pull = gitea_server.pull(repository, f"{user}:change", user=user)
    hint = said()
    assert isinstance(hint, Hint)
    assert (hint.pull, hint.head, hint.fork) == (pull, head, True)
    gitea_server.call("PATCH", f"/repos/{repository}/pulls/{pull}", {"state": "closed"})
    closed = said()
    assert isinstance(closed, Hint)
    assert closed.closed
