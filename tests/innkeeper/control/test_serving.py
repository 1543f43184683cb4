"""The real command: what it says, what it refuses, what it never shows."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from innkeeper.engine.errors import Stalled
from innkeeper.serving.settings import read_settings
from innkeeper.serving.wiring import hooks

CANARY = "canary-0b9e3f55"
CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  endpoints: ["https://127.0.0.1:1"]
  credentials: {tokenID: "root@pam!full", tokenSecret: {env: CANARY}}
---
apiVersion: innkeeper.dev/v1alpha1
kind: Source
metadata: {name: home}
spec:
  url: http://127.0.0.1:1/home.git
  interval: 1s
  credentials: {username: ada, password: {env: CANARY}}
  webhook: {secret: {env: CANARY}}
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "innkeeper", "serve", "--listen", "127.0.0.1:0", *words]


@contextmanager
def serving(place: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    environ = {**os.environ, "CANARY": CANARY}
    with (
        (place / "log").open("w") as log,
        subprocess.Popen(
            command("--data", str(place / "data"), *words), stdout=subprocess.PIPE, stderr=log, text=True, env=environ
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, (place / "log").read_text()
            yield process, json.loads(line)
        finally:
            process.kill()


def accepted(url: str, number: int) -> int:
    """The job that a signed webhook led to."""
    body = json.dumps({"ref": "refs/heads/main", "after": f"{number:040x}"}).encode()
    proof = hmac.new(CANARY.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-Innkeeper-Signature-256": f"sha256={proof}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/hooks/home", body, headers), timeout=30) as answer:
        assert answer.status == 202
        return int(json.load(answer)["job"])


def test_what_a_webhook_was_promised_outlives_a_kill(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CLUSTER)
    with serving(tmp_path, "--config", str(config)) as (process, ready):
        with ThreadPoolExecutor(8) as senders:
            promised = set(senders.map(lambda number: accepted(ready["url"], number), range(1, 41)))
        process.kill()
    with serving(tmp_path, "--config", str(config)):
        deadline = time.monotonic() + 60
        while True:
            with closing(sqlite3.connect(tmp_path / "data" / "innkeeper.db")) as database:
                states = dict(database.execute("SELECT id, state FROM jobs").fetchall())
            assert promised <= states.keys()
            if {states[job] for job in promised} <= {"failed", "succeeded"}:
                return
            assert time.monotonic() < deadline, states
            time.sleep(0.2)


def test_it_says_where_it_is_and_ends_in_order(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, ready):
        assert set(ready) == {"url", "setup"}
        assert ready["setup"].startswith(f"{ready['url']}/setup?")
        with urllib.request.urlopen(f"{ready['url']}/healthz") as answer:
            assert answer.status == 200
        second = subprocess.run(
            command("--data", str(tmp_path / "data")), capture_output=True, text=True, timeout=60, check=False
        )
        assert second.returncode == 1
        assert "another Innkeeper works on" in second.stderr
        assert "Traceback" not in second.stderr
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert (tmp_path / "data" / "repositories" / "portal.git" / "HEAD").is_file()
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0, "nobody else reads it"


def test_a_hangup_lets_it_end_by_itself(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, _):
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 0


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    """Neither in the log, nor on disk, nor in what it answers, while everything that it reaches for is away."""
    (tmp_path / "config.yaml").write_text(CLUSTER)
    with serving(tmp_path, "--config", str(tmp_path / "config.yaml")) as (process, ready):
        time.sleep(4)  # several fetches and looks that fail
        request = urllib.request.Request(f"{ready['url']}/hooks/home", b"{}", {"X-Signature-256": "sha256=00"})
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            assert error.code in (401, 403)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    held = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert held == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: Source\n", "the configuration has"),
        (CLUSTER.replace("interval: 1s", "interval: soon"), "spec.interval"),
        (CLUSTER.replace("interval: 1s", "clusters: [lba]"), "there is no cluster lba"),
        (CLUSTER.replace("http://127.0.0.1:1", "https://ada:secret@git.example.org"), "spec.url"),
    ],
)
def test_a_faulty_configuration_is_not_guessed_at(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(Stalled, match=said):
        read_settings(tmp_path / "data", tmp_path / "config.yaml", "", {})


def test_a_webhook_whose_secret_is_missing_is_refused_without_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.yaml").write_text(CLUSTER.replace("secret: {env: CANARY}", "secret: {file: key}"))
    found = hooks(read_settings(tmp_path / "data", tmp_path / "config.yaml", "", {}))
    signed = {"x-innkeeper-signature-256": "sha256=00"}
    heard = found.receive("home", signed, b"{}")
    assert heard.cause == "signature" and str(tmp_path) not in heard.reason
    assert found.addressed(signed, b"{}") == {}
    assert f"the file {tmp_path}/key cannot be read: No such file" in caplog.text


def test_listening_where_nobody_can(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "innkeeper", "serve", "--data", str(tmp_path), "--listen", "nonsense"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "HOST:PORT" in done.stderr) == (1, True)
