"""A real `innkeeper serve` to measure: its repository, its first admin, what it answers and what it costs."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from bench.world import Sim, environment

BIN = Path(sys.executable).parent
HOOK = "bench-webhook-secret"
PASSWORD = "bench bench bench bench"
_STOPS_WITHIN = 60


@dataclass
class Repository:
    """A work tree beside the bare repository that the server follows."""

    bare: Path
    work: Path

    def push(self, message: str, branch: str = "main") -> str:
        """Everything that changed; the new revision."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self.git("push", "--quiet", "origin", f"HEAD:{branch}")
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def empty_commits(self, count: int) -> Iterator[str]:
        """Commits that change nothing, each on the one before; no branch of the bare repository has them yet."""
        parent = self.head()
        for number in range(count):
            parent = self._bare("commit-tree", f"{parent}^{{tree}}", "-p", parent, "-m", f"empty {number}")
            yield parent

    def move(self, revision: str) -> None:
        """Let the branch that the server follows be at this revision."""
        self._bare("update-ref", "refs/heads/main", revision)

    def _bare(self, *words: str) -> str:
        command = ["git", "-C", str(self.bare), "-c", "user.name=bench", "-c", "user.email=bench@localhost", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def git(self, *words: str) -> str:
        command = ["git", "-C", str(self.work), "-c", "user.name=bench", "-c", "user.email=bench@localhost", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def repository(place: Path, guests: Path) -> Repository:
    """All manifests of this directory but the Cluster, which is the server's."""
    found = Repository(place / "home.git", place / "work")
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch", "main", found.bare], check=True)
    subprocess.run(["git", "clone", "--quiet", found.bare, found.work], check=True, stderr=subprocess.DEVNULL)
    found.git("checkout", "--quiet", "-B", "main")
    for file in guests.glob("ct*.yaml"):
        (found.work / file.name).write_text(file.read_text())
    found.push("begin")
    return found


@dataclass
class Server:
    """`client` is the first admin's browser; `get` and `post` use a token of the API."""

    url: str
    pid: int
    repository: Repository
    sim: Sim
    token: str = ""
    client: httpx2.Client = field(default_factory=lambda: httpx2.Client(timeout=60))

    def get(self, path: str) -> Any:
        answer = self.client.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {self.token}"})
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        answer = self.client.post(f"{self.url}{path}", json=body, headers={"Authorization": f"Bearer {self.token}"})
        answer.raise_for_status()
        return answer.json()

    def hint(self, revision: str) -> None:
        body, headers = signed(revision)
        self.client.post(f"{self.url}/hooks/bench", content=body, headers=headers).raise_for_status()

    def synced(self, revision: str) -> bool:
        return bool(self.get("/api/v1/sources/bench")["synced"] == revision)

    def begun(self) -> None:
        """Wait until what the repository holds now is synced."""
        revision = self.repository.head()
        until(lambda: self.synced(revision), "the first sync", 600)

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def signed(revision: str) -> tuple[bytes, dict[str, str]]:
    body = json.dumps({"ref": "refs/heads/main", **({"after": revision} if revision else {})}).encode()
    proof = hmac.new(HOOK.encode(), body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Innkeeper-Signature-256": f"sha256={proof}"}


@contextlib.contextmanager
def serving(place: Path, sim: Sim, guests: Path) -> Iterator[Server]:
    """A server that keeps the manifests of `guests` on the simulator; in order once the first sync is done."""
    config = place / "config"
    config.mkdir(parents=True)
    (config / "cluster.yaml").write_text((guests / "cluster.yaml").read_text())
    found = repository(place, guests)
    source = {
        "apiVersion": "innkeeper.dev/v1alpha1",
        "kind": "Source",
        "metadata": {"name": "bench"},
        "spec": {"url": str(found.bare), "interval": "12h", "webhook": {"secret": {"env": "BENCH_HOOK"}}},
    }
    (config / "source.yaml").write_text(json.dumps(source))
    words = ["serve", "--listen", "127.0.0.1:0", "--data", str(place / "data"), "--config", str(config)]
    own = {**environment(), "BENCH_HOOK": HOOK}
    log = (place / "server.log").open("wb")
    with log, subprocess.Popen([BIN / "innkeeper", *words], stdout=subprocess.PIPE, stderr=log, env=own) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                sys.exit((place / "server.log").read_text()[-4000:])
            ready = json.loads(line)
            server = Server(ready["url"], process.pid, found, sim)
            server.token = _first_token(server, ready["setup"])
            server.begun()
            yield server
        finally:
            process.terminate()
            try:
                process.wait(_STOPS_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_token(server: Server, setup: str) -> str:
    """As the first admin: by the one-time link, then a token for the API."""
    page = server.client.get(setup)
    secret = re.search(r'name="secret" value="([^"]+)"', page.text)
    assert secret is not None
    form = {"csrf": _csrf(page), "secret": secret[1], "name": "bench", "password": PASSWORD}
    done = server.client.post(f"{server.url}/setup", data=form)
    if done.status_code != 303:
        sys.exit(f"setup: {done.status_code} {done.text[:500]}")
    headers = {"X-CSRF-Token": _csrf(server.client.get(f"{server.url}/settings"))}
    wish = {"name": "bench", "role": "operator"}
    answer = server.client.post(f"{server.url}/api/v1/tokens", json=wish, headers=headers)
    answer.raise_for_status()
    return str(answer.json()["secret"])


def _csrf(page: httpx2.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None, page.text[:500]
    return found[1]


def until(true: Callable[[], bool], what: str, patience: float = 300) -> float:
    """Seconds until it is so; the benchmark ends where that takes longer than `patience` seconds."""
    start = time.perf_counter()
    while not true():
        if time.perf_counter() - start > patience:
            sys.exit(f"waited in vain for {patience:.0f} s: {what}")
        time.sleep(0.01)
    return time.perf_counter() - start
