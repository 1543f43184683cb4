"""Webhooks over the wire: bounded, proved before anything is read, and only ever a hint."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from innkeeper.sources import webhooks
from innkeeper.web.hearing import Heard, Hooks
from tests.innkeeper.web.serving import Served, serving, source

SECRET = "the-webhook-secret"
COMMIT = "1f" * 20
SOURCES = (source("lab"), source("other", url="https://git.example.org/other.git"))


def heard(said: webhooks.Hint | webhooks.Ignored | webhooks.Refused) -> Heard:
    if isinstance(said, webhooks.Hint):
        return Heard(hint=said)
    return Heard(cause=said.cause if isinstance(said, webhooks.Refused) else "", reason=said.reason)


SPECS = {item.name: item.spec for item in SOURCES}
HOOKS = Hooks(
    receive=lambda name, headers, body: heard(webhooks.receive(headers, body, SECRET, SPECS[name])),
    addressed=lambda headers, body: {
        name: heard(said)
        for name, said in webhooks.addressed(
            headers, body, {name: (spec, SECRET) for name, spec in SPECS.items()}
        ).items()
    },
)


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path, sources=SOURCES, hooks=HOOKS) as served:
        yield served


def push(branch: str = "main", after: str = COMMIT, repository: str = "lab") -> bytes:
    said = {"ref": f"refs/heads/{branch}", "before": "2e" * 20, "after": after}
    url = f"https://git.example.org/{repository}.git"
    return json.dumps(said | {"repository": {"clone_url": url, "full_name": repository}}).encode()


def signed(body: bytes, delivery: str = "d-1", secret: str = SECRET) -> Mapping[str, str]:
    return {
        "content-type": "application/json",
        "x-github-event": "push",
        "x-github-delivery": delivery,
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


async def test_a_genuine_push_becomes_one_job(portal: Served) -> None:
    forge = portal.browser()
    body = push()
    answer = await forge.post("/hooks/lab", content=body, headers=signed(body))
    assert answer.status_code == 202
    job = (await portal.store.jobs())[0]
    assert answer.json() == {"job": job.id, "reason": "accepted"}
    assert (job.request.type, job.request.source, job.request.trigger) == ("sync", "lab", "webhook")
    assert job.request.revision == "", "a hint names the moment, never the commit"

    replayed = await forge.post("/hooks/lab", content=body, headers=signed(body))
    assert (replayed.status_code, replayed.json()["job"]) == (200, None)
    assert len(await portal.store.jobs()) == 1


ELSE: Mapping[str, tuple[bytes, Mapping[str, str], int]] = {
    "unsigned": (push(), {"x-github-event": "push"}, 401),
    "signed with another secret": (push(), signed(push(), secret="guessed"), 401),
    "altered": (push(), signed(push(after="3a" * 20)), 401),
    "no json": (b"{not json", signed(b"{not json"), 400),
    "no text": (b"\xff\xfe" * 100, signed(b"\xff\xfe" * 100), 400),
    "deep": (b"[" * 100_000, signed(b"[" * 100_000), 400),
    "another repository": (push(repository="evil"), signed(push(repository="evil")), 403),
    "another branch": (push(branch="feature"), signed(push(branch="feature")), 200),
    "a branch that was deleted": (push(after="0" * 40), signed(push(after="0" * 40)), 200),
}


async def test_everything_else_makes_no_job_and_says_why(portal: Served) -> None:
    forge = portal.browser(accept="*/*")
    for what, (body, headers, status) in ELSE.items():
        answer = await forge.post("/hooks/lab", content=body, headers=headers)
        assert answer.status_code == status, f"{what}: {answer.text}"
        assert answer.json().get("reason") or answer.json().get("message"), what
    assert not await portal.store.jobs()


async def test_a_source_that_is_not_there_is_told_without_more(portal: Served) -> None:
    answer = await portal.browser(accept="*/*").post("/hooks/nobody", content=push(), headers=signed(push()))
    assert (answer.status_code, answer.json()["error"]) == (404, "NotFound")


async def test_whoever_signs_wrongly_is_slowed_down_and_nobody_else(portal: Served) -> None:
    portal.clock.stopped = portal.clock()
    forge = portal.browser(accept="*/*")
    bad = [await forge.post("/hooks/lab", content=push(), headers=signed(push(), secret="no")) for _ in range(31)]
    assert [answer.status_code for answer in bad] == [401] * 30 + [429]


async def test_proxnix_listens_at_another_address(portal: Served) -> None:
    forge = portal.browser(accept="*/*")
    body = push()
    answer = await forge.post("/whlisten", content=body, headers=signed(body))
    assert answer.status_code == 200
    assert set(answer.json()) == {"lab"}, "only the source whose repository it is"
    assert [job.request.source for job in await portal.store.jobs()] == ["lab"]
    assert (await forge.post("/whlisten", content=body)).status_code == 400


async def test_a_giant_is_refused_while_it_streams(portal: Served) -> None:
    """Neither what it announces nor what it sends is ever held whole."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 << 20:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    browser = portal.browser(accept="*/*")
    with suppress(httpx2.WriteError, httpx2.ReadError):  # the server may hang up before its answer is read
        answer = await browser.post("/hooks/lab", content=endless(), headers={"x-github-event": "push"})
        assert answer.status_code == 413
    assert sent < 16 << 20, "it went on reading"

    host, port = portal.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /hooks/lab HTTP/1.1\r\nhost: x\r\ncontent-length: 1073741824\r\n\r\n")
    await writer.drain()
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5), "before any of the body came"
    writer.close()
