"""One `pvesim` a module, with images to import; every test has a VM id of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.pvesim import running
from tests.pvesim.running import Reply, Sim

IMAGE = "local:import/debian-12.qcow2"
ISO = "local:iso/debian.iso"
SNIPPET = "local:snippets/hook.sh"
SEED: dict[str, Any] = running.ONE_NODE | {
    "storages": [
        *running.ONE_NODE["storages"],
        {"storage": "thin", "type": "lvmthin", "vgname": "pve", "thinpool": "data", "content": ["images", "rootdir"]},
        {"storage": "iso", "type": "dir", "path": "/iso", "content": ["iso"]},
    ],
    "volumes": [
        {"volid": IMAGE, "size": 2 * 2**30},
        {"volid": ISO, "size": 600 * 2**20},
        {"volid": SNIPPET, "size": 100},
    ],
    "pools": [{"poolid": "apps"}],
    "roles": [
        {"roleid": "Settings", "privs": ["VM.Audit", "VM.Config.Options", "VM.Config.Memory"]},
        {"roleid": "Maker", "privs": ["VM.Audit", "VM.Allocate", "VM.Config.Disk", "VM.Config.Network"]},
    ],
    "acl": [
        {"path": "/vms/901", "roleid": "Settings", "ugid": "alice@pve"},
        {"path": "/vms/902", "roleid": "Maker", "ugid": "alice@pve"},
    ],
}
_IDS = count(200)


@dataclass
class Machine:
    """A VM under test; `run` gives a task's exit status, or `500 text` where no task began."""

    sim: Sim
    vmid: int
    token: str = "root@pam!full"

    @property
    def path(self) -> str:
        return f"/nodes/pve/qemu/{self.vmid}"

    def call(self, verb: str, below: str = "", **params: Any) -> Reply:
        sent = {key.replace("_", "-") if key not in KEEP else key: value for key, value in params.items()}
        return self.sim.call(verb, self.path + below, sent or None, token=self.token)

    def get(self, below: str = "", **params: Any) -> Any:
        return self.call("GET", below, **params).data

    def put(self, **params: Any) -> Reply:
        return self.call("PUT", "/config", **params)

    def run(self, verb: str, below: str = "", **params: Any) -> str:
        return self.end(self.call(verb, below, **params))

    def create(self, **params: Any) -> str:
        sent = {key.replace("_", "-") if key not in KEEP else key: value for key, value in params.items()}
        return self.end(self.sim.call("POST", "/nodes/pve/qemu", {"vmid": self.vmid} | sent, token=self.token))

    def end(self, reply: Reply) -> str:
        if reply.status != 200:
            return f"{reply.status} {reply.message}" + (f" {reply.errors}" if reply.errors else "")
        return self.sim.task(reply.data)

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.get("/config"))

    def waiting(self) -> dict[str, Any]:
        """What `pending` shows of settings that wait: (now, then)."""
        rows = self.get("/pending")
        return {
            row["key"]: (row.get("value"), row.get("pending", "deleted"))
            for row in rows
            if "pending" in row or "delete" in row
        }


KEEP = frozenset({"background_delay"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    started = running.start(tmp_path_factory.mktemp("sim"), SEED)
    yield started
    started.stop()


@pytest.fixture
def vm(server: Sim) -> Machine:
    """Not there yet."""
    return Machine(server, next(_IDS))


@pytest.fixture
def booted(vm: Machine) -> Machine:
    """A running VM with a system on its disk and an agent."""
    made = vm.create(
        name="web", memory=512, agent=1, ostype="l26", net0="virtio,bridge=vmbr0", scsi0=f"local:0,import-from={IMAGE}"
    )
    assert made == "OK"
    assert vm.run("POST", "/status/start") == "OK"
    return vm


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Machine]:
    """A VM id on a node of release 8.4."""
    started = running.start(tmp_path, SEED | {"version": "8.4.21"})
    yield Machine(started, 200)
    started.stop()
