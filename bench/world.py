"""A simulated cluster and the manifests of N guests on it."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SECRET = "5a4f7c2e-3f0b-4c59-8d6b-0e7f3f1f2a10"
NODES = ("pve1", "pve2")
TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
SEED = f"""
version: "9.1.9"
cluster: {{name: bench}}
nodes:
  - {{name: pve1, cpus: 64, memory: 16Ti}}
  - {{name: pve2, cpus: 64, memory: 16Ti}}
bridges: [vmbr0]
storages:
  - {{storage: local, type: dir, path: /var/lib/vz, content: [iso, vztmpl, backup, images, rootdir]}}
  - {{storage: tank, type: zfspool, pool: tank, content: [images, rootdir]}}
volumes:
  - {{volid: "{TEMPLATE}", size: 126000000}}
tokens:
  - {{tokenid: "root@pam!full", privsep: false, value: {SECRET}}}
"""


@dataclass(frozen=True, slots=True)
class Sim:
    """A running pvesim: a base URL per node, its CA, and the file with one JSON line per call."""

    urls: dict[str, str]
    cafile: str
    log: Path

    def calls(self) -> int:
        return sum(1 for _ in self.log.open())

    def await_calls(self, count: int, patience: float = 60) -> None:
        """Wait until that many calls were logged in all; a benchmark that waits in vain ends with an error."""
        deadline = time.monotonic() + patience
        while self.calls() < count:
            if time.monotonic() > deadline:
                sys.exit(f"{self.calls()} calls instead of {count} after {patience:.0f} s")
            time.sleep(0.05)

    def settled(self, quiet: float = 0.4, patience: float = 60) -> int:
        """The number of calls once something has called and then nothing has for `quiet` seconds."""
        start, deadline = self.calls(), time.monotonic() + patience
        seen, since = start, time.monotonic()
        while time.monotonic() < deadline:
            now = self.calls()
            if now != seen:
                seen, since = now, time.monotonic()
            elif seen > start and time.monotonic() - since >= quiet:
                return seen
            time.sleep(0.02)
        sys.exit("nothing called")


@contextlib.contextmanager
def simulator(place: Path, speed: str = "instant", *options: str, seed: str = SEED) -> Iterator[Sim]:
    place.mkdir(parents=True, exist_ok=True)
    file, log = place / "seed.yaml", place / "calls.jsonl"
    file.write_text(seed)
    command = [sys.executable, "-m", "pvesim", "--seed", str(file), "--port", "0", "--speed", speed, "--log", str(log)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            log.touch()
            yield Sim(ready["nodes"], ready["cafile"], log)
        finally:
            process.terminate()


def declare(place: Path, sim: Sim, count: int) -> Path:
    """Write a Cluster and `count` containers, a file each, spread over both nodes."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "cluster.yaml").write_text(
        f"""apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: bench}}
spec:
  endpoints: {json.dumps(list(sim.urls.values()))}
  tls: {{caFile: {sim.cafile}}}
  credentials: {{tokenID: root@pam!full, tokenSecret: {{env: PVE_TOKEN_SECRET}}}}
  defaults: {{storage: tank, bridge: vmbr0, template: debian-12}}
"""
    )
    for number in range(count):
        third, fourth = divmod(number, 250)
        (place / f"ct{number:05}.yaml").write_text(
            f"""apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {{name: ct{number:05}}}
spec:
  vmid: {10_000 + number}
  node: {NODES[number % len(NODES)]}
  cpu: {{cores: 2}}
  memory: 512Mi
  swap: 256Mi
  rootDisk: {{size: 8Gi}}
  network: [{{name: eth0, bridge: vmbr0, ip: 10.8.{third}.{fourth + 1}/16, gateway: 10.8.255.254, firewall: true}}]
  features: {{nesting: true}}
  unprivileged: true
  startOnBoot: true
  running: false
  tags: [bench]
  description: Guest number {number}
"""
        )
    return place


def populated(first: Mapping[str, object], count: int) -> str:
    """A seed in which the guests that `declare` declares exist already; `first` is the first one's configuration."""
    return f"{SEED}guests: {json.dumps(list(_copies(first, count)))}\n"


def _copies(first: Mapping[str, object], count: int) -> Iterator[dict[str, object]]:
    """Seed entries of the guests that `declare` declares, each as Innkeeper made the first one (its config)."""
    kept = {key: str(value) for key, value in first.items() if key != "digest"}
    for number in range(count):
        third, fourth = divmod(number, 250)
        other = {"ct00000": f"ct{number:05}", "10000": str(10_000 + number), "number 0": f"number {number}"}
        other |= {"10.8.0.1/16": f"10.8.{third}.{fourth + 1}/16"}
        config = {}
        for key, value in kept.items():
            text = value
            for old, new in other.items():
                text = text.replace(old, new)
            config[key] = text
        config["net0"] = re.sub(
            r"hwaddr=[^,]+", f"hwaddr=BC:24:11:00:{number >> 8:02X}:{number & 255:02X}", config["net0"]
        )
        yield {"vmid": 10_000 + number, "kind": "lxc", "node": NODES[number % len(NODES)], "config": config}


def environment() -> dict[str, str]:
    """What measured commands see: modules are compiled once, as an installation has them, whatever this shell says."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PVE_TOKEN_SECRET": SECRET, "NO_COLOR": "1"}
