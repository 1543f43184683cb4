"""The operator with a thousand Machines: how fast they are Ready, what it asks for when nothing happens, its memory.

The API server is real (`scripts/kubernetes_parts.py` builds it), Proxmox an instant pvesim, the operator its own
process. All of them share the machine's cores.
"""

import json
import os
import ssl
import sys
import time
import urllib.request
from pathlib import Path

from tests.innkeeper.operator.controlplane import ADMIN, ControlPlane, Missing, parts
from tests.innkeeper.operator.world import SEED, World, cluster, machine, secret
from tests.pvesim.running import start

from innkeeper.operator import crds

HEADING = "## The Kubernetes operator"
MiB = 1 << 20
INTERVAL = 3.0
"""Seconds between polls while idling is measured; the default is ten times as long."""
POLLS = 20
PATIENCE = 900.0


def lacking() -> str:
    """What must be installed or built first; empty where nothing is missing."""
    try:
        parts()
    except Missing as missing:
        return str(missing)
    return ""


def section(place: Path, count: int = 1000) -> str:
    """The section of the page."""
    binaries = parts()
    place.mkdir(parents=True, exist_ok=True)
    (place / "plane").mkdir()
    plane = ControlPlane(place / "plane", binaries)
    sim = start(place, SEED)
    world = World(plane, sim, place)
    try:
        plane.start()
        return _measured(world, count)
    finally:
        world.close()
        sim.stop()
        plane.stop()


def _measured(world: World, count: int) -> str:
    plane = world.plane
    plane.kubectl("apply", "--server-side", "-f", "-", given=crds.text())
    plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
    plane.apply(secret(), cluster(world.sim))
    for begin in range(0, count, 250):
        plane.apply(*(machine(f"m{number:04}") for number in range(begin, min(begin + 250, count))))
    operator = world.operator(RECONCILE_INTERVAL=f"{INTERVAL}s", LEASE_DURATION="15s")
    begun = time.monotonic()
    while _ready(plane) < count:
        if time.monotonic() - begun > PATIENCE:
            sys.exit(f"{_ready(plane)} of {count} Machines are Ready after {PATIENCE:.0f} s")
        time.sleep(1.0)
    seconds = time.monotonic() - begun
    if len(world.vms()) != count:
        sys.exit(f"{len(world.vms())} virtual machines for {count} Machines")
    time.sleep(4 * INTERVAL)
    proxmox, kubernetes, idled = len(world.sim.calls()), _requests(plane), time.monotonic()
    time.sleep(INTERVAL * POLLS)
    proxmox, kubernetes = len(world.sim.calls()) - proxmox, _requests(plane) - kubernetes
    waited = time.monotonic() - idled
    cpu = _cpu(operator.process.pid)
    memory = operator.memory()
    operator.stop()
    quiet = _requests(plane)
    time.sleep(INTERVAL * POLLS)
    own = kubernetes - (_requests(plane) - quiet)
    turns = waited / INTERVAL
    text = TEXT.format(
        heading=HEADING,
        count=count,
        rate=count / seconds,
        seconds=seconds,
        memory=memory / MiB,
        proxmox=proxmox / turns / 30,
        kubernetes=own / turns / 30,
        cpu=cpu,
    )
    print(text, flush=True)
    return text


def _get(plane: ControlPlane, path: str) -> str:
    context = ssl.create_default_context(cafile=str(plane.folder / "ca.pem"))
    request = urllib.request.Request(
        f"https://127.0.0.1:{plane.port}{path}", headers={"Authorization": f"Bearer {ADMIN}"}
    )
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        text: str = answer.read().decode()
        return text


def _ready(plane: ControlPlane) -> int:
    """How many Machines are Ready. `kubectl wait` asks for each by itself, and for five a second at most."""
    items = json.loads(_get(plane, "/apis/vitistack.io/v1alpha1/machines"))["items"]
    told = (item.get("status", {}).get("conditions", ()) for item in items)
    return sum(any(one["type"] == "Ready" and one["status"] == "True" for one in conditions) for conditions in told)


def _requests(plane: ControlPlane) -> int:
    """How many requests the API server has answered, watches aside."""
    lines = _get(plane, "/metrics").splitlines()
    counted = (line for line in lines if line.startswith("apiserver_request_total{") and 'verb="WATCH"' not in line)
    return sum(int(float(line.rpartition(" ")[2])) for line in counted)


def _cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


TEXT = """{heading}
{count:,} Machines against a real API server and an instant `pvesim`; the API server, etcd and the simulator share the
cores. Idling is watched with a tenth of the default interval and given for the default one.

| | |
|---|---:|
| Machines a second, from the operator's start to all Ready | {rate:.1f} |
| seconds until all {count:,} are Ready | {seconds:.0f} |
| peak memory of the operator, MiB (limit of the chart: 256) | {memory:.0f} |
| idle: calls a second to Proxmox (a poll every 30 s, a full look every tenth) | {proxmox:.2f} |
| idle: requests a second to Kubernetes' API (status, Secret, Lease) | {kubernetes:.2f} |
| seconds of CPU of the operator, all of this | {cpu:.0f} |
"""
