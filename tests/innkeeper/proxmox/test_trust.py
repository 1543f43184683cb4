"""Nobody but the one we believe in gets the token."""

import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.engine.ports import Scope
from innkeeper.proxmox.connections import Connections
from innkeeper.proxmox.tls import fingerprint, parse_endpoint, presented
from tests.innkeeper.proxmox.conftest import Lab


async def leaf(lab: Lab) -> str:
    return fingerprint(await presented(parse_endpoint(next(iter(lab.urls.values())))))


async def test_a_ca_file_beside_the_manifest(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").symlink_to(lab.cafile)
    view = await lab.proxmox(directory=tmp_path, tls={"caFile": "ca.pem"}).observe(Scope())
    assert view.version == (9, 1)


async def test_a_pinned_certificate(lab: Lab) -> None:
    proxmox = lab.proxmox(tls={"fingerprint": (await leaf(lab)).lower()})
    assert (await proxmox.observe(Scope())).version == (9, 1)
    context = await proxmox.session.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


async def test_another_certificate_than_the_pinned_one_gets_nothing(lab: Lab) -> None:
    wrong = "00:" * 31 + "00"
    with pytest.raises(Stalled, match=re.escape(await leaf(lab))):
        await lab.proxmox(tls={"fingerprint": wrong}).observe(Scope())
    assert lab.calls() == []


async def test_a_changed_certificate_is_refused_by_the_pinned_context(lab: Lab, new_lab: Callable[..., Lab]) -> None:
    other = new_lab()
    proxmox = lab.proxmox(tls={"fingerprint": await leaf(lab)})
    await proxmox.poll()
    line = proxmox.session._lines[0]
    assert line.connections is not None
    await line.connections.close()
    line.endpoint = parse_endpoint(next(iter(other.urls.values())))
    line.connections = Connections(line.endpoint, await proxmox.session.context())
    with pytest.raises(Stalled, match="certificate"):
        await proxmox.poll()
    assert other.calls() == []


async def test_an_unknown_ca_shows_the_fingerprint_and_the_line_to_write(lab: Lab) -> None:
    with pytest.raises(Stalled) as caught:
        await lab.proxmox(tls={}).observe(Scope())
    assert f"tls: {{fingerprint: {await leaf(lab)}}}" in caught.value.advice
    assert "that this machine trusts" in caught.value.message
    assert lab.calls() == []


async def test_insecure_is_warned_about(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    proxmox = lab.proxmox(tls={"insecure": True})
    assert [item.code for item in proxmox.diagnostics] == ["InsecureTLS"]
    assert "insecure: true" in caplog.text
    assert (await proxmox.observe(Scope())).version == (9, 1)


@pytest.mark.parametrize("content", [None, "not a certificate"])
async def test_a_ca_file_that_is_none(lab: Lab, tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(Stalled, match=r"tls\.caFile: .*ca\.pem"):
        await lab.proxmox(directory=tmp_path, tls={"caFile": "ca.pem"}).observe(Scope())


async def test_nobody_there(lab: Lab) -> None:
    with pytest.raises(Waiting, match=r"no endpoint of cluster lab can be reached: https://127\.0\.0\.1:1"):
        await lab.proxmox(endpoints=["https://127.0.0.1:1"]).observe(Scope())
