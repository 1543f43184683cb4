"""The package proxy, against a source on loopback."""

from __future__ import annotations

import asyncio
import http.client
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pvesim.backends.lxc import registries
from pvesim.backends.lxc.proxy import Proxy
from pvesim.template import recipe


class Source(ThreadingHTTPServer):
    """A source of packages; `asked` is what it was asked for, `alive` False makes it answer nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str | None]] = []
        self.content = b"one"


class Handler(BaseHTTPRequestHandler):
    server: Source
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["If-None-Match"]))
        content = self.server.content
        tag = f'"{content.decode()}"'
        if self.headers["If-None-Match"] == tag:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def source() -> Iterator[Source]:
    server = Source()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """A proxy that allows 127.0.0.1 only; its port."""
    ready = threading.Event()
    found: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []

    async def serve() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        end, served = asyncio.Event(), Proxy(tmp_path / "packages", lambda: frozenset({"127.0.0.1"}))
        await served.listen(listener)
        found.append((asyncio.get_running_loop(), end, listener.getsockname()[1]))
        ready.set()
        await end.wait()
        await served.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    ready.wait(10)
    yield found[0][2]
    found[0][0].call_soon_threadsafe(found[0][1].set)
    thread.join(10)


def get(proxy: int, url: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=10)
    try:
        connection.request(method, url, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_package_is_fetched_once(proxy: int, source: Source) -> None:
    url = f"http://127.0.0.1:{source.server_port}/pool/a_1.deb"
    assert get(proxy, url) == (200, b"one")
    source.content = b"two"
    assert get(proxy, url) == (200, b"one")
    assert source.asked == [("/pool/a_1.deb", None)]


def test_an_index_is_asked_for_again_with_what_is_known_of_it(proxy: int, source: Source) -> None:
    url = f"http://127.0.0.1:{source.server_port}/dists/InRelease"
    assert get(proxy, url) == (200, b"one")
    assert get(proxy, url) == (200, b"one")
    assert get(proxy, url, If_None_Match='"one"') == (304, b"")
    source.content = b"two"
    assert get(proxy, url, If_None_Match='"one"') == (200, b"two")
    assert [tag for _, tag in source.asked] == [None, '"one"', '"one"', '"one"']


def test_what_is_kept_is_served_while_the_source_is_away(proxy: int, source: Source) -> None:
    url = f"http://127.0.0.1:{source.server_port}/dists/InRelease"
    get(proxy, url)
    source.shutdown()
    source.server_close()
    assert get(proxy, url) == (200, b"one")
    status, text = get(proxy, f"{url}.gpg")
    assert (status, b"ConnectError" in text) == (502, True)


def test_errors_of_the_source_are_passed_on_and_not_kept(proxy: int, source: Source) -> None:
    url = f"http://127.0.0.1:{source.server_port}/missing.deb"
    assert get(proxy, url) == (404, b"one")
    assert get(proxy, url) == (404, b"one")
    assert len(source.asked) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_only_hosts_of_packages(proxy: int, method: str) -> None:
    status, text = get(proxy, "http://elsewhere.example/a.deb", method)
    assert status == 403
    assert method == "HEAD" or b"elsewhere.example is no host of packages" in text


@pytest.mark.parametrize("target", ["elsewhere.example:443", "127.0.0.1:22"])
def test_no_tunnel_to_other_hosts_or_ports(proxy: int, target: str) -> None:
    with socket.create_connection(("127.0.0.1", proxy), timeout=10) as connection:
        connection.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 403")


def test_uploads_are_refused(proxy: int, source: Source) -> None:
    status, _ = get(proxy, f"http://127.0.0.1:{source.server_port}/x", "POST")
    assert status == 405
    assert source.asked == []


SETTINGS = {"PIP_INDEX_URL": "https://user:pw@pip.example/simple", "NPM_CONFIG_REGISTRY": "https://npm.example:8443/"}


def test_the_machines_own_settings_name_the_hosts() -> None:
    found = registries.hosts(SETTINGS)
    assert {"pip.example", "npm.example"} <= found
    assert found.isdisjoint(registries.hosts({}) - recipe.hosts()), "named ones take the place of the defaults"


def test_without_settings_pip_and_npm_are_asked_for_their_defaults() -> None:
    defaults = registries.hosts({}) - recipe.hosts()
    words = [sys.executable, "-m", "pip", "download", "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert any(host in shown for host in defaults), "pip's help names its index"
    if shutil.which("npm") is None:
        pytest.skip("needs: npm")
    npm = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=True, cwd="/")
    assert urlsplit(npm.stdout.strip()).hostname in defaults


def test_guests_are_told_the_machines_registries_but_never_a_password() -> None:
    found = registries.named(SETTINGS)
    assert (found.index, found.registry) == ("", "https://npm.example:8443/")
    assert registries.named({"PIP_INDEX_URL": "http://mirror.example/simple"}).index == "http://mirror.example/simple"
