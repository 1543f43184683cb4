"""A real Caddy serves what is told, and only what is told."""

import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.server import CaddyPublisher
from innkeeper.publish.caddy import Caddy
from tests.innkeeper.publish.services import free_port, program, running, service


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"page of {self.headers['Host']} for {self.headers.get('Remote-User', 'anybody')}".encode())

    def log_message(self, *_: object) -> None:
        pass


class _Door(http.server.BaseHTTPRequestHandler):
    """A sign-in: whoever has the cookie is Ada."""

    def do_GET(self) -> None:
        known = "ada=1" in (self.headers.get("Cookie") or "")
        self.send_response(200 if known else 401)
        if known:
            self.send_header("Remote-User", "ada")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def guest() -> Iterator[int]:
    yield from serving(_Page)


@pytest.fixture
def door() -> Iterator[int]:
    yield from serving(_Door)


@dataclass(frozen=True)
class Front:
    directory: Path
    caddyfile: Path
    admin: str
    port: int

    def publisher(self, **rest: object) -> Caddy:
        spec = {"type": "caddy", "name": "front", "directory": str(self.directory), "caddyfile": str(self.caddyfile)}
        return Caddy(CaddyPublisher.model_validate({**spec, "admin": self.admin, "tls": "off", **rest}))

    def get(self, domain: str, **headers: str) -> httpx2.Response:
        return httpx2.get(f"http://127.0.0.1:{self.port}/", headers={"Host": domain, **headers})

    def validate(self) -> subprocess.CompletedProcess[str]:
        command = [program("caddy", "caddy"), "validate", "--adapter", "caddyfile", "--config", str(self.caddyfile)]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    port, admin = free_port(), free_port()
    sites = tmp_path / "sites"
    sites.mkdir()
    caddyfile = tmp_path / "Caddyfile"
    options = f"admin 127.0.0.1:{admin}\n\thttp_port {port}\n\tauto_https off"
    caddyfile.write_text(f"{{\n\t{options}\n}}\nhttp://127.0.0.1 {{\n\trespond here\n}}\nimport {sites}/*.caddy\n")
    command = [program("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", str(caddyfile)]
    home = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with running(command, tmp_path / "caddy.log", port, env=home):
        yield Front(sites, caddyfile, f"http://127.0.0.1:{admin}", port)


async def test_a_service_comes_changes_and_goes(front: Front, guest: int) -> None:
    caddy = front.publisher()
    told = service(port=guest, public=True)
    assert await caddy.publish([told]) == ("web.example.org is served now",)
    answer = front.get("web.example.org")
    assert answer.text == "page of web.example.org for anybody"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert await caddy.publish([told]) == ()
    bare = service(port=guest, public=True, headers=False)
    assert await caddy.publish([bare]) == ("web.example.org is served anew",)
    assert "X-Content-Type-Options" not in front.get("web.example.org").headers
    assert await caddy.publish([]) == ("web.example.org is served no more",)
    assert front.get("web.example.org").text == ""
    assert list(front.directory.iterdir()) == []


async def test_what_is_not_public_is_for_the_networks_within(front: Front, guest: int) -> None:
    await front.publisher().publish([service(port=guest)])
    assert front.get("web.example.org").status_code == 200
    await front.publisher(internal=("192.0.2.0/24",)).publish([service(port=guest)])
    assert front.get("web.example.org").status_code == 403


async def test_a_sign_in_comes_first(front: Front, guest: int, door: int) -> None:
    asked = service(port=guest, public=True, auth=True)
    with pytest.raises(Stalled, match="asks for a sign-in, and forwardAuth names none"):
        await front.publisher().publish([asked])
    assert list(front.directory.iterdir()) == []
    await front.publisher(forwardAuth=f"http://127.0.0.1:{door}/verify?rd=1").publish([asked])
    assert front.get("web.example.org").status_code == 401
    assert front.get("web.example.org", Cookie="ada=1").text == "page of web.example.org for ada"
    assert front.get("web.example.org", **{"Remote-User": "root"}).status_code == 401


async def test_a_configuration_that_caddy_refuses_is_taken_back(front: Front, guest: int) -> None:
    await front.publisher().publish([service(port=guest, public=True)])
    broken = front.publisher(internal=("999.0.0.0/8",))
    with pytest.raises(Stalled, match="refuses its configuration"):
        await broken.publish([service(port=guest, public=True), service("inner", port=guest)])
    assert front.get("web.example.org").status_code == 200
    assert [path.name for path in front.directory.iterdir()] == ["web.example.org.caddy"]
    assert front.validate().returncode == 0


async def test_a_caddy_that_was_away_reads_it_later(front: Front, guest: int) -> None:
    caddy = front.publisher(admin=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Waiting, match="does not answer"):
        await caddy.publish([service(port=guest, public=True)])
    again = front.publisher()
    assert await again.publish([service(port=guest, public=True)]) == ()
    assert front.get("web.example.org").status_code == 200


@pytest.mark.parametrize("tls", ["auto", "internal", "off"])
async def test_every_shape_is_valid(front: Front, tls: str) -> None:
    shapes = [
        service("plain", port=80),
        service("secure", "10.0.0.7", port=8443, scheme="https", public=True),
        service("six", "fd00::7", port=3000, auth=True),
    ]
    caddy = front.publisher(tls=tls, admin=None, forwardAuth="http://127.0.0.1:9091/api/verify")
    await caddy.publish(shapes)
    done = front.validate()
    assert done.returncode == 0, done.stderr[-1500:]


async def test_another_hands_file_is_left_alone(front: Front, guest: int) -> None:
    stranger = front.directory / "web.example.org.caddy"
    stranger.write_text("http://web.example.org {\n\trespond mine\n}\n")
    with pytest.raises(Stalled, match="belongs to something that Innkeeper did not write"):
        await front.publisher().publish([service(port=guest, public=True)])
    assert stranger.read_text().endswith("respond mine\n}\n")


async def test_nobody_takes_a_domain_from_who_has_it(front: Front, guest: int) -> None:
    caddy = front.publisher()
    rightful = service(source="zoo", port=guest, public=True)
    await caddy.publish([rightful])
    with pytest.raises(Stalled, match=r"aaa/Container/web: the domain web\.example\.org belongs to zoo/Container/web"):
        await caddy.publish([service(source="aaa", port=1, public=True), rightful])
    assert front.get("web.example.org").text.startswith("page of")


@pytest.mark.parametrize("address", ["127.0.0.1 {\n}", "evil.example.org", "", "127.0.0.1:80\nimport /etc/passwd"])
async def test_an_address_that_a_guest_invents_is_written_nowhere(front: Front, address: str) -> None:
    with pytest.raises(Stalled, match="has no address yet"):
        await front.publisher().publish([service("web", address, port=80)])
    assert list(front.directory.iterdir()) == []


async def test_the_running_configuration_is_what_the_files_say(front: Front, guest: int) -> None:
    await front.publisher().publish([service(port=guest, public=True)])
    assert "web.example.org" in json.dumps(httpx2.get(f"{front.admin}/config/").json())
