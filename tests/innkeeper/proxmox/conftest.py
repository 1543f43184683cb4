"""A Proxmox cluster for each test: `pvesim` over HTTPS, with whatever trouble the test writes down."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from innkeeper.model.diagnostics import Location
from innkeeper.model.objects import Cluster, ClusterSpec, Origin
from innkeeper.proxmox.hypervisor import Proxmox

SECRET = "c0ffee00-5ec2-4e75-8a5e-70bacc0deadf"
PASSWORD = "correct-horse-battery"
TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
SEED = f"""
version: "9.1.9"
cluster: {{name: lab}}
nodes:
  - {{name: pve1, cpus: 8, memory: 64Gi}}
  - {{name: pve2, cpus: 8, memory: 64Gi}}
  - {{name: pve3, cpus: 8, memory: 64Gi}}
bridges: [vmbr0, vmbr1]
storages:
  - {{storage: local, type: dir, path: /var/lib/vz, content: [iso, vztmpl, backup, images, rootdir, snippets, import]}}
  - {{storage: nas, type: dir, path: /mnt/nas, shared: true, content: [images, rootdir, backup]}}
volumes:
  - {{volid: "{TEMPLATE}", size: 126000000}}
users:
  - {{userid: "ops@pve", password: "{PASSWORD}"}}
tokens:
  - {{tokenid: "root@pam!full", privsep: false, value: {SECRET}}}
  - {{tokenid: "ops@pve!ci", privsep: true, value: {SECRET[::-1]}}}
"""


@dataclass(slots=True)
class Lab:
    """A running cluster; `faults` writes trouble and makes it count."""

    urls: dict[str, str]
    cafile: str
    process: subprocess.Popen[str]
    trouble: Path
    log: Path
    opened: list[Proxmox] = field(default_factory=list)

    def faults(self, text: str) -> None:
        self.trouble.write_text(textwrap.dedent(text))
        os.kill(self.process.pid, signal.SIGHUP)
        assert self.process.stdout is not None
        said = json.loads(self.process.stdout.readline())
        assert said == {"faults": "read"}, said

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def cluster(self, **spec: Any) -> Cluster:
        """A Cluster manifest for this lab; what is named in `spec` replaces the usual."""
        usual: dict[str, Any] = {
            "endpoints": list(self.urls.values())[:1],
            "tls": {"caFile": self.cafile},
            "credentials": {"tokenID": "root@pam!full", "tokenSecret": {"env": "PVE_TOKEN"}},
        }
        body = json.dumps({**usual, **spec})
        return Cluster("lab", ClusterSpec.model_validate_json(body), Origin(Location("cluster.yaml")))

    def proxmox(self, environ: dict[str, str] | None = None, directory: Path = Path("/"), **spec: Any) -> Proxmox:
        known = {"PVE_TOKEN": SECRET, "PVE_OPS": SECRET[::-1], "PVE_PASSWORD": PASSWORD}
        made = Proxmox(self.cluster(**spec), directory, known if environ is None else environ)
        self.opened.append(made)
        return made


def start(place: Path, seed: str, speed: str = "instant") -> Lab:
    (place / "seed.yaml").write_text(seed)
    trouble, log = place / "faults.yaml", place / "calls.jsonl"
    trouble.write_text("{}")
    log.touch()
    options = {"--seed": place / "seed.yaml", "--port": 0, "--speed": speed, "--faults": trouble, "--log": log}
    process = subprocess.Popen(
        [sys.executable, "-m", "pvesim", *(str(part) for pair in options.items() for part in pair), "--exit-on-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline() or "{}")
    assert ready, "pvesim did not start"
    return Lab(ready["nodes"], ready["cafile"], process, trouble, log)


@pytest.fixture
def new_lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    labs: list[Lab] = []

    def make(seed: str = SEED, speed: str = "instant") -> Lab:
        place = tmp_path / f"lab{len(labs)}"
        place.mkdir()
        labs.append(start(place, seed, speed))
        return labs[-1]

    yield make
    for lab in labs:
        assert lab.process.stdin is not None
        assert lab.process.stdout is not None
        lab.process.stdin.close()
        lab.process.wait(10)
        lab.process.stdout.close()


@pytest.fixture
async def lab(new_lab: Callable[..., Lab]) -> AsyncIterator[Lab]:
    made = new_lab()
    yield made
    for proxmox in made.opened:
        await proxmox.close()
