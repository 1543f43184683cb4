"""The operator as a process of its own, between a real API server and a pvesim."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.innkeeper.operator.controlplane import ControlPlane, as_list
from tests.pvesim.running import SECRET, Sim

API = "vitistack.io/v1alpha1"
KINDS = (
    *("applications", "machines", "containers", "virtualmachines", "profiles"),
    *("proxmoxclusters", "clusters", "proxmoxnodes"),
)
SEED: dict[str, Any] = {
    "version": "9.1.9",
    "cluster": {"name": "sim"},
    "nodes": [{"name": name, "cpus": 8, "memory": "1Ti"} for name in ("pve1", "pve2")],
    "bridges": ["vmbr0", "vmbr1"],
    "storages": [
        {"storage": "local", "type": "dir", "path": "/var/lib/vz", "content": ["vztmpl", "iso"]},
        {"storage": "tank", "type": "zfspool", "pool": "tank", "content": ["images", "rootdir"], "total": "100Ti"},
        {"storage": "fast", "type": "zfspool", "pool": "fast", "content": ["images"], "total": "100Ti"},
    ],
    "volumes": [{"volid": "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", "size": 126000000}],
    "tokens": [{"tokenid": "root@pam!full", "privsep": False, "value": SECRET}],
    "guests": [
        {
            "vmid": 900,
            "kind": "qemu",
            "node": "pve1",
            "config": {
                "name": "debian-12",
                "template": "1",
                "memory": "1024",
                "scsihw": "virtio-scsi-pci",
                "scsi0": "tank:base-900-disk-0,size=4G",
                "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
            },
        }
    ],
}


def secret(name: str = "pve", **values: str) -> dict[str, Any]:
    data = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "data": data or _default(),
    }


def _default() -> dict[str, str]:
    pairs = (("token-id", "root@pam!full"), ("token-secret", SECRET))
    return {key: base64.b64encode(value.encode()).decode() for key, value in pairs}


def cluster(sim: Sim, name: str = "lab", **spec: Any) -> dict[str, Any]:
    refs = {
        "tokenID": {"secretRef": {"name": "pve", "key": "token-id"}},
        "tokenSecret": {"secretRef": {"name": "pve", "key": "token-secret"}},
    }
    body = {
        "endpoint": next(iter(sim.urls.values())),
        "caCertificate": Path(sim.cafile).read_text(),
        "credentials": refs,
        "storages": ["tank"],
    }
    return {
        "apiVersion": API,
        "kind": "ProxmoxCluster",
        "metadata": {"name": name, "namespace": "default"},
        "spec": body | spec,
    }


def machine(name: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "memory": 512 << 20,
        "cpu": {"cores": 1},
        "disks": [{"size": "4G", "storage": "tank"}],
        "networks": [{"bridge": "vmbr0"}],
    }
    return {
        "apiVersion": API,
        "kind": "Machine",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"cluster.vitistack.io/cluster-name": "lab"},
            "annotations": dict(annotations or {}),
        },
        "spec": body | spec,
    }


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(check: Callable[[], Any], what: str = "", patience: float = 40.0) -> Any:
    """The first answer that is true; fails when there is none in time."""
    deadline = time.monotonic() + patience
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.25)


@dataclass
class Operator:
    """One replica."""

    process: subprocess.Popen[bytes]
    log: Path
    metrics_port: int
    health_port: int

    def kill(self) -> None:
        """Without a word, as a node that loses power."""
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        port = self.metrics_port if path == "/metrics" else self.health_port
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def memory(self) -> int:
        """Resident bytes at their highest."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


@dataclass
class World:
    """An API server, a Proxmox, and as many replicas as a test starts."""

    plane: ControlPlane
    sim: Sim
    folder: Path
    operators: list[Operator] = field(default_factory=list)

    def operator(
        self,
        who: str | Path = "admin",
        command: Callable[[Mapping[str, str]], list[str]] = lambda settings: [
            sys.executable,
            "-m",
            "innkeeper",
            "operator",
        ],
        **settings: str,
    ) -> Operator:
        """`command` is what runs it with these settings, which it also finds in its environment."""
        number = len(self.operators)
        log = self.folder / f"operator-{number}.log"
        metrics, health = free(), free()
        told = {
            "KUBECONFIG": str(who if isinstance(who, Path) else self.plane.kubeconfig(who)),
            "RECONCILE_INTERVAL": "2s",
            "LEASE_DURATION": "15s",
            "METRICS_BIND_ADDRESS": f"127.0.0.1:{metrics}",
            "HEALTH_PROBE_BIND_ADDRESS": f"127.0.0.1:{health}",
            **settings,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(command(told), stdout=out, stderr=out, env={**os.environ, **told})
        made = Operator(process, log, metrics, health)
        self.operators.append(made)
        return made

    def kill(self, operator: Operator) -> None:
        """Kill the leader, and let its Lease be over at once: nobody renews it any more."""
        operator.kill()
        self.plane.kubectl("delete", "leases", "--all")

    def close(self) -> None:
        for item in self.operators:
            if item.process.poll() is None:
                item.kill()

    def forget(self) -> None:
        """Every object goes, whatever holds it."""
        for kind in KINDS:
            left = [item for item in self.plane.list(kind) if item["metadata"].get("finalizers")]
            for item in left:
                del item["metadata"]["finalizers"]
            if left:
                self.plane.kubectl("replace", "-f", "-", given=as_list(left), ok=False)
        self.plane.kubectl("delete", ",".join(KINDS), "--all", "--wait=false")
        self.plane.kubectl("delete", "secrets,leases", "--all")

    def made(self) -> list[int]:
        """The vmids of all guests that were created, in that order."""
        kinds = ("vzcreate", "qmcreate")
        upids = [str(call.get("upid") or "").split(":") for call in self.sim.calls()]
        return [int(words[6]) for words in upids if len(words) > 6 and words[5] in kinds]

    def vms(self) -> dict[int, dict[str, Any]]:
        """Virtual machines on Proxmox by vmid, templates aside."""
        rows = self.sim.call("GET", "/cluster/resources", {"type": "vm"}).data
        return {row["vmid"]: row for row in rows if row["type"] == "qemu" and not row.get("template")}

    def config(self, vmid: int) -> dict[str, Any]:
        node = self.vms()[vmid]["node"]
        found: dict[str, Any] = self.sim.call("GET", f"/nodes/{node}/qemu/{vmid}/config").data
        return found

    def wait(self, name: str, condition: str = "Ready", seconds: int = 40) -> None:
        self.plane.kubectl("wait", f"machine/{name}", f"--for=condition={condition}", f"--timeout={seconds}s")

    def ready(self) -> dict[str, bool]:
        """Every machine by name, and whether it is Ready."""
        found = {}
        for item in self.plane.list("machines"):
            told = item.get("status", {}).get("conditions") or []
            found[item["metadata"]["name"]] = ("Ready", "True") in {(one["type"], one["status"]) for one in told}
        return found

    def condition(self, name: str, kind: str = "machine", type_: str = "Ready") -> dict[str, Any]:
        found = self.plane.get(kind, name).get("status", {}).get("conditions") or []
        return next((dict(item) for item in found if item["type"] == type_), {})

    def reason(self, name: str, reason: str, kind: str = "machine") -> dict[str, Any]:
        """Wait until Ready has this reason."""
        return dict(
            until(
                lambda: (found := self.condition(name, kind)).get("reason") == reason and found,
                f"{kind}/{name} {reason}: {json.dumps(self.plane.get(kind, name).get('status'))}",
            )
        )
