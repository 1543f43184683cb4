"""`innkeeper serve` as it is deployed, over a simulated cluster: the whole way, and no secret anywhere on it."""

import asyncio
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.innkeeper.web.serving import form_token
from tests.pvesim import running

PASSWORD = "canary-password-7f3a"
HOOK, OIDC = "canary-webhook-51c2", "canary-oidc-9e0b"
CONFIG = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: lab}}
spec:
  endpoints: [{endpoint}]
  tls: {{caFile: {cafile}}}
  credentials: {{tokenID: "root@pam!full", tokenSecret: {{env: LAB_SECRET}}}}
  defaults: {{storage: btr, bridge: vmbr0, template: debian-12}}
---
apiVersion: innkeeper.dev/v1alpha1
kind: Source
metadata: {{name: lab}}
spec:
  url: {url}
  webhook: {{secret: {{file: hook}}}}
---
apiVersion: innkeeper.dev/v1alpha1
kind: Server
metadata: {{name: innkeeper}}
spec:
  signIn:
    oidc:
      - {{name: forge, issuer: "http://127.0.0.1:1", clientID: innkeeper, clientSecret: {{file: oidc}}}}
"""
WEB = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: web}
spec: {vmid: 101, node: pve, memory: 512Mi, rootDisk: {size: 4Gi}}
"""


@dataclass
class Deployed:
    """A server that runs, and what it wrote to its log so far."""

    process: asyncio.subprocess.Process
    url: str
    setup: str
    log: Path
    environment: dict[str, str]

    async def innkeeper(self, token: str, *words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "innkeeper", "--server", self.url, *words,
            env=self.environment | {"INNKEEPER_TOKEN": token},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return process.returncode, out.decode()


def repository(place: Path) -> str:
    """A bare repository that declares one container."""
    bare, work = place / "lab.git", place / "work"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    subprocess.run(["git", "clone", "-q", str(bare), str(work)], check=True, capture_output=True)
    (work / "web.yaml").write_text(WEB)
    for words in (
        ["add", "-A"],
        ["-c", "user.name=Ada", "-c", "user.email=a@example.org", "commit", "-qm", "web"],
        ["push", "-q", "origin", "HEAD:main"],
    ):
        subprocess.run(["git", "-C", str(work), *words], check=True, capture_output=True)
    return str(bare)


@asynccontextmanager
async def deployed(place: Path, sim: running.Sim) -> AsyncIterator[Deployed]:
    config = place / "config"
    config.mkdir()
    endpoint = next(iter(sim.urls.values()))
    (config / "all.yaml").write_text(CONFIG.format(endpoint=endpoint, cafile=sim.cafile, url=repository(place)))
    (config / "hook").write_text(HOOK)
    (config / "oidc").write_text(OIDC)
    log, secret = place / "log", sim.tokens["root@pam!full"]
    kept = {"PATH": os.environ["PATH"], "HOME": str(place), "COLUMNS": "200"}
    with log.open("w") as stream:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "innkeeper", "serve",
            "--listen", "127.0.0.1:0", "--data", str(place / "data"), "--config", str(config),
            env=kept | {"LAB_SECRET": secret}, stdout=asyncio.subprocess.PIPE, stderr=stream,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), 60)
            assert line, log.read_text()
            ready = json.loads(line)
            yield Deployed(process, ready["url"], ready["setup"], log, kept)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def crawled(client: httpx2.AsyncClient) -> str:
    """Every page and every answer that can be got at, by the links of the pages and the API's own document."""
    found: list[str] = []
    waiting, seen = ["/", "/settings", "/metrics", "/api/v1/openapi.json"], set[str]()
    document = (await client.get("/api/v1/openapi.json")).json()
    values = {"source": "lab", "kind": "Container", "name": "web", "job": "1", "cluster": "lab"}
    waiting += [path.format(**values) for path, methods in document["paths"].items() if "get" in methods]
    while waiting:
        path = waiting.pop()
        if path in seen or path.endswith("/follow") or len(seen) > 80:
            continue
        seen.add(path)
        answer = await client.get(path, headers={"accept": "*/*" if path.startswith("/api/") else "text/html"})
        assert answer.status_code < 500, f"{path}: {answer.text}"
        found.append(f"{answer.headers}\n{answer.text}")
        if not path.startswith("/api/"):
            waiting += [link for link in re.findall(r'href="(/[^"#]*)"', answer.text) if not link.startswith("/static")]
    assert len(seen) > 25
    return "\n".join(found)


async def test_the_whole_way_without_a_secret_on_it(tmp_path: Path) -> None:
    sim = running.start(tmp_path, running.ONE_NODE)
    secrets = [sim.tokens["root@pam!full"], HOOK, OIDC, PASSWORD]
    try:
        async with deployed(tmp_path, sim) as server:
            async with httpx2.AsyncClient(base_url=server.url, timeout=30, headers={"accept": "text/html"}) as browser:
                csrf = await form_token(browser, server.setup.removeprefix(server.url))
                link = server.setup.partition("secret=")[2]
                form = {"secret": link, "name": "ada", "password": PASSWORD, "csrf": csrf}
                assert (await browser.post("/setup", data=form)).status_code == 303
                csrf = await form_token(browser, "/settings")
                wish = {"name": "cli", "role": "operator"}
                made = await browser.post("/api/v1/tokens", json=wish, headers={"x-csrf-token": csrf})
                token = made.json()["secret"]

                status, out = await server.innkeeper(token, "sync", "lab", "--follow")
                assert status == 0 and "succeeded" in out, out
                status, out = await server.innkeeper(token, "status")
                assert status == 0 and re.search(r"Container/web +101 +pve +Synced", out), out
                assert sim.call("GET", "/nodes/pve/lxc/101/config").data["hostname"] == "web"

                body = b'{"ref": "refs/heads/main"}'
                proof = "sha256=" + hmac.new(HOOK.encode(), body, hashlib.sha256).hexdigest()
                signed = {"x-innkeeper-signature-256": proof, "content-type": "application/json", "accept": "*/*"}
                assert (await browser.post("/hooks/lab", content=body, headers=signed)).status_code == 202
                assert (await browser.post("/hooks/lab", content=body)).status_code == 401
                assert (await browser.get("/sign-in/forge")).status_code == 503

                shown = await crawled(browser)
                assert 'proxmox_operator_api_requests_total{endpoint="' in shown
                assert 'proxmox_cluster_connection_status{cluster="lab"} 1.0' in shown
                cookie = browser.cookies["innkeeper-session"]
            server.process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(server.process.wait(), 30) == 0
            log = server.log.read_text()
    finally:
        sim.stop()
    assert [secret for secret in [*secrets, token, cookie, link] if secret in shown] == []
    assert [secret for secret in [*secrets, token, cookie, link] if secret in log] == []
    lines = [json.loads(line) for line in log.splitlines()]
    assert "Traceback" not in log
    assert {line["path"] for line in lines if line["event"] == "request"} >= {"/setup", "/hooks/lab", "/metrics"}
