"""Guests from nothing to healthy on real containers, beside `ansible-playbook` configuring guests that are there.

Proxmox's part is measured on equal guests, made by the bare API; what is left of Innkeeper's time is its own share.
"""

import json
import os
import ssl
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Run, run
from bench.world import SECRET, TEMPLATE, Sim, simulator
from innkeeper.configure.roles import BUNDLED

BIN = Path(sys.executable).parent
HEADING = "## Inside the guest"
NET = f"10.{130 + os.getpid() % 60}.9"
ROLES: list[dict[str, object]] = [{"role": "base"}, {"role": "web", "vars": {"web_index": "it works"}}]
SSH = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
SEED = f"""
version: "9.1.9"
nodes: [{{name: pve1, cpus: 16, memory: 64Gi}}]
bridges: [vmbr0]
storages:
  - {{storage: local, type: dir, path: /var/lib/vz, content: [vztmpl]}}
  - {{storage: tank, type: btrfs, path: /tank, content: [images, rootdir]}}
volumes: [{{volid: "{TEMPLATE}", size: 126000000}}]
tokens: [{{tokenid: "root@pam!full", privsep: false, value: {SECRET}}}]
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Seconds of `count` guests: all by Innkeeper; Proxmox making them, until SSH answers; Ansible configuring them.

    `cpu` is Innkeeper's seconds of CPU on this machine, `ansible_cpu` plain Ansible's.
    """

    count: int
    innkeeper: float
    proxmox: float
    ansible: float
    cpu: float
    ansible_cpu: float

    @property
    def own(self) -> float:
        return self.innkeeper - self.proxmox - self.ansible

    def row(self) -> str:
        share = self.own / self.innkeeper
        return (
            f"| {self.count} | {self.innkeeper:.1f} | {self.proxmox:.1f} | {self.ansible:.1f} | {self.own:.1f} "
            f"| {share:.0%} | {self.cpu:.1f} | {self.ansible_cpu:.1f} |"
        )


def lacking() -> str:
    """What this machine needs before it can run real containers; empty where it can."""
    done = subprocess.run([BIN / "pvesim", "doctor"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def section(place: Path, repeats: int) -> str:
    """Measure, and tell it as a section of the page."""
    subprocess.run([BIN / "pvesim", "template", "build", "debian-12"], check=True, stdout=subprocess.DEVNULL)
    os.environ["XDG_DATA_HOME"] = str(place / "data")
    place.mkdir(parents=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / "key"], check=True)
    with simulator(place / "sim", "instant", "--backend", "lxc", seed=SEED) as sim:
        compare(place / "warm", sim, 1, 200)  # fills the cache of packages
        found = [fastest(place, sim, count, 10 * index, repeats) for index, count in enumerate((1, 5), start=1)]
        plan, apply, said = nothing_to_do(place / "ten", sim, 10, 100)
    rows = "\n".join(item.row() for item in found)
    return TEXT.format(
        heading=HEADING, rows=rows, plan=plan, apply=apply, beyond=apply - plan, said=said, repeats=repeats
    )


def fastest(place: Path, sim: Sim, count: int, first: int, repeats: int) -> Comparison:
    """Each part's best time: they share two cores with whatever else this machine does."""
    runs = [compare(place / f"{count}-{number}", sim, count, first + count * number) for number in range(repeats)]
    best = Comparison(count, *(min(getattr(r, part) for r in runs) for part in Comparison.__slots__[1:]))
    print(best.row(), flush=True)
    return best


def compare(place: Path, sim: Sim, count: int, first: int) -> Comparison:
    """Make the guests by Innkeeper, and destroy them; then the same by the bare API and by Ansible."""
    numbers = range(first, first + count)
    manifests = declare(place / "manifests", sim, numbers)
    ours = run([BIN / "innkeeper", "apply", manifests, "--source", "bench", "--yes", "--wait", "60"])
    destroy(sim, numbers)
    start = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda number: create(sim, number, place.parent / "key"), numbers))
    made = time.perf_counter() - start
    plain = configure(place, numbers)
    destroy(sim, numbers)
    return Comparison(count, ours.seconds, made, plain.seconds, ours.cpu, plain.cpu)


def nothing_to_do(place: Path, sim: Sim, count: int, first: int) -> tuple[float, float, str]:
    """Median seconds of a plan, of an apply that has nothing to do, and what that says."""
    manifests = declare(place, sim, range(first, first + count))
    words: list[str | Path] = [manifests, "--source", "bench"]
    run([BIN / "innkeeper", "apply", *words, "--yes", "--wait", "120"])
    plans, applies = [], []
    for _ in range(5):
        plans.append(run([BIN / "innkeeper", "plan", *words]))
        applies.append(run([BIN / "innkeeper", "apply", *words, "--yes"]))
    said = applies[-1].output.strip()
    if not said.startswith("No changes") or "Configuration up to date" not in said:
        sys.exit(f"not without changes: {said}")
    return statistics.median(r.seconds for r in plans), statistics.median(r.seconds for r in applies), said


def declare(place: Path, sim: Sim, numbers: Sequence[int]) -> Path:
    place.mkdir(parents=True)
    (place / "cluster.yaml").write_text(
        f"""apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: bench}}
spec:
  endpoints: {json.dumps(list(sim.urls.values()))}
  tls: {{caFile: {sim.cafile}}}
  credentials: {{tokenID: root@pam!full, tokenSecret: {{env: PVE_TOKEN_SECRET}}}}
  defaults: {{node: pve1, storage: tank, bridge: vmbr0, template: debian-12}}
"""
    )
    for number in numbers:
        (place / f"web{number}.yaml").write_text(
            f"""apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {{name: web{number}}}
spec:
  vmid: {1000 + number}
  memory: 512Mi
  rootDisk: {{size: 4Gi}}
  network: [{{name: eth0, ip: {NET}.{number}/24, gateway: {NET}.254}}]
  configure: {{roles: {json.dumps(ROLES)}}}
  health: [{{http: {{port: 80, contains: it works}}}}]
"""
        )
    return place


def create(sim: Sim, number: int, key: Path) -> None:
    """As an operator would by hand: create and start by the API, then wait until SSH lets us in."""
    wanted = {
        "vmid": 1000 + number,
        "ostemplate": TEMPLATE,
        "rootfs": "tank:4",
        "hostname": f"web{number}",
        "memory": 512,
        "unprivileged": 1,
        "features": "nesting=1",
        "net0": f"name=eth0,bridge=vmbr0,ip={NET}.{number}/24,gw={NET}.254",
        "ssh-public-keys": key.with_suffix(".pub").read_text(),
        "start": 1,
    }
    task(sim, "POST", "/nodes/pve1/lxc", wanted)
    deadline = time.monotonic() + 60
    command: list[str | Path] = ["ssh", *SSH, "-o", "BatchMode=yes", "-i", key, f"root@{NET}.{number}", "true"]
    while subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        if time.monotonic() > deadline:
            sys.exit(f"guest {number} does not answer")
        time.sleep(0.1)


def destroy(sim: Sim, numbers: Sequence[int]) -> None:
    for number in numbers:
        task(sim, "DELETE", f"/nodes/pve1/lxc/{1000 + number}?force=1", {})


def configure(place: Path, numbers: Sequence[int]) -> Run:
    """Plain `ansible-playbook`, once for all guests at the same time, with pipelining and a shared connection."""
    hosts = {f"web{number}": {"ansible_host": f"{NET}.{number}"} for number in numbers}
    shared = {
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(place.parent / "key"),
    }
    (place / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
    (place / "play.json").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": ROLES}]))
    os.environ |= {
        "ANSIBLE_ROLES_PATH": str(BUNDLED),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": str(len(numbers)),
        "ANSIBLE_SSH_ARGS": " ".join(["-o ControlMaster=auto -o ControlPersist=20", *SSH]),
        "LC_ALL": "C.UTF-8",
    }
    return run([BIN / "ansible-playbook", "-i", place / "hosts.json", place / "play.json"])


def task(sim: Sim, method: str, path: str, params: dict[str, object]) -> None:
    """A call that starts a task, and its end."""
    upid = call(sim, method, path, params)
    while (status := call(sim, "GET", f"/nodes/pve1/tasks/{urllib.parse.quote(str(upid), safe='')}/status", {}))[
        "status"
    ] != "stopped":
        time.sleep(0.05)
    if status["exitstatus"] != "OK":
        sys.exit(f"{method} {path}: {status['exitstatus']}")


def call(sim: Sim, method: str, path: str, params: dict[str, object]):  # type: ignore[no-untyped-def]
    request = urllib.request.Request(
        f"{sim.urls['pve1']}/api2/json{path}",
        urllib.parse.urlencode(params).encode() if params else None,
        {"Authorization": f"PVEAPIToken=root@pam!full={SECRET}"},
        method=method,
    )
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=sim.cafile)),
    )
    with opener.open(request, timeout=60) as answer:
        return json.load(answer)["data"]


def merged(page: str, own: str, heading: str = HEADING) -> str:
    """The page with this section in the place of the former one, else at its end."""
    before, _, rest = page.partition(f"{heading}\n")
    following = rest.find("\n## ")
    return before.rstrip() + "\n\n" + own + (rest[following:] if following >= 0 else "")


TEXT = """{heading}
Real containers (`pvesim --backend lxc`) with the roles `base` and `web`, packages from the node's cache; each part's
best of {repeats} runs. *Innkeeper* is one `innkeeper apply --wait` from nothing to healthy. *Proxmox* is creating and
starting equal guests by the bare API until SSH answers, *Ansible* one plain `ansible-playbook` with the same roles on
those. What is left is Innkeeper's own share: reading, planning, verifying, health checks. It is below zero where
guests are configured while others are still being made. CPU is that of the commands, without the guests'.

| guests | Innkeeper, s | Proxmox, s | Ansible, s | own, s | own share | CPU of Innkeeper, s | CPU of Ansible, s |
|---:|---:|---:|---:|---:|---:|---:|---:|
{rows}

An apply of ten configured guests that finds nothing to do takes {apply:.2f} s, a plan of them {plan:.2f} s:
{beyond:+.2f} s beyond the plan, and no Ansible runs. It says: `{said}`
"""
