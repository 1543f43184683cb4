"""Signing in, endpoints in turn, reads that are repeated and writes that never are."""

import asyncio
from typing import Any

import pytest

from innkeeper.engine.errors import EngineError, Stalled, Uncertain, Waiting
from innkeeper.model.plan import Operation
from innkeeper.proxmox import connections
from innkeeper.proxmox.session import PER_NODE, Session
from tests.innkeeper.proxmox.conftest import PASSWORD, SECRET, Lab

POOL = Operation("creating", "POST", "/pools", (("poolid", "apps"),))
LOGIN = {"username": "ops@pve", "password": {"env": "PVE_PASSWORD"}}
quiet: Any = lambda text: None  # noqa: E731


async def test_the_next_endpoint_when_one_is_down(lab: Lab) -> None:
    proxmox = lab.proxmox(endpoints=["https://127.0.0.1:1", *lab.urls.values()])
    await proxmox.poll()
    await proxmox.call(POOL, "", quiet)
    assert proxmox.session.endpoint.url == next(iter(lab.urls.values()))
    assert (proxmox.reads, proxmox.writes) == (1, 1)


async def test_an_endpoint_that_dies_meanwhile(lab: Lab) -> None:
    proxmox = lab.proxmox(endpoints=list(lab.urls.values()))
    await proxmox.poll()
    lab.faults("down: [pve1]")
    before = await proxmox.poll()
    assert proxmox.session.endpoint.url == lab.urls["pve2"]
    assert before


async def test_a_wrong_token_names_no_secret(lab: Lab) -> None:
    with pytest.raises(Stalled, match="root@pam!full is not let in"):
        await lab.proxmox({"PVE_TOKEN": "wrong-canary"}).poll()


async def test_a_ticket_with_its_csrf_token(lab: Lab) -> None:
    proxmox = lab.proxmox(credentials=LOGIN)
    await proxmox.poll()
    with pytest.raises(Stalled, match=r"ops@pve lacks Pool\.Allocate on /pool/apps"):
        await proxmox.call(POOL, "", quiet)
    assert [call["path"] for call in lab.calls()].count("/access/ticket") == 1


async def test_a_wrong_password(lab: Lab) -> None:
    with pytest.raises(Stalled, match="ops@pve is not let in"):
        await lab.proxmox({"PVE_PASSWORD": "wrong"}, credentials=LOGIN).poll()


async def test_a_ticket_is_renewed_by_the_old_one_before_it_ends(lab: Lab) -> None:
    proxmox = lab.proxmox(credentials=LOGIN)
    now = 0.0
    proxmox.session._clock = lambda: now
    await proxmox.poll()
    first = proxmox.session._ticket
    now = 3599.0
    await proxmox.poll()
    assert proxmox.session._ticket is first
    now = 3601.0
    lab.faults("rules: [{on: {path: /nosuch}, do: drop}]")
    await asyncio.gather(*(proxmox.poll() for _ in range(8)))
    assert [call["path"] for call in lab.calls()].count("/access/ticket") == 2


async def test_a_ticket_that_is_refused_is_bought_anew(lab: Lab) -> None:
    proxmox = lab.proxmox(credentials=LOGIN)
    await proxmox.poll()
    proxmox.session._sign([(b"Cookie", b"PVEAuthCookie=PVE:ops@pve:00000000::bm9uc2Vuc2U=")], [])
    await proxmox.poll()
    assert [call["path"] for call in lab.calls()].count("/access/ticket") == 2


@pytest.mark.parametrize(
    "trouble", ["do: drop", "do: status, status: 596", "do: status, status: 502", "do: lose-answer"]
)
async def test_a_read_without_an_answer_is_repeated(lab: Lab, trouble: str) -> None:
    lab.faults(f"rules: [{{on: {{method: GET}}, times: 2, {trouble}}}]")
    proxmox = lab.proxmox()
    assert await proxmox.poll()
    assert proxmox.reads == 3


async def test_a_read_gives_up_in_the_end(lab: Lab) -> None:
    lab.faults("rules: [{on: {method: GET}, times: 0, do: drop}]")
    with pytest.raises(Waiting, match="GET /cluster/resources: the connection broke"):
        await lab.proxmox().poll()


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ("do: lose-answer", Uncertain),
        ("do: drop", Uncertain),
        ("do: status, status: 599", Uncertain),
        ("do: status, status: 596, effect: true", Uncertain),
        ("do: status, status: 595, reason: No route to host", Waiting),
        ("do: quorum-lost", Waiting),
    ],
)
async def test_a_write_is_sent_once(lab: Lab, trouble: str, kind: type[EngineError]) -> None:
    lab.faults(f"rules: [{{on: {{method: POST}}, times: 1, {trouble}}}]")
    proxmox = lab.proxmox()
    with pytest.raises(kind):
        await proxmox.call(POOL, "", quiet)
    assert proxmox.writes == 1
    assert sum(call["method"] == "POST" for call in lab.calls()) == 1


async def test_an_answer_that_does_not_come_in_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"timeout": {**connections._PATIENCE["timeout"], "read": 0.3}}
    monkeypatch.setattr(connections, "_PATIENCE", limits)
    lab.faults("rules: [{on: {method: POST}, do: timeout, seconds: 2}]")
    with pytest.raises(Uncertain, match="no answer in time"):
        await lab.proxmox().call(POOL, "", quiet)


async def test_four_calls_at_once_per_node(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    running = most = 0
    send = Session._send

    async def counted(self: Session, *rest: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await send(self, *rest)
        finally:
            running -= 1

    monkeypatch.setattr(Session, "_send", counted)
    proxmox = lab.proxmox()
    await asyncio.gather(*(proxmox.session.get("/nodes/pve1/status", "pve1") for _ in range(40)))
    assert most == PER_NODE


async def test_more_than_a_hundred_calls_on_a_connection(lab: Lab) -> None:
    proxmox = lab.proxmox()
    for _ in range(230):
        await proxmox.session.get("/version")
    assert proxmox.reads == 230


async def test_no_secret_anywhere(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, neither a log at its most talkative nor an exception with its causes tells a secret."""
    caplog.set_level(0)
    errors: list[BaseException] = []
    for credentials in ({"tokenID": "root@pam!full", "tokenSecret": {"env": "PVE_TOKEN"}}, LOGIN):
        proxmox = lab.proxmox(credentials=credentials)
        await proxmox.poll()
        secrets = {SECRET, PASSWORD, *proxmox.session._secrets}
        for trouble in ("drop", "lose-answer", "status", "quorum-lost"):
            lab.faults(f"rules: [{{on: {{path: /pools}}, times: 9, do: {trouble}}}]")
            for call in (proxmox.call(POOL, "", quiet), proxmox.session.get("/pools")):
                try:
                    await call
                except EngineError as error:
                    errors.append(error)
        lab.faults("{}")
        shown = [caplog.text, repr(proxmox), repr(proxmox.session), str(vars(proxmox.session.identity.__class__))]
        shown += [told for error in errors for told in every(error)]
        assert len(errors) >= 6
        for secret in secrets:
            assert not [text for text in shown if secret in text]


def every(error: BaseException | None) -> list[str]:
    """Texts of an exception, of its causes, and of the values in the frames that it keeps."""
    if error is None:
        return []
    told = [repr(error), str(error), str(vars(error))]
    return told + every(error.__cause__) + every(error.__context__)
