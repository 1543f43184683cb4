"""`innkeeper serve` from outside: from push to guest, webhooks, pages at ten thousand guests, memory, idling, drift.

Everything here ends by itself: what is waited for has a deadline, and what is repeated for memory's sake a budget of
seconds. CPU is that of the server alone; wall time also has the load of whoever shares the machine.
"""

import asyncio
import itertools
import os
import ssl
import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx2

from bench.inside import call
from bench.serving import Server, serving, signed, until
from bench.world import NODES, Sim, declare, environment, populated, simulator

HEADING = "## The server"
MiB = 1 << 20
SYNCS_WITHIN = 600.0
"""Seconds that the many syncs may take; a machine too slow for all of them tells how many it did."""
WIDE = 1000
"""Steps of the plan that is shown."""


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
    server.begun()
    return found


def vmids(sim: Sim) -> set[int]:
    return {row["vmid"] for row in call(sim, "GET", "/cluster/resources?type=vm", {})}


@dataclass(frozen=True, slots=True)
class Webhooks:
    rate: float
    """Accepted per second."""
    slow: float
    """The 99th percentile of an answer in seconds."""
    cpu: float
    """Seconds of CPU for each."""


async def webhooks(server: Server, count: int = 2000, at_once: int = 16) -> Webhooks:
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

        begin, used = time.perf_counter(), server.cpu()
        await asyncio.gather(*(send() for _ in range(at_once)))
        whole, used = time.perf_counter() - begin, server.cpu() - used
    return Webhooks(count / whole, percentile(seconds, 99), used / count)


def percentile(values: list[float], part: int) -> float:
    return statistics.quantiles(values, n=100)[part - 1]


PAGES = {
    "guests, first page": "/guests",
    "guests, searched": "/guests?text=ct0123",
    "guests, filtered and sorted": "/guests?sync=Synced&sort=address",
    "guests, a late page": "/guests?start=6000",
    "one guest": "/guests/bench/Container/ct00500",
    "overview": "/",
    "jobs": "/jobs",
    "cluster": "/clusters/bench",
}
SEARCHES = ("", "ct0123", "10.8.1")
FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"sync": "Synced"},
    {"health": "Suspended", "source": "bench"},
    {"node": "pve2", "cluster": "bench"},
)
SORTS = ("name", "vmid", "sync", "health", "node", "address", "source", "revision", "created_at")


def combinations() -> list[str]:
    """Every search with every filter, in every order and direction, at the first page and at a late one."""
    chosen = itertools.product(SEARCHES, FILTERS, SORTS, ("", "1"), ("", "3000"))
    return [
        "/guests?" + urlencode({"text": text, **facets, "sort": sort, "down": down, "start": start})
        for text, facets, sort, down, start in chosen
    ]


def shown(server: Server, title: str, paths: Iterable[str]) -> str:
    """A row: median and 95th percentile of these pages, asked by a browser's session one after the other; CPU each."""
    seconds, used = [], server.cpu()
    for path in paths:
        start = time.perf_counter()
        answer = server.client.get(f"{server.url}{path}", headers={"Accept": "text/html"})
        seconds.append(time.perf_counter() - start)
        answer.raise_for_status()
    each = (server.cpu() - used) / len(seconds)
    row = (
        f"| {title} | {statistics.median(seconds) * 1000:.0f} | {percentile(seconds, 95) * 1000:.0f} "
        f"| {each * 1000:.0f} |"
    )
    print(row, flush=True)
    return row


def pages(server: Server, times: int = 40) -> list[str]:
    rows = [shown(server, title, itertools.repeat(path, times)) for title, path in PAGES.items()]
    every = combinations()
    rows.append(shown(server, f"guests, each of {len(every)} searches, filters, orders and pages", every))
    wide = wide_plan(server)
    rows.append(shown(server, f"a plan of {WIDE:,} steps", itertools.repeat(f"/jobs/{wide}/plan", times // 4)))
    return rows


def wide_plan(server: Server) -> int:
    """A job that planned a change of many guests, which nobody carries out."""
    work = server.repository.work
    for number in range(WIDE):
        file = work / f"ct{number:05}.yaml"
        file.write_text(file.read_text().replace("cores: 2", "cores: 4"))
    server.repository.push("many", "wide")
    return _done(server, server.post("/api/v1/sources/bench/plan", {"ref": "wide"})["id"])


def _done(server: Server, job: int) -> int:
    until(lambda: server.get(f"/api/v1/jobs/{job}")["state"] == "succeeded", f"job {job}")
    return job


def pages_meanwhile(server: Server) -> str:
    """The guests' list while every guest is looked at and planned, which takes the same process's other thread."""
    job = server.post("/api/v1/sources/bench/sync", {})["id"]

    def asked() -> Iterable[str]:
        deadline = time.monotonic() + 120
        for number in itertools.count():
            if number % 20 == 19 and server.get(f"/api/v1/jobs/{job}")["state"] == "succeeded":
                return
            if time.monotonic() > deadline:
                sys.exit("a sync of all guests took more than two minutes")
            yield "/guests"

    return shown(server, "guests, first page, while all are synced", asked())


def many_syncs(server: Server, count: int = 1000) -> tuple[dict[int, int], float]:
    """Resident bytes after the tenth, each quarter and the last that was done; and seconds a sync.

    Each is a new commit with its webhook: fetched, read, planned, recorded.
    """
    memory: dict[int, int] = {}
    done = 0
    start = time.perf_counter()
    for done, revision in enumerate(server.repository.empty_commits(count), 1):
        server.repository.move(revision)
        server.hint(revision)
        until(lambda wanted=revision: server.synced(wanted), f"sync {done}")  # type: ignore[misc]
        if done == 10 or done % (count // 4) == 0:
            memory[done] = server.memory()
        if time.perf_counter() - start > SYNCS_WITHIN:
            break
    memory[done] = server.memory()
    return memory, (time.perf_counter() - start) / done


@dataclass(frozen=True, slots=True)
class Idle:
    calls: float
    """Calls a minute to Proxmox while nothing happens."""
    cpu: float
    """The share of one core."""


def idle(server: Server, seconds: float = 30.0) -> Idle:
    before, used = server.sim.calls(), server.cpu()
    time.sleep(seconds)
    return Idle((server.sim.calls() - before) / seconds * 60, (server.cpu() - used) / seconds)


def drift(server: Server, times: int = 8) -> list[float]:
    """Seconds from a change by hand until the server tells of it; each is healed before the next."""
    found = []
    for number in range(times):
        vmid, node = 10_000 + number, NODES[number % len(NODES)]
        change(server.sim, node, vmid, {"swap": "128"})
        found.append(until(lambda: bool(server.get("/api/v1/drifts")), f"drift of {vmid}", 60))
        until(lambda: not server.get("/api/v1/drifts"), f"healing of {vmid}", 60)
    return found


def change(sim: Sim, node: str, vmid: int, params: dict[str, str]) -> None:
    context = ssl.create_default_context(cafile=sim.cafile)
    headers = {"Authorization": f"PVEAPIToken=root@pam!full={os.environ['PVE_TOKEN_SECRET']}"}
    url = f"{sim.urls[node]}/api2/json/nodes/{node}/lxc/{vmid}/config"
    with httpx2.Client(verify=context, headers=headers) as client:
        client.put(url, data=params).raise_for_status()


def section(place: Path, first: dict[str, object]) -> str:
    """Measure, and tell it as a section of the page. `first` is a guest's configuration as Innkeeper makes it."""
    return f"{HEADING}\n{ABOUT}\n{small(place / 'small')}\n{large(place / 'large', first)}"


def small(place: Path, count: int = 50, syncs: int = 1000) -> str:
    """What a home sees."""
    os.environ |= {key: value for key, value in environment().items() if key == "PVE_TOKEN_SECRET"}
    with simulator(place / "sim") as sim:
        guests = declare(place / "guests", sim, count)
        with serving(place / "server", sim, guests) as server:
            pushed = push_to_guest(server, 500)
            print(f"push to guest: {statistics.median(pushed):.2f} s", flush=True)
            drifted = drift(server)
            print(f"drift: {statistics.median(drifted):.2f} s", flush=True)
            rest = idle(server)
            print(f"idle: {rest.calls:.0f} calls a minute", flush=True)
            heard = asyncio.run(webhooks(server))
            print(f"webhooks: {heard.rate:.0f} a second", flush=True)
            server.begun()
            memory, each = many_syncs(server, syncs)
    return SMALL.format(
        count=count,
        push=statistics.median(pushed),
        push_worst=max(pushed),
        drift=statistics.median(drifted),
        drift_worst=max(drifted),
        calls=rest.calls,
        cpu=rest.cpu * 100,
        rate=heard.rate,
        slow=heard.slow * 1000,
        hook_cpu=heard.cpu * 1000,
        settled=count + len(pushed),
        each=each,
        syncs=", ".join(f"{done:,}" for done in memory),
        memory=", ".join(f"{size / MiB:.0f}" for size in memory.values()),
    )


def large(place: Path, first: dict[str, object], count: int = 10_000) -> str:
    """What somebody with very many guests sees."""
    with simulator(place / "sim", seed=populated(first, count)) as sim:
        guests = declare(place / "guests", sim, count)
        with serving(place / "server", sim, guests) as server:
            rows = [*pages(server), pages_meanwhile(server)]
            rest = idle(server)
            memory = server.memory()
    return LARGE.format(count=count, rows="\n".join(rows), calls=rest.calls, cpu=rest.cpu * 100, memory=memory / MiB)


ABOUT = """`innkeeper serve` with SQLite beside a `pvesim`, a local git repository and whoever asks, all on the same two
cores. CPU is the server's alone, all threads together: it tells what wall time owes to the others. `python -m bench
--server` measures this section; `--server small` and `--server large` print one half.
"""
SMALL = """| with {count} guests | |
|---|---:|
| from `git push` with its webhook to the guest, median (worst) of 10 | {push:.2f} s ({push_worst:.2f} s) |
| from a change by hand to the server telling of it, median (worst) of 8 | {drift:.2f} s ({drift_worst:.2f} s) |
| calls a minute to Proxmox while nothing happens ({settled} guests by then) | {calls:.0f} |
| share of a core while nothing happens | {cpu:.1f} % |
| signed webhooks accepted a second, 16 at once | {rate:.0f} |
| 99th percentile of their answers | {slow:.0f} ms |
| CPU for each | {hook_cpu:.1f} ms |
| a whole sync: commit, webhook, fetch, plan, record | {each:.2f} s |
| resident memory after {syncs} syncs | {memory} MiB |

A push counts from `git push` until the cluster's list has the guest, drift from the changing call until the API tells.
The calls are one list every 2.5 seconds and, in turn, the configuration of every guest: so drift in any field shows
within ten seconds ([what it costs beyond 60 guests](adr/0014-one-call-tells-whether-to-look.md)). A webhook counts once
its job is recorded; each here is a new delivery, and the syncs that they lead to run beside them. Memory that stays
means that a sync leaves nothing behind.
"""
LARGE = """| page, with {count:,} guests | median, ms | 95th percentile, ms | CPU, ms |
|---|---:|---:|---:|
{rows}

Pages are asked one after the other, by the session of a signed-in browser; in the last row while the same process looks
at every guest and plans, which shares one Python interpreter with the pages. To reach: 150 ms at the 95th percentile of
the guests' list.

While nothing happens, {count:,} guests cost {calls:.0f} calls a minute to Proxmox and {cpu:.0f} % of a core. Resident
memory after all of this: {memory:.0f} MiB.
"""
PARTS = ("small", "large")
