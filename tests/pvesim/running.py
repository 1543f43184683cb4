"""A real `pvesim` process and a plain client for it."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

SECRET = "11111111-1111-4111-8111-111111111111"
ALICE = "22222222-2222-4222-8222-222222222222"
ONE_NODE: dict[str, Any] = {
    "version": "9.1.9",
    "nodes": [{"name": "pve", "cpus": 2, "memory": "24Gi"}],
    "bridges": ["vmbr0"],
    "storages": [
        {
            "storage": "local",
            "type": "dir",
            "path": "/var/lib/vz",
            "content": ["iso", "vztmpl", "backup", "images", "rootdir", "snippets", "import"],
        },
        {"storage": "btr", "type": "btrfs", "path": "/var/lib/btrfs", "content": ["images", "rootdir"]},
    ],
    "volumes": [{"volid": "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", "size": 60000000}],
    "users": [{"userid": "alice@pve", "password": "alicepass1"}],
    "tokens": [
        {"tokenid": "root@pam!full", "privsep": False, "value": SECRET},
        {"tokenid": "alice@pve!sep", "privsep": True, "value": ALICE},
        {"tokenid": "alice@pve!nosep", "privsep": False, "value": ALICE},
    ],
}
THREE_NODES: dict[str, Any] = ONE_NODE | {
    "cluster": {"name": "sim"},
    "nodes": [{"name": f"pve{n}", "cpus": 2, "memory": "24Gi", "address": f"10.98.0.1{n}"} for n in (1, 2, 3)],
    "storages": [
        *ONE_NODE["storages"],
        {
            "storage": "nas",
            "type": "dir",
            "path": "/var/shared",
            "shared": True,
            "content": ["images", "rootdir", "backup", "iso"],
        },
    ],
}
TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"


@dataclass(frozen=True)
class Reply:
    """What came back; `body` is the JSON or, where there was none, the text."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: Any

    @property
    def data(self) -> Any:
        assert self.status == 200, f"{self.status} {self.reason} {self.body}"
        return self.body["data"]

    @property
    def message(self) -> str:
        return str(self.body.get("message") or "").strip() if isinstance(self.body, dict) else ""

    @property
    def errors(self) -> dict[str, str]:
        return dict(self.body.get("errors") or {}) if isinstance(self.body, dict) else {}


@dataclass
class Sim:
    """One process; ends when its standard input closes, or by `stop`."""

    process: subprocess.Popen[str]
    urls: dict[str, str]
    cafile: str
    tokens: dict[str, str]
    log: Path
    ready: Mapping[str, Any] = field(default_factory=dict)  # the whole ready line
    tls: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self.tls = ssl.create_default_context(cafile=self.cafile)

    def connect(self, node: str | None = None) -> http.client.HTTPSConnection:
        """A connection to the API of `node` (default: the first)."""
        host, _, port = (self.urls[node] if node else next(iter(self.urls.values()))).rpartition("/")[2].partition(":")
        return http.client.HTTPSConnection(host, int(port), context=self.tls, timeout=30)

    def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        token: str | None = "root@pam!full",
        node: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        prefix: str = "/api2/json",
        connection: http.client.HTTPSConnection | None = None,
    ) -> Reply:
        """One call, on `connection` or one of its own; `params` as a form, or as a query of GET and DELETE."""
        sent = dict(headers or {})
        if token:
            sent["Authorization"] = f"PVEAPIToken={token}={self.tokens[token]}"
        target = prefix + quote(path, safe="/?&=;%:!@,")
        if params is not None and method in {"GET", "DELETE"}:
            target += "?" + urlencode(params, doseq=True)
        elif params is not None:
            body = urlencode(params, doseq=True).encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        used = connection or self.connect(node)
        try:
            used.request(method, target, body, sent)
            answer = used.getresponse()
            text = answer.read().decode()
        finally:
            if connection is None:
                used.close()
        try:
            found = json.loads(text) if text else ""
        except ValueError:
            found = text
        return Reply(answer.status, answer.reason, {key.lower(): value for key, value in answer.getheaders()}, found)

    def task(self, upid: str) -> str:
        """Wait for a task; its exit status."""
        path = f"/nodes/{upid.split(':')[1]}/tasks/{quote(upid, safe='')}/status"
        for _ in range(600):
            status = self.call("GET", path).data
            if status["status"] == "stopped":
                return str(status["exitstatus"])
            time.sleep(0.05)
        raise AssertionError(f"{upid} does not end")

    def do(self, method: str, path: str, params: Mapping[str, Any] | None = None) -> str:
        """A call that starts a task, and its exit status."""
        return self.task(self.call(method, path, params).data)

    def calls(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> int:
        """End it; its exit status."""
        self.process.terminate()
        status = self.process.wait(10)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()
        return status


def start(folder: Path, seed: Mapping[str, Any] | None = None, *options: str) -> Sim:
    """Start a process with `seed` on free ports; `folder` takes the seed and the log."""
    arguments = [sys.executable, "-m", "pvesim", "--port", "0", "--exit-on-eof", "--log", str(folder / "calls.jsonl")]
    if seed is not None:
        file = folder / "seed.yaml"
        file.write_text(json.dumps(seed))  # JSON is YAML
        arguments += ["--seed", str(file)]
    process = subprocess.Popen(
        [*arguments, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        _, errors = process.communicate()
        raise AssertionError(f"pvesim did not start: {errors}")
    ready = json.loads(line)
    return Sim(process, ready["nodes"], ready["cafile"], ready["tokens"], folder / "calls.jsonl", ready)
