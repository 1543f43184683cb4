"""The real command against a real `pvesim`; what differs from run to run is masked."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

SECRET = "c0ffee00-5ec2-4e75-8a5e-70bacc0deadf"
LIMITED = "c0ffee00-5ec2-4e75-8a5e-0000000000aa"
SEED = f"""
version: "9.1.9"
cluster: {{name: lab}}
nodes:
  - {{name: pve1, cpus: 8, memory: 64Gi}}
  - {{name: pve2, cpus: 8, memory: 64Gi}}
bridges: [vmbr0]
storages:
  - {{storage: local, type: dir, path: /var/lib/vz, content: [iso, vztmpl, backup, snippets, import]}}
  - {{storage: fast, type: zfspool, pool: rpool/data, content: [images, rootdir]}}
volumes:
  - {{volid: "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", size: 126000000}}
users:
  - {{userid: "ops@pve", password: "correct-horse"}}
tokens:
  - {{tokenid: "root@pam!full", privsep: false, value: {SECRET}}}
  - {{tokenid: "ops@pve!ci", privsep: true, value: {LIMITED}}}
guests:
  - vmid: 300
    node: pve1
    type: lxc
    running: true
    config:
      hostname: legacy
      arch: amd64
      ostype: debian
      cores: 2
      memory: 1024
      swap: 512
      rootfs: "fast:subvol-300-disk-0,size=8G"
      net0: "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:03:00,ip=dhcp,type=veth"
      unprivileged: 1
"""
CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: lab}}
spec:
  endpoints: [{endpoints}]
  tls: {{caFile: {cafile}}}
  credentials: {{tokenID: "{token}", tokenSecret: {{env: LAB_SECRET}}}}
  defaults: {{storage: fast, bridge: vmbr0, template: debian-12}}
"""
GUESTS = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: db}
spec:
  vmid: 101
  node: pve1
  cpu: {cores: 2}
  memory: 1Gi
  rootDisk: {size: 8Gi}
  network: [{name: eth0, ip: 10.0.10.20/24, gateway: 10.0.10.1}]
  unprivileged: true
  running: true
---
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: web}
spec:
  vmid: 102
  node: pve2
  memory: 512Mi
  rootDisk: {size: 4Gi}
  network: [{name: eth0, ip: dhcp}]
  unprivileged: true
  tags: [web]
  description: The website
  needs: [Container/db]
"""


Running = tuple[subprocess.Popen[str], IO[str], IO[str]]


@dataclass(frozen=True)
class Said:
    """What a command said, masked, and how it ended."""

    out: str
    err: str
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def golden(self) -> str:
        return f"{self.out}--- errors\n{self.err}--- exit status {self.status}\n"


@dataclass
class Desk:
    """A directory of manifests beside a running cluster."""

    directory: Path
    urls: Mapping[str, str]
    cafile: str

    def write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def cluster(self, token: str = "root@pam!full", **changes: str) -> None:
        facts = {"endpoints": ", ".join(self.urls.values()), "cafile": self.cafile, "token": token} | changes
        self.write("cluster.yaml", CLUSTER.format(**facts))

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "innkeeper", *words]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "VIRTUAL_ENV", "LANG")}
        return kept | {"LAB_SECRET": SECRET, "COLUMNS": "100"}

    def innkeeper(self, *words: str, stdin: str = "", secret: str = SECRET) -> Said:
        done = subprocess.run(
            self.command(*words),
            cwd=self.directory,
            env=self.environment | {"LAB_SECRET": secret},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert secret.strip() == "" or secret not in done.stdout + done.stderr, "a secret is shown"
        return Said(self.mask(done.stdout), self.mask(done.stderr), done.returncode)

    @contextmanager
    def running(self, *words: str, stdin: int | None = None) -> Iterator[Running]:
        """The command while it runs, with its output and its errors; ended at the end in any case."""
        with subprocess.Popen(
            self.command(*words), cwd=self.directory, env=self.environment,
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                yield process, process.stdout, process.stderr
            finally:
                process.kill()

    def mask(self, text: str) -> str:
        for name, url in self.urls.items():
            text = text.replace(url, f"https://{name}").replace(url.removeprefix("https://"), name)
        text = text.replace(self.cafile, "CA").replace(str(self.directory), "DIR")
        text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
        text = re.sub(r"BC:24:11:[0-9A-F:]{8}", "MAC", text)
        return re.sub(r"\d+\.\d s$", "SECONDS", text, flags=re.MULTILINE)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    seed = tmp_path / "seed.yaml"
    seed.write_text(SEED)
    directory = tmp_path / "home"
    directory.mkdir()
    command = [sys.executable, "-m", "pvesim", "--seed", str(seed), "--port", "0", "--exit-on-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            found = Desk(directory, ready["nodes"], ready["cafile"])
            found.cluster()
            found.write("guests.yaml", GUESTS)
            yield found
        finally:
            process.terminate()
            process.wait(10)
