"""`innkeeper serve` from outside: from push to guest, webhooks, pages at ten thousand guests, memory, idling, drift."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import re
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from bench.inside import call
from bench.world import NODES, Sim, declare, environment, populated, simulator

BIN = Path(sys.executable).parent
HEADING = "## The server"
HOOK = "bench-webhook-secret"
PASSWORD = "bench bench bench bench"


@dataclass
class Repository:
    """A work tree beside the bare repository that the server follows."""

    bare: Path
    work: Path

    def push(self, message: str) -> str:
        """Everything that changed; the new revision."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self.git("push", "--quiet", "origin", "main")
        return self.git("rev-parse", "HEAD").strip()

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

    def hint(self, revision: str) -> None:
        body, headers = signed(revision)
        self.client.post(f"{self.url}/hooks/bench", content=body, headers=headers).raise_for_status()

    def synced(self, revision: str) -> bool:
        return bool(self.get("/api/v1/sources/bench")["synced"] == revision)

    def memory(self) -> int:
        """Resident bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024


def signed(revision: str) -> tuple[bytes, dict[str, str]]:
    body = json.dumps({"ref": "refs/heads/main", **({"after": revision} if revision else {})}).encode()
    proof = hmac.new(HOOK.encode(), body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Innkeeper-Signature-256": f"sha256={proof}"}


@contextlib.contextmanager
def serving(place: Path, sim: Sim, guests: Path) -> Iterator[Server]:
    config = place / "config"
    config.mkdir()
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
            server.token = first_token(server, ready["setup"])
            yield server
        finally:
            process.terminate()
            process.wait(60)


def first_token(server: Server, setup: str) -> str:
    """As the first admin: by the one-time link, then a token for the API."""
    page = server.client.get(setup)
    secret = re.search(r'name="secret" value="([^"]+)"', page.text)
    assert secret is not None
    form = {"csrf": csrf(page), "secret": secret[1], "name": "bench", "password": PASSWORD}
    done = server.client.post(f"{server.url}/setup", data=form)
    if done.status_code != 303:
        sys.exit(f"setup: {done.status_code} {done.text[:500]}")
    headers = {"X-CSRF-Token": csrf(server.client.get(f"{server.url}/settings"))}
    wish = {"name": "bench", "role": "operator"}
    answer = server.client.post(f"{server.url}/api/v1/tokens", json=wish, headers=headers)
    answer.raise_for_status()
    return str(answer.json()["secret"])


def csrf(page: httpx2.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None, page.text[:500]
    return found[1]


def until(true: Callable[[], bool], what: str, patience: float = 300) -> float:
    """Seconds until it is so."""
    start = time.perf_counter()
    while not true():
        if time.perf_counter() - start > patience:
            sys.exit(f"waited in vain: {what}")
        time.sleep(0.01)
    return time.perf_counter() - start


def push_to_guest(server: Server, first: int, times: int = 10) -> list[float]:
    """Seconds from the beginning of a push with its webhook until Proxmox has the new guest."""
    template = (server.repository.work / "ct00000.yaml").read_text()
    found = []
    for number in range(first, first + times):
        text = template.replace("ct00000", f"new{number}").replace("vmid: 10000", f"vmid: {10_000 + number}")
        text = text.replace("10.8.0.1/16", f"10.9.0.{number % 250 + 1}/16")
        (server.repository.work / f"new{number}.yaml").write_text(text)
        start = time.perf_counter()
        server.hint(server.repository.push(f"guest {number}"))
        until(lambda vmid=10_000 + number: vmid in vmids(server.sim), f"guest {number}")  # type: ignore[misc]
        found.append(time.perf_counter() - start)
    revision = server.repository.git("rev-parse", "HEAD").strip()
    until(lambda: server.synced(revision), "the last sync")
    return found


def vmids(sim: Sim) -> set[int]:
    return {row["vmid"] for row in call(sim, "GET", "/cluster/resources?type=vm", {})}


async def webhooks(server: Server, count: int = 2000, at_once: int = 16) -> tuple[float, float]:
    """Accepted per second, and the 99th percentile of an answer in seconds."""
    body, headers = signed("")
    seconds: list[float] = []
    numbers = iter(range(count))
    async with httpx2.AsyncClient(timeout=60) as client:

        async def send() -> None:
            for number in numbers:
                own = {**headers, "X-Innkeeper-Delivery": f"bench-{number}"}
                start = time.perf_counter()
                answer = await client.post(f"{server.url}/hooks/bench", content=body, headers=own)
                if answer.status_code != 202:
                    sys.exit(f"webhook {number}: {answer.status_code} {answer.text}")
                seconds.append(time.perf_counter() - start)

        begin = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(at_once)))
        whole = time.perf_counter() - begin
    return count / whole, percentile(seconds, 99)


def percentile(values: list[float], part: int) -> float:
    return statistics.quantiles(values, n=100)[part - 1]


PAGES = {
    "guests, first page": "/guests",
    "guests, searched": "/guests?q=ct0123",
    "guests, filtered and sorted": "/guests?sync=Synced&sort=address",
    "guests, a late page": "/guests?page=60",
    "one guest": "/guests/bench/Container/ct00500",
    "overview": "/",
}


def pages(server: Server, times: int = 40) -> list[tuple[str, float, float]]:
    """Median and 95th percentile in seconds of each page, asked by a browser's session one after the other."""
    rows = []
    for title, path in PAGES.items():
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            answer = server.client.get(f"{server.url}{path}")
            seconds.append(time.perf_counter() - start)
            answer.raise_for_status()
        rows.append((title, statistics.median(seconds), percentile(seconds, 95)))
    return rows


def many_syncs(server: Server, count: int = 1000) -> tuple[int, int, float]:
    """Resident bytes after ten syncs and after `count`, and seconds a sync (push, webhook, plan, done)."""
    early = 0
    start = time.perf_counter()
    for number in range(count):
        revision = server.repository.push(f"sync {number}")
        server.hint(revision)
        until(lambda wanted=revision: server.synced(wanted), f"sync {number}")  # type: ignore[misc]
        if number == 9:
            early = server.memory()
    return early, server.memory(), (time.perf_counter() - start) / count


def idle(server: Server, seconds: float = 30.0) -> float:
    """Calls a minute to Proxmox while nothing happens."""
    before = server.sim.calls()
    time.sleep(seconds)
    return (server.sim.calls() - before) / seconds * 60


def drift(server: Server, times: int = 8) -> list[float]:
    """Seconds from a change by hand until the server tells of it; each is healed before the next."""
    found = []
    for number in range(times):
        vmid, node = 10_000 + number, NODES[number % len(NODES)]
        change(server.sim, node, vmid, {"swap": "128"})
        found.append(until(lambda: bool(server.get("/api/v1/drifts")), f"drift of {vmid}"))
        until(lambda: not server.get("/api/v1/drifts"), f"healing of {vmid}")
    return found


def change(sim: Sim, node: str, vmid: int, params: dict[str, str]) -> None:
    context = ssl.create_default_context(cafile=sim.cafile)
    headers = {"Authorization": f"PVEAPIToken=root@pam!full={os.environ['PVE_TOKEN_SECRET']}"}
    url = f"{sim.urls[node]}/api2/json/nodes/{node}/lxc/{vmid}/config"
    with httpx2.Client(verify=context, headers=headers) as client:
        client.put(url, data=params).raise_for_status()


def section(place: Path, first: dict[str, object], *, syncs: int = 1000, large: int = 10_000) -> str:
    """Measure, and tell it as a section of the page. `first` is a guest's configuration as Innkeeper makes it."""
    os.environ |= {key: value for key, value in environment().items() if key == "PVE_TOKEN_SECRET"}
    small = 50
    place.mkdir(parents=True)
    with simulator(place / "small-sim") as sim:
        guests = declare(place / "small-guests", sim, small)
        (place / "small").mkdir()
        with serving(place / "small", sim, guests) as server:
            begun(server)
            pushed = push_to_guest(server, 500)
            drifted = drift(server)
            calls = idle(server)
            rate, slow = asyncio.run(webhooks(server))
            early, late, each = many_syncs(server, syncs)
    with simulator(place / "large-sim", seed=populated(first, large)) as sim:
        guests = declare(place / "large-guests", sim, large)
        (place / "large").mkdir()
        with serving(place / "large", sim, guests) as server:
            begun(server)
            shown = pages(server)
    rows = "\n".join(f"| {title} | {middle * 1000:.0f} | {high * 1000:.0f} |" for title, middle, high in shown)
    return TEXT.format(
        heading=HEADING,
        small=small,
        large=large,
        syncs=syncs,
        push=statistics.median(pushed),
        push_worst=max(pushed),
        drift=statistics.median(drifted),
        drift_worst=max(drifted),
        calls=calls,
        rate=rate,
        slow=slow * 1000,
        early=early / (1 << 20),
        late=late / (1 << 20),
        each=each,
        rows=rows,
    )


def begun(server: Server) -> None:
    revision = server.repository.git("rev-parse", "HEAD").strip()
    until(lambda: server.synced(revision), "the first sync")


TEXT = """{heading}
`innkeeper serve` with SQLite beside a `pvesim`, a local git repository and whoever asks, all on the same two cores.

| with {small} guests | |
|---|---:|
| from `git push` with its webhook to the guest, median (worst) of 10 | {push:.2f} s ({push_worst:.2f} s) |
| from a change by hand to the server telling of it, median (worst) of 8 | {drift:.2f} s ({drift_worst:.2f} s) |
| calls a minute to Proxmox while nothing happens | {calls:.0f} |
| signed webhooks accepted a second, 16 at once | {rate:.0f} |
| 99th percentile of their answers | {slow:.0f} ms |
| a whole sync: push, webhook, fetch, plan, record | {each:.2f} s |
| resident memory after 10 syncs, after {syncs:,} | {early:.0f} MiB, {late:.0f} MiB |

| page, with {large:,} guests | median, ms | 95th percentile, ms |
|---|---:|---:|
{rows}
"""
