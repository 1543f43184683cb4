"""Migration of containers and virtual machines (PVE::API2::LXC, PVE::API2::Qemu)."""

from __future__ import annotations

from typing import Any

from pvesim.api.guestcall import guest_of, start_by_task
from pvesim.api.method import ApiError, Call, TaskLog, method, param_error
from pvesim.cluster import disks, guestlock, migrate, storageview
from pvesim.cluster import storage as storages
from pvesim.cluster.lxc import power
from pvesim.cluster.migrate import Move, StorageMap
from pvesim.cluster.qemu import machine
from pvesim.cluster.state import Guest


@method("GET", "/nodes/{node}/lxc/{vmid}/migrate")
def container_preconditions(call: Call) -> object:
    call.cluster.check_quorum()
    guest = guest_of(call)
    guestlock.check(guest)
    others = [node for node in call.cluster.nodes if node != call.node]
    return {"running": int(guest.running is not None), "allowed-nodes": others, "not-allowed-nodes": {}}


@method("GET", "/nodes/{node}/qemu/{vmid}/migrate")
def machine_preconditions(call: Call) -> object:
    """Nodes that lack a storage are refused only for a machine that is stopped."""
    cluster = call.cluster
    cluster.check_quorum()
    guest = guest_of(call)
    guestlock.check(guest)
    running = guest.running is not None
    refused = {}
    for node in cluster.nodes:
        missing = [] if running else _missing_storages(call, guest, node)
        if node != call.node and missing:
            refused[node] = {"unavailable_storages": missing}
    allowed = [node for node in cluster.nodes if node != call.node and node not in refused]
    return {
        "running": int(running),
        "allowed_nodes": allowed,
        "not_allowed_nodes": refused,
        "local_disks": list(_local_disks(call, guest).values()),
        "local_resources": migrate.local_resources(guest),
        "mapped-resources": [],
        "mapped-resource-info": {},
    } | ({"has-dbus-vmstate": 1} if cluster.major >= 9 else {})


def _missing_storages(call: Call, guest: Guest, node: str) -> list[str]:
    names = {storages.storage_of(disk.file) for disk in disks.disks("qemu", guest.config) if disk.is_volume}
    found = (call.cluster.storages.get(name) for name in sorted(names))
    return [storage.storage for storage in found if storage and not (storage.enabled and storage.on(node))]


def _local_disks(call: Call, guest: Guest) -> dict[str, dict[str, Any]]:
    cluster, rows = call.cluster, {}
    for storage in cluster.storages.values():
        if storage.shared or not storage.enabled or not storage.on(call.node):
            continue
        for row in storageview.content(cluster, storage, call.node, guest.vmid):
            if row["content"] == "images":
                rows[str(row["volid"])] = {key: value for key, value in row.items() if key != "content"}
    for disk in disks.disks("qemu", guest.config, unused=True):
        held = disk.is_volume and storages.lookup(cluster, storages.storage_of(disk.file)).shared
        if held or disk.file == "none":
            continue
        unused = disk.key.startswith("unused")
        row = rows.setdefault(disk.file, {"volid": disk.file})
        row |= {"cdrom": int(disk.is_cdrom), "replicate": int(disk.options.get("replicate", "1")), "shared": 0}
        row |= {"is_unused": int(unused), "is_attached": int(not unused), "is_vmstate": 0}
        row |= {"is_tpmstate": int(disk.key == "tpmstate0")} | ({} if unused else {"drivename": disk.key})
        if disk.size is not None:
            row["size"] = disk.size
    return rows


@method("POST", "/nodes/{node}/lxc/{vmid}/migrate")
def migrate_container(call: Call) -> object:
    params = call.params
    _check_target(call)
    guest = guest_of(call)
    if guest.running is not None and not params.get("online") and not params.get("restart"):
        raise ApiError(500, "can't migrate running container without --online or --restart")
    mapping = _storage_map(call, "target-storage", "rootdir", "storage '{}' does not support CT rootdirs")
    move = Move("lxc", guest.vmid, call.node, str(params["target"]), storages=mapping)
    move.online, move.restart = bool(params.get("online")), bool(params.get("restart"))
    return start_migration(call, guest, move)


@method("POST", "/nodes/{node}/qemu/{vmid}/migrate")
def migrate_machine(call: Call) -> object:
    params, cluster = call.params, call.cluster
    _check_target(call)
    for option in ("force", "migration_type", "migration_network"):
        if params.get(option) and not call.auth.is_root:
            raise param_error(**{option: "Only root may use this option."})
    guest = guest_of(call)
    guestlock.check(guest)
    running = machine.running(cluster, call.node, guest.vmid) is not None
    if running and not params.get("online"):
        raise ApiError(500, "can't migrate running VM without --online")
    mapping = _storage_map(call, "targetstorage", "images", "storage '{}' does not support vm images")
    if mapping.identity or not mapping.named:
        _check_storages(call, guest, str(params["target"]))
    move = Move("qemu", guest.vmid, call.node, str(params["target"]), storages=mapping)
    move.online, move.with_local_disks = running, bool(params.get("with-local-disks"))
    return start_migration(call, guest, move)


def _check_target(call: Call) -> None:
    target = str(call.params["target"])
    if target == call.node:
        raise param_error(target="target is local node.")
    call.cluster.check_quorum()
    if target not in call.cluster.nodes:
        raise ApiError(500, f"no such cluster node '{target}'")


def _storage_map(call: Call, option: str, content: str, refusal: str) -> StorageMap:
    try:
        mapping = migrate.parse_map(call.params.get(option))
    except ValueError as error:
        raise param_error(**{option: f"failed to parse storage map: {error}"}) from error
    if mapping.named:
        call.check(f"/vms/{call.params['vmid']}", "VM.Config.Disk")
    for name in mapping.named:
        storage = storages.usable(call.cluster, name, str(call.params["target"]))
        call.check(f"/storage/{name}", "Datastore.AllocateSpace")
        if content not in storages.content_of(storage):
            raise ApiError(500, refusal.format(name))
    return mapping


def _check_storages(call: Call, guest: Guest, target: str) -> None:
    for disk in disks.disks("qemu", guest.config):
        if disk.is_volume:
            name = storages.storage_of(disk.file)
            storages.usable(call.cluster, name, call.node)
            storage = storages.usable(call.cluster, name, target)
            content = storages.parse(call.cluster, disk.file).content
            if content not in storages.content_of(storage):
                raise ApiError(500, f"{disk.file}: content type '{content}' is not available on storage '{name}'")


def start_migration(call: Call, guest: Guest, move: Move) -> str:
    """The task; where HA manages the guest, one that asks HA for it."""

    async def stop(guest: Guest) -> None:
        await power.stop_locked(call.cluster, guest, force=False)

    async def start(guest: Guest) -> None:
        await call.cluster.tasks.settle(start_by_task(call, guest))

    async def work(log: TaskLog) -> None:
        await migrate.run(call.cluster, move, log)

    move.stop, move.start = stop, start
    task = "vzmigrate" if guest.kind == "lxc" else "qmigrate"
    sid = f"{'ct' if guest.kind == 'lxc' else 'vm'}:{guest.vmid}"
    managed = (call.cluster.ha.get("resources") or {}).get(sid)
    if not managed or managed.get("state") == "ignored":
        return call.fork(task, guest.vmid, work, node=move.node)

    async def ask(log: TaskLog) -> None:
        log(f"Requesting HA migration for {guestlock.WORD[guest.kind]} {guest.vmid} to node {move.target}")
        call.fork(task, guest.vmid, work, node=move.node)

    return call.fork("hamigrate", guest.vmid, ask, node=move.node)
