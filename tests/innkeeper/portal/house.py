"""A real `innkeeper serve` over pvesim and a real repository, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.innkeeper.control.home import Upstream, upstream
from tests.pvesim import running

_CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: attic}}
spec:
  endpoints: [{endpoints}]
  tls: {{caFile: {cafile}}}
  credentials: {{tokenID: "root@pam!full", tokenSecret: {{env: PVE_TOKEN_SECRET}}}}
{cluster}
---
apiVersion: innkeeper.dev/v1alpha1
kind: Source
metadata: {{name: homelab}}
spec:
  url: {url}
  interval: 2s
  write: guests
  prune: true
{source}
"""
_DEFAULTS = "  defaults: {storage: btr, bridge: vmbr0, template: debian-12}"


@dataclass
class House:
    """`setup` is the one-time link of the first start."""

    url: str
    setup: str
    sim: running.Sim
    upstream: Upstream
    data: Path

    def config(self, vmid: int) -> Mapping[str, Any]:
        """A container's configuration as Proxmox has it."""
        found: Mapping[str, Any] = self.sim.call("GET", f"/nodes/{self.node(vmid)}/lxc/{vmid}/config").data
        return found

    def node(self, vmid: int) -> str:
        return str(self.guests()[vmid]["node"])

    def guests(self) -> dict[int, Mapping[str, Any]]:
        return {item["vmid"]: item for item in self.sim.call("GET", "/cluster/resources", {"type": "vm"}).data}


@contextmanager
def opened(
    place: Path,
    *,
    cluster: Callable[[running.Sim], str] = lambda _: _DEFAULTS,
    source: str = "",
    more: str = "",
    seed: Mapping[str, Any] = running.THREE_NODES,
    options: tuple[str, ...] = (),
) -> Iterator[House]:
    """`cluster` and `source` are further lines of their specs, `more` further documents; `options` are pvesim's."""
    sim = running.start(place, seed, *options)
    made = upstream(place)
    made.push("begin", readme="")
    source = textwrap.indent(textwrap.dedent(source), "  ")
    urls = ", ".join(sim.urls.values())
    text = _CLUSTER.format(endpoints=urls, cafile=sim.cafile, url=made.bare, cluster=cluster(sim), source=source)
    (place / "config.yaml").write_text(text + more)
    log = (place / "serve.log").open("w")
    told = ["--listen", "127.0.0.1:0", "--data", str(place / "data"), "--config", str(place / "config.yaml")]
    server = subprocess.Popen(
        [sys.executable, "-m", "innkeeper", "serve", *told],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "PVE_TOKEN_SECRET": running.SECRET, "XDG_DATA_HOME": str(place / "xdg")},
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line, (place / "serve.log").read_text()
        ready = json.loads(line)
        yield House(ready["url"], ready["setup"], sim, made, place / "data")
    finally:
        server.terminate()
        server.wait(20)
        if server.stdout:
            server.stdout.close()
        log.close()
        sim.process.terminate()
        sim.process.wait(60)  # real containers end in their own time
        sim.stop()
