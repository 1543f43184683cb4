"""Snapshots of containers and virtual machines (PVE::API2::LXC::Snapshot, PVE::API2::Qemu)."""

from __future__ import annotations

from typing import Any

from pvesim.api.guestcall import guest_of, kind_of, start_by_task, typed
from pvesim.api.method import ApiError, Call, TaskLog, method
from pvesim.cluster import guestlock, snapshots
from pvesim.cluster.state import Guest, Snapshot

RESERVED = {"lxc": ("current", "vzdump"), "qemu": ("current", "pending")}
TASKS = {
    "lxc": {"create": "vzsnapshot", "delete": "vzdelsnapshot", "rollback": "vzrollback", "start": "vzstart"},
    "qemu": {"create": "qmsnapshot", "delete": "qmdelsnapshot", "rollback": "qmrollback", "start": "qmstart"},
}


@method("GET", "/nodes/{node}/lxc/{vmid}/snapshot")
@method("GET", "/nodes/{node}/qemu/{vmid}/snapshot")
def list_snapshots(call: Call) -> object:
    """All snapshots, and `current` as the one that the guest is at."""
    guest = guest_of(call)
    rows = [_row(guest, snap) for snap in guest.snapshots.values()]
    current: dict[str, Any] = {"name": "current", "description": "You are here!"}
    current |= {"digest": call.cluster.digest(guest), "running": int(guest.running is not None)}
    if parent := guest.config.get("parent"):
        current["parent"] = parent
    return [*rows, current]


def _row(guest: Guest, snap: Snapshot) -> dict[str, Any]:
    row: dict[str, Any] = {"name": snap.name, "snaptime": snap.time, "description": _description(guest, snap)}
    if guest.kind == "qemu":
        row["vmstate"] = int(snap.vmstate is not None)
    if snap.parent:
        row["parent"] = snap.parent
    if snap.state:
        row["snapstate"] = snap.state
    return row


def _description(guest: Guest, snap: Snapshot) -> str:
    """A container's parser ends every line of a description, the last one too; a machine's does not."""
    text = snap.description.rstrip("\n")
    return f"{text}\n" if text and guest.kind == "lxc" else text


@method("POST", "/nodes/{node}/lxc/{vmid}/snapshot")
@method("POST", "/nodes/{node}/qemu/{vmid}/snapshot")
def create_snapshot(call: Call) -> object:
    """A task; nearly all that can be wrong shows there."""
    kind, vmid, name = kind_of(call), int(call.params["vmid"]), str(call.params["snapname"])
    if name in RESERVED[kind]:
        raise ApiError(500, f"unable to use snapshot name '{name}' (reserved name)")
    text, memory = str(call.params.get("description") or ""), bool(call.params.get("vmstate"))

    async def work(log: TaskLog) -> None:
        await snapshots.create(call.cluster, call.node, kind, vmid, name, log, description=text, vmstate=memory)

    return call.fork(TASKS[kind]["create"], vmid, work)


@method("DELETE", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}")
@method("DELETE", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}")
def delete_snapshot(call: Call) -> object:
    kind, vmid, name = kind_of(call), int(call.params["vmid"]), str(call.params["snapname"])
    force = bool(call.params.get("force"))

    async def work(log: TaskLog) -> None:
        await snapshots.delete(call.cluster, call.node, kind, vmid, name, log, force=force)

    return call.fork(TASKS[kind]["delete"], vmid, work)


@method("GET", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}")
@method("GET", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}")
def snapshot_index(call: Call) -> object:
    return [{"cmd": "rollback"}, {"cmd": "config"}]


@method("POST", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/rollback")
@method("POST", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback")
def rollback_snapshot(call: Call) -> object:
    """A task; with `start` the guest is started by a task of its own when the rollback is done."""
    kind, vmid, name = kind_of(call), int(call.params["vmid"]), str(call.params["snapname"])

    async def work(log: TaskLog) -> None:
        lock = f"/var/lock/pve-manager/pve-migrate-{vmid}"
        async with call.cluster.locks.file(call.node, lock, 10):
            await snapshots.rollback(call.cluster, call.node, kind, vmid, name)
            if call.params.get("start") and guest_of(call).running is None:
                start_by_task(call, guest_of(call))

    return call.fork(TASKS[kind]["rollback"], vmid, work)


@method("GET", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config")
@method("GET", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config")
def snapshot_config(call: Call) -> object:
    guest = guest_of(call)
    snap = snapshots.existing(guest, str(call.params["snapname"]))
    shown = snap.as_config() | ({"description": _description(guest, snap)} if snap.description else {})
    return typed(call.cluster.version, guest.kind, shown) | {"snaptime": snap.time}


@method("PUT", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config")
@method("PUT", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/config")
async def update_snapshot(call: Call) -> object:
    """Only the description can change; without one nothing is even looked at."""
    if call.params.get("description") is None:
        return None
    kind, vmid = kind_of(call), int(call.params["vmid"])
    async with call.cluster.locks.guest(call.node, kind, vmid):
        guest = guest_of(call)
        guestlock.check(guest)
        snap = snapshots.existing(guest, str(call.params["snapname"]))
        call.cluster.writable(guest)
        snap.description = str(call.params["description"])
    return None
