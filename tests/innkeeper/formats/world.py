"""A cluster as the examples of other formats expect it, and what planning and applying them on it comes to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from innkeeper.engine.reconcile import Prepared, carry_out, prepare
from innkeeper.engine.result import Result
from innkeeper.manifests.loading import Loaded, load
from innkeeper.model.objects import Declared
from innkeeper.model.sources import Format
from innkeeper.planner.policy import Policy
from innkeeper.proxmox.hypervisor import Proxmox
from innkeeper.sources.nix import evaluate
from pvesim.run import Simulator

EXAMPLES = Path(__file__).parents[3] / "examples/formats"
SECRET = "11111111-1111-4111-8111-111111111111"
SEED = f"""
version: "9.1.9"
nodes:
  - {{name: pve, cpus: 16, memory: 128Gi}}
bridges: [vmbr0]
storages:
  - {{storage: local, type: dir, path: /var/lib/vz, content: [iso, vztmpl, backup, snippets, import]}}
  - {{storage: local-lvm, type: lvmthin, vgname: pve, thinpool: data, content: [images, rootdir], size: 4Ti}}
volumes:
  - {{volid: "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", size: 126000000}}
  - {{volid: "local:iso/cloud-init-worker.iso", size: 400000}}
  - {{volid: "local:import/k3s-control.qcow2", size: 2147483648}}
  - {{volid: "local:import/k3s-worker.qcow2", size: 2147483648}}
  - {{volid: "local:import/my-server.qcow2", size: 2147483648}}
users:
  - {{userid: "root@pam", password: "a-long-password"}}
tokens:
  - {{tokenid: "root@pam!full", privsep: false, value: {SECRET}}}
"""
CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec:
  endpoints: [{endpoint}]
  tls: {{caFile: {cafile}}}
  credentials: {{username: root@pam, password: {{env: SECRET}}}}
"""


@dataclass(frozen=True)
class World:
    home: Path
    sim: Simulator
    endpoint: str

    def cluster(self, name: str = "home") -> Path:
        """A Cluster manifest; root's own ticket, because one example binds a directory of the node."""
        file = self.home / "cluster.yaml"
        file.write_text(CLUSTER.format(name=name, endpoint=self.endpoint, cafile=self.sim.cafile))
        return file

    async def plan(self, loaded: Loaded) -> Prepared:
        async with self._hypervisor(loaded.declared) as (name, hypervisor):
            wanted = Policy(source="move", revision="r1")
            return await prepare(_machines_only(loaded.declared), {name: hypervisor}, wanted)

    async def apply(self, loaded: Loaded) -> Result:
        async with self._hypervisor(loaded.declared) as (name, hypervisor):
            wanted = Policy(source="move", revision="r1")
            prepared = await prepare(_machines_only(loaded.declared), {name: hypervisor}, wanted)
            return await carry_out(prepared, {name: hypervisor}, lambda event: None, None, 8, 5.0)

    def config(self, vmid: int) -> dict[str, str]:
        """A guest's configuration as the simulator keeps it."""
        return {key: str(value) for key, value in self.sim.cluster.guests[vmid].config.items()}

    @asynccontextmanager
    async def _hypervisor(self, declared: Declared) -> AsyncIterator[tuple[str, Proxmox]]:
        (cluster,) = declared.clusters
        hypervisor = Proxmox(cluster, self.home, {"SECRET": "a-long-password"})
        try:
            yield cluster.name, hypervisor
        finally:
            await hypervisor.close()


def read(*paths: Path, written: Format | None = None) -> Loaded:
    return load(paths, written, evaluate)


def calls(prepared: Prepared) -> dict[str, list[str]]:
    """The writing calls that the plan makes for each object; our own notes are left out."""
    found: dict[str, list[str]] = {}
    for step in prepared.plan.steps:
        for call in step.operations:
            params = " ".join(f"{name}={value}" for name, value in call.params if name != "description")
            found.setdefault(str(step.ref), []).append(f"{call.method} {call.path} {params}".strip())
    return found


def said(loaded: Loaded) -> list[str]:
    """`file:line code` of each finding, the directories left out."""
    places = [(item.location, item.code) for item in loaded.diagnostics]
    return [f"{Path(place.file).name}:{place.line} {code}" if place else code for place, code in places]


def _machines_only(declared: Declared) -> Declared:
    """The same without what runs inside: that is another test's."""
    guests = []
    for guest in declared.guests:
        spec = guest.spec.model_copy(update={"configure": None, "health": None})
        guests.append(type(guest)(guest.ref, spec, guest.origin, guest.labels, guest.annotations))
    return Declared(declared.clusters, declared.profiles, tuple(guests))


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[World]:
    (home / "seed.yaml").write_text(SEED)
    (home / "faults.yaml").write_text("{}")
    sim = Simulator(home, home / "seed.yaml", home / "faults.yaml")
    urls = await sim.start(0)
    try:
        yield World(home, sim, next(iter(urls.values())))
    finally:
        await sim.stop()
