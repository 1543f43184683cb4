"""A whole cluster in this process: `pvesim` behind its real HTTPS, Innkeeper in front, the state in reach of a test."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from innkeeper.engine.ports import Event
from innkeeper.engine.reconcile import Prepared, carry_out, gate, prepare
from innkeeper.engine.result import Result
from innkeeper.model.objects import Cluster, Declared, Guest
from innkeeper.planner.policy import Policy
from innkeeper.proxmox.hypervisor import Proxmox
from pvesim.api.dispatch import Record
from pvesim.cluster.state import Guest as Simulated
from pvesim.run import Simulator
from tests.innkeeper.planner import worlds

SECRET = "11111111-1111-4111-8111-111111111111"
OLDER = "22222222-2222-4222-8222-222222222222"
SEED = f"""
version: "9.1.9"
cluster: {{name: lab}}
nodes:
  - {{name: pve1, cpus: 4, memory: 64Gi}}
  - {{name: pve2, cpus: 4, memory: 64Gi}}
  - {{name: pve3, cpus: 4, memory: 64Gi}}
bridges: [vmbr0, vmbr1]
storages:
  - {{storage: local, type: dir, path: /var/lib/vz, content: [iso, vztmpl, backup, images, rootdir, snippets, import]}}
  - {{storage: btr, type: btrfs, path: /var/lib/btrfs, content: [images, rootdir]}}
  - {{storage: nas, type: dir, path: /mnt/nas, shared: true, content: [images, rootdir]}}
volumes:
  - {{volid: "{worlds.TEMPLATE}", size: 126000000}}
pools: [{{poolid: apps}}]
tokens:
  - {{tokenid: "root@pam!full", privsep: false, value: {SECRET}}}
"""


@dataclass(slots=True)
class Lab:
    """`calls` is every call that reached the API, in order."""

    home: Path
    sim: Simulator
    cluster: Cluster
    calls: list[Record] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def proxmox(self) -> Proxmox:
        return Proxmox(self.cluster, self.home, {"TOKEN": SECRET})

    @property
    def guests(self) -> dict[int, Simulated]:
        return self.sim.cluster.guests

    @property
    def writes(self) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.calls if call.write]

    def faults(self, text: str) -> None:
        (self.home / "faults.yaml").write_text(textwrap.dedent(text))
        self.sim.faults.load()

    def declared(self, *guests: Guest) -> Declared:
        return Declared((self.cluster,), (), guests)

    async def prepare(self, *guests: Guest, **policy: Any) -> Prepared:
        hypervisor = self.proxmox()
        try:
            wanted = Policy(**{"source": worlds.SOURCE, "revision": "r1"} | policy)
            return await prepare(self.declared(*guests), {"lab": hypervisor}, wanted, patience=1.0)
        finally:
            await hypervisor.close()

    async def apply(self, *guests: Guest, **policy: Any) -> Result:
        """Plan and carry out, as `innkeeper apply --yes` does, with little patience."""
        return await self.run(self.proxmox(), *guests, **policy)

    async def run(
        self,
        hypervisor: Proxmox,
        *guests: Guest,
        stop: asyncio.Event | None = None,
        digest: str | None = None,
        parallel: int = 8,
        patience: float = 1.0,
        **policy: Any,
    ) -> Result:
        try:
            wanted = Policy(**{"source": worlds.SOURCE, "revision": "r1"} | policy)
            prepared = await prepare(self.declared(*guests), {"lab": hypervisor}, wanted, patience=patience)
            gate(prepared, digest)
            return await carry_out(prepared, {"lab": hypervisor}, self.events.append, stop, parallel, patience)
        finally:
            await hypervisor.close()

    def only(self) -> Simulated:
        (guest,) = self.guests.values()
        return guest


@asynccontextmanager
async def running(home: Path, seed: str = SEED, *, real: bool = False) -> AsyncIterator[Lab]:
    """A lab from start to end."""
    (home / "seed.yaml").write_text(seed)
    (home / "faults.yaml").write_text("{}")
    sim = Simulator(home, home / "seed.yaml", home / "faults.yaml", real=real)
    urls = await sim.start(0)
    cluster = worlds.cluster(
        endpoints=tuple(urls.values()),
        tls={"caFile": str(sim.cafile)},
        credentials={"tokenID": "root@pam!full", "tokenSecret": {"env": "TOKEN"}},
    )
    lab = Lab(home, sim, cluster)
    sim._dispatcher.logged = lab.calls.append
    try:
        yield lab
    finally:
        await sim.stop()


def brief(result: Result) -> list[str]:
    """`create Container/web 1000 done` for each step."""
    return [
        f"{item.step.action} {item.step.ref} {item.step.vmid} {item.state}" + (f": {item.error}" if item.error else "")
        for item in result.results
    ]
