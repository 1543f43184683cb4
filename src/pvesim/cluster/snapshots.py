"""Snapshots of containers and virtual machines: take, delete, roll back (PVE::AbstractConfig, snapshot_*).

Each runs inside a task. The file lock is held only while the config changes; `lock:` in the config keeps others out
in between, so that a failure leaves what it leaves on a real node.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from pvesim.cluster import disks, guestlock
from pvesim.cluster import storage as storages
from pvesim.errors import ApiError, TaskFailed

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, Config, Guest, Kind, Snapshot
    from pvesim.cluster.tasks import TaskLog

SNAPSHOT_SECONDS = 0.2  # what one volume takes
_NOT_COPIED = frozenset({"snapstate", "snaptime", "vmstate", "lock", "digest", "description", "parent"})
_VMSTATE_OVERHEAD = 500  # MiB that Proxmox adds to twice the memory


def _copied(config: Config) -> Config:
    return {key: value for key, value in config.items() if key not in _NOT_COPIED and not key.startswith("unused")}


def existing(guest: Guest, name: str) -> Snapshot:
    """The snapshot, or ApiError 500."""
    if name not in guest.snapshots:
        raise ApiError(500, f"snapshot '{name}' does not exist")
    return guest.snapshots[name]


async def create(
    cluster: Cluster,
    node: str,
    kind: Kind,
    vmid: int,
    name: str,
    log: TaskLog,
    *,
    description: str = "",
    vmstate: bool = False,
) -> None:
    """Take a snapshot; with `vmstate` the memory of a running machine too."""
    await _prepare(cluster, node, kind, vmid, name, log, description=description, vmstate=vmstate)
    guest = cluster.guest(node, kind, vmid)
    done: set[str] = set()
    try:
        for disk in disks.snapshotted(kind, guest.snapshots[name].config):
            if kind == "qemu":
                log(f"snapshotting 'drive-{disk.key}' ({disk.file})")
            await cluster.clock.sleep(SNAPSHOT_SECONDS)
            storages.snapshot(cluster, node, disk.file, name)
            await cluster.backend.snapshot(guest, storages.get(cluster, node, disk.file), name)
            done.add(disk.key)
    except (ApiError, TaskFailed) as error:
        log("snapshot create failed: starting cleanup")
        await delete(cluster, node, kind, vmid, name, log, force=True, only=done)
        raise TaskFailed(str(error)) from error
    async with cluster.locks.guest(node, kind, vmid):
        guest = cluster.guest(node, kind, vmid)
        if guest.config.get("lock") != "snapshot":
            raise TaskFailed("missing snapshot lock")
        snap = existing(guest, name)
        if snap.state != "prepare":
            raise TaskFailed("wrong snapshot state")
        cluster.writable(guest)
        snap.state = None
        del guest.config["lock"]
        guest.config["parent"] = name


async def _prepare(
    cluster: Cluster, node: str, kind: Kind, vmid: int, name: str, log: TaskLog, *, description: str, vmstate: bool
) -> None:
    from pvesim.cluster.state import Snapshot

    async with cluster.locks.guest(node, kind, vmid):
        guest = cluster.guest(node, kind, vmid)
        if guest.is_template:
            raise TaskFailed("you can't take a snapshot if it's a template")
        guestlock.check(guest)
        if name in guest.snapshots:
            raise TaskFailed(f"snapshot name '{name}' already used")
        if not disks.can(cluster, "snapshot", kind, guest.config):
            raise TaskFailed("snapshot feature is not available")
        cluster.writable(guest)
        for other in sorted(guest.snapshots):
            if guest.snapshots[other].parent == name:
                log(f"deleting parent '{name}' reference from '{other}' to avoid bogus snapshot cycle.")
                guest.snapshots[other].parent = None
        snap = Snapshot(name, int(cluster.clock.now()), guest.config.get("parent"), description, _copied(guest.config))
        snap.raw_lxc = [list(line) for line in guest.raw_lxc]
        if vmstate and guest.running is not None:
            await _save_memory(cluster, guest, snap, log)
        snap.state = "prepare"
        guest.snapshots[name] = snap
        guest.config["lock"] = "snapshot"


async def _save_memory(cluster: Cluster, guest: Guest, snap: Snapshot, log: TaskLog) -> None:
    from pvesim.cluster.qemu.power import running_machine

    where = vmstate_storage(cluster, guest)
    memory = int(guest.config.get("memory", "512").removeprefix("current=").split(",")[0])
    name = f"vm-{guest.vmid}-state-{snap.name}" + (
        ".raw" if storages.type_of(storages.lookup(cluster, where)).files else ""
    )
    log(f"saving VM state and RAM using storage '{where}'")
    size = (memory * 2 + _VMSTATE_OVERHEAD) * 2**20
    snap.vmstate = await storages.alloc(cluster, where, guest.node, guest.vmid, size, "raw", name=name)
    snap.extra["runningmachine"] = running_machine(cluster)
    snap.extra["runningcpu"] = f"{guest.config.get('cpu', 'kvm64')},enforce"
    await cluster.clock.sleep(memory / 1024)
    log("completed saving the VM state in 1s, saved 120.00 MiB")


def vmstate_storage(cluster: Cluster, guest: Guest) -> str:
    """Where a machine's memory goes: configured, else a shared, else a local storage of its disks, files preferred."""
    if wanted := guest.config.get("vmstatestorage"):
        return wanted
    best: dict[bool, str] = {}
    for name in sorted({storages.storage_of(disk.file) for disk in disks.volumes("qemu", guest.config)}):
        found = storages.lookup(cluster, name)
        if found.shared not in best or storages.type_of(found).files:
            best[found.shared] = name
    return best.get(True) or best.get(False) or "local"


async def delete(
    cluster: Cluster,
    node: str,
    kind: Kind,
    vmid: int,
    name: str,
    log: TaskLog,
    *,
    force: bool = False,
    only: set[str] | None = None,
) -> None:
    """Delete a snapshot; `force` goes on where a volume's snapshot cannot be removed.

    `only` is the cleanup of a snapshot that failed half way: the lock is there already, and only these slots were done.
    """
    existing(cluster.guest(node, kind, vmid), name)
    lock = "snapshot" if only is not None else "snapshot-delete"
    if only is None:
        await guestlock.take(cluster, node, kind, vmid, lock)
    async with cluster.locks.guest(node, kind, vmid):
        guest = _locked(cluster, node, kind, vmid, lock)
        if guest.is_template:
            raise TaskFailed("you can't delete a snapshot if vm is a template")
        snap = existing(guest, name)
        cluster.writable(guest)
        snap.state = "delete"
    if snap.vmstate:
        await storages.free(cluster, node, snap.vmstate)
        snap.vmstate = None
    unused = await _delete_volumes(cluster, guest, snap, log, force=force, only=only)
    async with cluster.locks.guest(node, kind, vmid):
        guest = _locked(cluster, node, kind, vmid, lock)
        cluster.writable(guest)
        for other in guest.snapshots.values():
            if other.parent == name:
                other.parent = snap.parent
        if guest.config.get("parent") == name:
            del guest.config["parent"]
            if snap.parent:
                guest.config["parent"] = snap.parent
        del guest.snapshots[name]
        del guest.config["lock"]
        disks.add_unused(guest, unused)


async def _delete_volumes(
    cluster: Cluster, guest: Guest, snap: Snapshot, log: TaskLog, *, force: bool, only: set[str] | None
) -> list[str]:
    unused = []
    for disk in disks.snapshotted(guest.kind, snap.config):
        if only is None or disk.key in only:
            try:
                await cluster.clock.sleep(SNAPSHOT_SECONDS)
                storages.snapshot_delete(cluster, guest.node, disk.file, snap.name)
                await cluster.backend.drop_snapshot(guest, storages.get(cluster, guest.node, disk.file), snap.name)
                unused.append(disk.file)
            except (ApiError, TaskFailed) as error:
                if not force:
                    raise TaskFailed(str(error)) from error
                log(str(error))
        if not force:
            snap.config.pop(disk.key, None)
    return unused


def _locked(cluster: Cluster, node: str, kind: Kind, vmid: int, lock: str) -> Guest:
    guest = cluster.guest(node, kind, vmid)
    if guest.config.get("lock") != lock:
        raise TaskFailed(f"encountered invalid lock, expected '{lock}'")
    return guest


async def rollback(cluster: Cluster, node: str, kind: Kind, vmid: int, name: str) -> None:
    """Take the guest back: it is stopped, its config and volumes become the snapshot's; with memory it runs again."""
    async with cluster.locks.guest(node, kind, vmid):
        guest = cluster.guest(node, kind, vmid)
        snap = _to_roll_back(guest, name)
        for disk in disks.snapshotted(kind, snap.config):
            storages.check_rollback(cluster, node, disk.file, name)
        if snap.state:
            raise TaskFailed(f"unable to rollback to incomplete snapshot (snapstate = {snap.state})")
        guestlock.check(guest)
        cluster.writable(guest)
        if guest.running is not None:
            await cluster.backend.stop(guest, force=True)
            guest.running, guest.pid, guest.started_at, guest.paused = None, None, None, False
        guest.config["lock"] = "rollback"
    for disk in disks.snapshotted(kind, snap.config):
        await cluster.clock.sleep(SNAPSHOT_SECONDS)
        storages.rollback(cluster, node, disk.file, name)
        await cluster.backend.rollback(guest, storages.get(cluster, node, disk.file), name)
    async with cluster.locks.guest(node, kind, vmid):
        guest = cluster.guest(node, kind, vmid)
        snap = _to_roll_back(guest, name)
        if guest.config.get("lock") != "rollback":
            raise TaskFailed("got wrong lock")
        cluster.writable(guest)
        _apply(guest, snap)
        if snap.vmstate:
            await cluster.backend.start(guest)
            guest.running, guest.started_at, guest.pid = (
                dict(guest.config),
                cluster.clock.now(),
                cluster.tasks.pid(),
            )


def _to_roll_back(guest: Guest, name: str) -> Snapshot:
    if guest.is_template:
        raise TaskFailed("you can't rollback if vm is a template")
    return existing(guest, name)


def _apply(guest: Guest, snap: Snapshot) -> None:
    """The snapshot's config in place of the current one; what only the current one uses stays as `unusedN`."""
    kept = {disk.file for disk in disks.volumes(guest.kind, snap.config)}
    loose = [disk.file for disk in disks.volumes(guest.kind, guest.config) if disk.file not in kept]
    stays = {
        key: value
        for key, value in guest.config.items()
        if key == "description" or (key.startswith("unused") and value not in kept)
    }
    guest.config = stays | snap.config | {"parent": snap.name}
    disks.add_unused(guest, loose)
    guest.raw_lxc = [list(line) for line in snap.raw_lxc]
    guest.pending, guest.pending_delete = {}, {}
    if "vmgenid" in guest.config:
        guest.config["vmgenid"] = str(uuid.uuid4())
