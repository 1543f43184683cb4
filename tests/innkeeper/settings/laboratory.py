"""A real `pvesim` process, used as root@pam with a ticket: the one identity that may set everything."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from innkeeper.model.objects import Guest
from innkeeper.model.observed import Marker, ObservedGuest
from innkeeper.proxmox.guests import read_config
from innkeeper.settings.compare import Difference, compare
from innkeeper.settings.create import (
    create_params,
    owned_at_create,
    resize_params,
    resizes_after_create,
    update_params,
)
from innkeeper.settings.desired import Desired
from innkeeper.settings.made import made
from tests.innkeeper.settings.guests import SOURCE, TEMPLATE, seen
from tests.pvesim.running import ONE_NODE, Reply, Sim, start

ISO = "local:iso/debian-12.iso"
API = {"Container": "lxc", "VirtualMachine": "qemu"}


@dataclass
class Laboratory:
    """One node; `version` as `GET /version` says it, major and minor."""

    sim: Sim
    version: tuple[int, int]
    headers: dict[str, str]
    next_vmid: int = 1000
    connection: http.client.HTTPSConnection | None = None

    def call(self, method: str, path: str, params: Mapping[str, Any] | None = None) -> Reply:
        used, self.connection = self.connection or self.sim.connect(), None
        reply = self.sim.call(method, path, params, token=None, headers=self.headers, connection=used)
        if reply.status < 400 and reply.headers.get("connection", "").lower() != "close":
            self.connection = used
        return reply

    def write(self, method: str, path: str, params: Mapping[str, Any] | tuple[tuple[str, str], ...] = ()) -> None:
        """A writing call that must succeed, and its task."""
        reply = self.call(method, path, dict(params))
        assert reply.status == 200, (reply.status, reply.reason, reply.body, params)
        if isinstance(reply.data, str) and reply.data.startswith("UPID:"):
            exit_status = self.sim.task(reply.data)
            assert exit_status == "OK" or exit_status.startswith("WARNINGS"), (exit_status, params)

    def create(self, guest: Guest, desired: Desired) -> int:
        vmid, self.next_vmid = self.next_vmid, self.next_vmid + 1
        template = TEMPLATE if guest.ref.kind == "Container" else None
        marker = Marker(
            SOURCE,
            guest.ref.kind,
            guest.ref.name,
            "r1",
            owned_at_create(guest, desired),
            made(guest, desired, template),
        )
        body = create_params(guest, desired, vmid, template, marker, self.version)
        self.write("POST", f"/nodes/pve/{API[guest.ref.kind]}", body)
        for slot, size in resizes_after_create(desired):
            self.write("PUT", f"/nodes/pve/{API[guest.ref.kind]}/{vmid}/resize", resize_params(slot, size))
        return vmid

    def look(self, kind: str, vmid: int) -> ObservedGuest:
        base = f"/nodes/pve/{API[kind]}/{vmid}"
        config, pending = read_config(self.call("GET", f"{base}/pending").data)
        digest = config.pop("digest")
        status = self.call("GET", f"{base}/status/current").data["status"]
        pools = self.call("GET", "/cluster/resources", {"type": "vm"}).data
        pool = next((row.get("pool") for row in pools if row["vmid"] == vmid), None)
        return replace(seen(kind, config, pending, status, pool), vmid=vmid, digest=digest)

    def compare(self, guest: Guest, desired: Desired, vmid: int) -> tuple[Difference, ObservedGuest]:
        observed = self.look(guest.ref.kind, vmid)
        return compare(guest, desired, observed, self.version, SOURCE), observed

    def update(self, guest: Guest, desired: Desired, difference: Difference, observed: ObservedGuest) -> None:
        """All that a difference asks for, as a plan would order it."""
        base = f"/nodes/pve/{API[guest.ref.kind]}/{observed.vmid}"
        old = observed.marker
        marker = Marker(SOURCE, guest.ref.kind, guest.ref.name, "r2", difference.owned, old.made if old else ())
        if body := update_params(difference, observed, marker, desired):
            self.write("PUT", f"{base}/config", (*body, ("digest", observed.digest)))
        for slot, size in difference.resizes:
            self.write("PUT", f"{base}/resize", resize_params(slot, size))
        if difference.pool:
            before, after = difference.pool
            if before:
                self.write("PUT", f"/pools/{before}", {"vms": observed.vmid, "delete": 1})
            if after:
                self.write("PUT", f"/pools/{after}", {"vms": observed.vmid})

    def start(self, kind: str, vmid: int) -> None:
        self.write("POST", f"/nodes/pve/{API[kind]}/{vmid}/status/start")

    def remove(self, kind: str, vmid: int) -> None:
        base = f"/nodes/pve/{API[kind]}/{vmid}"
        if self.call("GET", f"{base}/status/current").data["status"] != "stopped":
            self.write("POST", f"{base}/status/stop")
        if self.call("GET", f"{base}/config").data.get("protection"):
            self.write("PUT", f"{base}/config", {"protection": 0})
        self.write("DELETE", base, None or {})


def open_laboratory(folder: Path, version: str) -> Laboratory:
    """Start it; `version` is `9.1.9` or `8.4.21`."""
    seed = ONE_NODE | {
        "version": version,
        "nodes": [{"name": "pve", "cpus": 256, "memory": "512Gi"}],
        "bridges": ["vmbr0", "vmbr1"],
        "pools": [{"poolid": "apps"}],
        "volumes": [*ONE_NODE["volumes"], {"volid": ISO, "size": 600_000_000}],
    }
    sim = start(folder, seed)
    ticket = sim.call("POST", "/access/ticket", {"username": "root@pam", "password": "rootpass1"}, token=None).data
    headers = {"Cookie": f"PVEAuthCookie={ticket['ticket']}", "CSRFPreventionToken": ticket["CSRFPreventionToken"]}
    major, minor, *_ = version.split(".")
    return Laboratory(sim, (int(major), int(minor)), headers)
