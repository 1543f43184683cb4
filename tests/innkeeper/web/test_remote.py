"""The command line against a real server: what people and programs see."""

import asyncio
import json
import re
import ssl
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import trustme
from syrupy.assertion import SnapshotAssertion

from innkeeper.model.jobs import Request
from innkeeper.model.objects import Ref
from innkeeper.model.records import GuestRecord, Role
from innkeeper.model.status import Condition
from tests.innkeeper.web.serving import PASSWORD, Served, sign_in

STEP = {
    "action": "replace",
    "kind": "Container",
    "name": "web",
    "cluster": "lab",
    "node": "pve1",
    "vmid": 101,
    "impact": "data-loss",
    "changes": [{"field": "rootDisk.size", "from": "8Gi", "to": "4Gi"}],
    "reason": "a disk cannot shrink",
    "needs": [],
}
DIGEST = "ab" * 32


@dataclass
class Desk:
    """A person's terminal."""

    home: Path
    url: str
    token: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    async def innkeeper(self, *words: str, stdin: str = "") -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        told = {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "COLUMNS": "120", "INNKEEPER_SERVER": self.url}
        told |= {"INNKEEPER_TOKEN": self.token} if self.token else {}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "innkeeper", *words,
            env=told | self.environment, cwd=self.home,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = (text.decode() for text in await asyncio.wait_for(process.communicate(stdin.encode()), 30))
        assert "Traceback" not in err, err
        assert not self.token or self.token not in out + err, "a secret is shown"
        assert process.returncode is not None
        return process.returncode, self.mask(out), self.mask(err)

    def mask(self, text: str) -> str:
        text = text.replace(self.url, "https://portal").replace(str(self.home), "HOME")
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "TIME", text)
        return re.sub(r"^\d\d:\d\d:\d\d", "TIME", text, flags=re.MULTILINE)


async def desk_of(portal: Served, home: Path, role: Role) -> Desk:
    user = await portal.user(f"ada-{role}", role)
    _, secret = await portal.accounts.add_token(user, "cli", role)
    return Desk(home, portal.url, secret)


async def waiting_job(portal: Served) -> int:
    job = await portal.store.add_job(Request("sync", "lab", actor="ada"))
    result: dict[str, Any] = {"steps": [STEP], "digest": DIGEST}
    await portal.store.update_job(
        job.id, ("pending",), state="waiting", digest=DIGEST, result=result, summary="1 to replace", revision="1f" * 20
    )
    await portal.store.log(job.id, "info", "fetched 1f1f1f1f")
    await portal.store.log(job.id, "warning", "a disk shrinks", guest="Container/web", phase="plan")
    return job.id


async def test_what_people_see(portal: Served, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    desk = await desk_of(portal, tmp_path, "operator")
    pending = Condition("PendingReboot", "True", "MemoryWaits", "memory is in effect after a restart")
    db = GuestRecord("lab", Ref("Container", "db"), "lab", "pve1", 100, "db", "", "Synced", "Healthy", "running", "1f")
    web = replace(db, ref=Ref("Container", "web"), vmid=101, sync="OutOfSync", health="Degraded", conditions=(pending,))
    records = (db, web)
    await portal.store.put_guests("lab", records, whole=True)
    number = await waiting_job(portal)
    said = {
        "status": await desk.innkeeper("status"),
        "jobs": await desk.innkeeper("jobs"),
        "job": await desk.innkeeper("job", str(number)),
        "logs": await desk.innkeeper("logs", str(number)),
        "sync": await desk.innkeeper("sync", "lab"),
        "cancel": await desk.innkeeper("cancel", str(number)),
        "nothing": await desk.innkeeper("job", "77"),
    }
    assert {name: status for name, (status, _, _) in said.items()} == dict.fromkeys(said, 0) | {"nothing": 1}
    assert "\n".join(f"$ {name}\n{out}{err}" for name, (_, out, err) in said.items()) == snapshot
    status, out, _ = await desk.innkeeper("status", "-o", "json")
    assert status == 0 and [guest["sync"] for guest in json.loads(out)["guests"]] == ["Synced", "OutOfSync"]


async def test_an_approval_names_what_is_destroyed(portal: Served, tmp_path: Path) -> None:
    desk = await desk_of(portal, tmp_path, "operator")
    number = str(await waiting_job(portal))
    status, out, err = await desk.innkeeper("approve", number, stdin="wrong\ny\n")
    assert status == 1 and "This destroys web" in out and "Type the name" in err
    status, _, err = await desk.innkeeper("approve", number, stdin="web\nn\n")
    assert (status, err) == (1, "Nothing was done.\n")
    status, _, err = await desk.innkeeper("approve", number, "--yes", "--destroy", "web", "--digest", "cd" * 32)
    assert status == 1 and "the plan has changed" in err
    status, _, _ = await desk.innkeeper("approve", number, stdin="web\ny\n")
    assert status == 0
    job = await portal.store.job(int(number))
    assert job is not None and (job.state, job.approved_by) == ("pending", "ada-operator")
    status, out, err = await desk.innkeeper("approve", number, stdin="web\ny\n")
    assert (status, out) == (1, "") and "does not wait for an approval: it is pending" in err


async def test_a_rollback_names_what_is_taken_back(portal: Served, tmp_path: Path) -> None:
    desk = await desk_of(portal, tmp_path, "operator")
    job = await portal.store.add_job(Request("rollback", "lab", payload={"branch": "rollback"}))
    result: dict[str, Any] = {"steps": [], "digest": DIGEST, "restored": ["web"]}
    await portal.store.update_job(job.id, ("pending",), state="waiting", digest=DIGEST, result=result)
    browser = await portal.signed_in("grace", "operator")
    page = (await browser.get(f"/jobs/{job.id}/plan")).text
    assert "This takes 1 guest back to a snapshot." in page and "Type <code>web</code> to confirm" in page
    status, out, err = await desk.innkeeper("approve", str(job.id), stdin="db\ny\n")
    assert status == 1 and "This takes web back to a snapshot. Type its name:" in out
    assert "this takes web back to a snapshot" in err
    assert (await desk.innkeeper("approve", str(job.id), stdin="web\ny\n"))[0] == 0


async def test_what_a_rollback_holds_is_released(portal: Served, tmp_path: Path) -> None:
    desk = await desk_of(portal, tmp_path, "operator")
    await portal.store.put_source("lab", pinned="1f" * 20, error="the repository has no branch main")
    status, out, _ = await desk.innkeeper("status")
    assert status == 0 and "Source lab: the repository has no branch main\n" in out
    assert "Source lab is held at 1f1f1f1f1f1f since a rollback: innkeeper release lab\n" in out
    assert await desk.innkeeper("release", "lab") == (0, "lab follows main again.\n", "")
    assert (await portal.store.source("lab")).pinned == ""


async def test_following_ends_with_the_job(portal: Served, tmp_path: Path) -> None:
    desk = await desk_of(portal, tmp_path, "operator")
    following = asyncio.create_task(desk.innkeeper("sync", "lab", "--follow"))
    while not portal.queue.jobs:
        assert not following.done(), following.result()
        await asyncio.sleep(0.05)
    job = portal.queue.jobs[0]
    assert (job.request.trigger, job.request.actor) == ("cli", "ada-operator")
    await portal.store.log(job.id, "info", "creating", guest="Container/web")
    await portal.store.update_job(job.id, ("pending",), state="failed", error="the node is away")
    portal.parts.bus.tell("job", {"id": job.id, "state": "failed"})
    status, out, _ = await following
    assert status == 1 and "Container/web: creating" in out and "the node is away" in out


async def test_a_viewer_is_told_what_is_missing(portal: Served, tmp_path: Path) -> None:
    desk = await desk_of(portal, tmp_path, "viewer")
    status, _, err = await desk.innkeeper("sync", "lab")
    assert (status, err) == (
        1,
        "error: ada-viewer is a viewer; this needs an operator\n"
        "    ask an admin for the role, or use a token that has it\n",
    )
    assert not portal.queue.jobs


async def test_the_token_is_kept_for_its_owner_only(portal: Served, tmp_path: Path) -> None:
    desk = await desk_of(portal, tmp_path, "viewer")
    secret, desk.token = desk.token, ""
    status, _, err = await desk.innkeeper("jobs")
    assert status == 1 and "there is no token for" in err and "innkeeper login" in err
    status, out, _ = await desk.innkeeper("login", stdin=f"{secret}\n")
    assert status == 0 and "as ada-viewer, with the role viewer" in out and secret not in out
    file = tmp_path / ".config/innkeeper/tokens.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await desk.innkeeper("jobs"))[0] == 0
    file.chmod(0o644)
    status, _, err = await desk.innkeeper("jobs")
    assert status == 1 and "can be read by others" in err
    file.chmod(0o600)
    status, _, err = await desk.innkeeper("login", stdin="ink_wrong\n")
    assert status == 1 and "does not know this token" in err


async def test_the_first_admin_needs_no_browser(portal: Served, tmp_path: Path) -> None:
    link = f"{portal.url}/setup?secret={await portal.accounts.setup_secret()}"
    desk = Desk(tmp_path, portal.url)
    status, _, err = await desk.innkeeper("login", "--setup", link, stdin="ada\nshort\n")
    assert status == 1 and "A password has" in err and await portal.accounts.users() == ()
    status, _, err = await desk.innkeeper("login", "--setup", f"{link}x", stdin=f"ada\n{PASSWORD}\n")
    assert status == 1 and "not good any more" in err
    status, out, err = await desk.innkeeper("login", "--setup", link, stdin=f"ada\n{PASSWORD}\n")
    assert (status, err) == (0, "")
    assert "Signed in to https://portal as ada, with the role operator." in out and PASSWORD not in out
    assert [(user.name, user.role) for user in await portal.accounts.users()] == [("ada", "admin")]
    assert (await desk.innkeeper("jobs"))[0] == 0
    assert [entry.action for entry in await portal.store.audits()] == ["sign-out", "add token", "sign-in"]
    status, _, err = await desk.innkeeper("login", "--setup", link, stdin=f"eve\n{PASSWORD}\n")
    assert status == 1 and "not good any more" in err
    assert (await sign_in(portal.browser(), "ada")).status_code == 303, "the password is as it was given"
    status, _, err = await desk.innkeeper("login", "--setup", portal.url)
    assert status == 1 and "is not the link of a first start" in err


async def test_at_a_terminal_the_password_is_asked_twice_and_unseen(portal: Served, tmp_path: Path) -> None:
    link = f"{portal.url}/setup?secret={await portal.accounts.setup_secret()}"
    terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", terminal, sys.executable, "-m", "innkeeper", "login", "--setup", link,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, cwd=tmp_path,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    shown = b""
    for question, answer in (("Name: ", "ada"), ("Password: ", PASSWORD), ("Once more: ", PASSWORD)):
        shown += await asyncio.wait_for(process.stdout.readuntil(question.encode()), 30)
        process.stdin.write(f"{answer}\n".encode())
    shown += await asyncio.wait_for(process.stdout.read(), 30)
    assert await process.wait() == 0, shown
    assert b"Signed in to" in shown and PASSWORD.encode() not in shown
    assert [user.name for user in await portal.accounts.users()] == ["ada"]


async def test_what_cannot_be_asked_is_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "http://127.0.0.1:1", "ink_unused")
    status, _, err = await desk.innkeeper("jobs")
    assert status == 1 and "cannot be reached" in err
    desk.url = "http://innkeeper.example.org"
    assert "use https" in (await desk.innkeeper("jobs"))[2]


@contextmanager
def over_tls(home: Path) -> Iterator[str]:
    """A server with a certificate of an authority that nobody knows yet; `ca.pem` in `home` is the authority."""

    class Me(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"[]"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(home / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Me)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_a_strange_certificate_is_never_trusted(tmp_path: Path) -> None:
    with over_tls(tmp_path) as url:
        desk = Desk(tmp_path, url, "ink_unused")
        status, _, err = await desk.innkeeper("jobs")
        assert status == 1 and "is not trusted" in err and "--ca-file" in err
        status, _, err = await desk.innkeeper("jobs", "--ca-file", str(tmp_path / "ca.pem"))
        assert (status, err) == (0, "")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("innkeeper.web.api.jobs._PATIENCE", 0.2)
