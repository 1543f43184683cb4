"""Checks against servers that really answer, and against what does not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from innkeeper.configure.bounds import Bounds
from innkeeper.configure.insider import Insides
from innkeeper.engine.inside import CheckResult
from tests.innkeeper.configure.conftest import Sshd, inside, target


@asynccontextmanager
async def page(address: str, answer: str = "200 OK", body: str = "welcome home") -> AsyncIterator[int]:
    """An HTTP server at that address; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        text = request if body == "echo" else body
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        writer.close()

    server = await asyncio.start_server(serve, address, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


Look = Callable[[Mapping[str, object]], Awaitable[CheckResult]]


@pytest.fixture
def look(guest: Sshd, insides: Insides, tmp_path: Path) -> Look:
    async def one(check: Mapping[str, object]) -> CheckResult:
        item = inside(tmp_path, health=[check])
        return (await insides.check(item, target(tmp_path, guest.address)))[0]

    return one


async def test_tcp(look: Look, guest: Sshd) -> None:
    assert await look({"tcp": 22}) == CheckResult("tcp 22", True, "port 22 is open")
    closed = await look({"tcp": 1})
    assert (closed.ok, closed.name) == (False, "tcp 1")
    assert "refused" in closed.detail


@pytest.mark.parametrize(
    ("answer", "wanted", "ok", "detail"),
    [
        ("200 OK", {}, True, "answered 200"),
        ("200 OK", {"contains": "home"}, True, "answered 200"),
        ("200 OK", {"contains": "away"}, False, "answered 200, but the page does not hold 'away': welcome home"),
        ("502 Bad Gateway", {}, False, "answered 502 instead of 200: welcome home"),
        ("301 Moved\r\nLocation: /x", {"status": 301}, True, "answered 301"),
    ],
)
async def test_http(look: Look, guest: Sshd, answer: str, wanted: Mapping[str, object], ok: bool, detail: str) -> None:
    async with page(guest.address, answer) as port:
        result = await look({"http": {"port": port, **wanted}})
    assert (result.ok, result.detail) == (ok, detail)


async def test_a_page_that_never_comes(look: Look, guest: Sshd) -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silence, guest.address, 0)
    port = server.sockets[0].getsockname()[1]
    result = await look({"http": {"port": port}, "timeout": 0.3})
    server.close()
    assert (result.ok, result.detail) == (False, "no answer within 0.3 seconds")


@pytest.mark.parametrize(
    ("command", "ok", "detail"),
    [
        ("echo a; echo b", True, "b"),
        ("true", True, "ended with status 0"),
        ("echo why >&2; exit 4", False, "ended with status 4: why"),
        ("test 'it''s' = \"its\"", True, "ended with status 0"),
    ],
)
async def test_a_command_in_the_guest(look: Look, command: str, ok: bool, detail: str) -> None:
    result = await look({"command": command, "name": "mine"})
    assert result == CheckResult("mine", ok, detail)


SYSTEMCTL = """#!/bin/sh
for unit do :; done
case $unit in
  nginx) printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\nResult=success\\n' ;;
  app) printf 'LoadState=loaded\\nActiveState=failed\\nSubState=failed\\nResult=exit-code\\n' ;;
  *) printf 'LoadState=not-found\\nActiveState=inactive\\nSubState=dead\\nResult=success\\n' ;;
esac
"""


@pytest.mark.parametrize(
    ("unit", "ok", "detail"),
    [
        ("nginx", True, "active (running)"),
        ("app", False, "failed (failed), result: exit-code"),
        ("gone", False, "there is no such unit"),
    ],
)
async def test_units_as_systemctl_shows_them(guest: Sshd, look: Look, unit: str, ok: bool, detail: str) -> None:
    systemctl = guest.directory / "bin/systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    assert await look({"systemd": unit}) == CheckResult(f"systemd {unit}", ok, detail)


async def test_a_guest_that_cannot_be_entered_still_has_its_other_checks(guest: Sshd, tmp_path: Path) -> None:
    guest.allow()
    insides = Insides({}, tmp_path / "data", Bounds(refused=0.1))
    item = inside(tmp_path, health=[{"tcp": 22}, {"systemd": "nginx"}])
    opened, unit = await insides.check(item, target(tmp_path, guest.address))
    assert opened.ok
    assert not unit.ok
    assert "refuses to let root sign in" in unit.detail


async def test_a_guest_without_address_and_way_in(insides: Insides, tmp_path: Path) -> None:
    results = await insides.check(inside(tmp_path, health=[{"tcp": 22}]), target(tmp_path, None))
    assert not results[0].ok
    assert "has no address" in results[0].detail


async def test_ports_of_a_guest_behind_its_node_are_reached_through_it(
    guest: Sshd, another_sshd: Sshd, insides: Insides, tmp_path: Path
) -> None:
    another_sshd.allow(*insides.authorized_keys("home"))
    at = target(tmp_path, guest.address, {"hosts": {"pve": another_sshd.address}, "jump": True})
    async with page("127.0.0.1", body="echo") as port:
        item = inside(tmp_path, health=[{"http": {"port": port, "contains": f"Host: {guest.address}:{port}"}}])
        results = await insides.check(item, at)
    assert results[0].ok, results[0].detail
