"""Virtual machines: list, create, config, disks, cloud-init, removal (PVE::API2::Qemu)."""

from __future__ import annotations

import asyncio

from pvesim.api.method import ApiError, Call, TaskLog, method, param_error
from pvesim.cluster import disks as volumes
from pvesim.cluster import guestlock, ha, storage
from pvesim.cluster.qemu import (
    apply,
    cloudinit,
    create,
    destroy,
    disks,
    drive,
    machine,
    moves,
    options,
    pending,
    power,
    reassign,
    restore,
    status,
    update,
)
from pvesim.cluster.state import Guest, Snapshot

BASE = "/nodes/{node}/qemu"
VM = f"{BASE}/{{vmid}}"
_INDEX = (
    *("config", "cloudinit", "pending", "status", "unlink", "vncproxy", "termproxy", "migrate", "resize", "move"),
    *("rrd", "rrddata", "monitor", "agent", "snapshot", "spiceproxy", "sendkey", "firewall", "mtunnel"),
    "remote_migrate",
)


def vmid_of(call: Call) -> int:
    return int(call.params["vmid"])


def guest_of(call: Call) -> Guest:
    """The VM of the path, or ApiError 500."""
    return machine.find(call.cluster, call.node, vmid_of(call))


def check_root(call: Call, *names: str) -> None:
    """ApiError 400 where an option is set that only root@pam may use."""
    for name in names:
        if call.params.get(name) and not call.auth.is_root:
            raise param_error(**{name: "Only root may use this option."})


@method("GET", BASE)
def vm_list(call: Call) -> object:
    """Those that the caller may see."""
    found = sorted(call.cluster.guests.values(), key=lambda guest: guest.vmid)
    mine = [guest for guest in found if guest.kind == "qemu" and guest.node == call.node]
    full = bool(call.params.get("full"))
    return [
        status.status(call.cluster, guest, full=full)
        for guest in mine
        if call.allowed(f"/vms/{guest.vmid}", "VM.Audit")
    ]


@method("POST", BASE)
async def create_vm(call: Call) -> object:
    """A task; the id is taken before it begins. `start` is a task of its own afterwards."""
    asked = create.prepare(call, call.params)
    if asked.archive:
        restore.check(call, asked)
    await create.reserve(call, asked)

    async def work(log: TaskLog) -> None:
        if asked.archive:
            await restore.run(call, asked, log)
        else:
            await create.run(call, asked, log)
        if asked.ha_managed:
            log("Add as HA resource")
            resource = {"type": "vm", "state": "started" if asked.start else "stopped"}
            ha.entries(call.cluster, "resources")[f"vm:{asked.vmid}"] = resource
        if asked.start:
            log("Execute autostart")
            start_later(call, asked.vmid)

    return call.fork("qmrestore" if asked.archive else "qmcreate", asked.vmid, work)


def start_later(call: Call, vmid: int) -> str:
    """Start a VM by a task of its own."""

    async def work(log: TaskLog) -> None:
        await power.start(call, call.node, vmid, log)

    return call.fork("qmstart", vmid, work)


@method("GET", VM)
def vm_index(call: Call) -> object:
    return [{"subdir": name} for name in _INDEX]


@method("GET", f"{VM}/config")
def vm_config(call: Call) -> object:
    """With what waits for a restart; `current`: without; `snapshot`: of that one."""
    guest, name = guest_of(call), call.params.get("snapshot")
    if name and call.params.get("current"):
        text = "cannot use 'snapshot' parameter with 'current'"
        raise param_error(snapshot=text, current=text)
    if name:
        config = _snapshot(guest, str(name)).as_config()
    else:
        config = guest.config if call.params.get("current") else pending.effective(guest)
    shown = options.typed(config)
    if shown.get("cipassword"):
        shown["cipassword"] = pending.MASK
    return shown | {"digest": call.cluster.digest(guest)}


def _snapshot(guest: Guest, name: str) -> Snapshot:
    if name not in guest.snapshots:
        raise ApiError(500, f"snapshot '{name}' does not exist")
    return guest.snapshots[name]


@method("GET", f"{VM}/pending")
def vm_pending(call: Call) -> object:
    guest = guest_of(call)
    return pending.rows(guest, call.cluster.digest(guest))


@method("PUT", f"{VM}/config")
async def update_vm(call: Call) -> object:
    """At once; null."""
    await _update_now(call, update.prepare(call, call.params))
    return None


async def _update_now(call: Call, change: update.Change) -> None:
    update.check(call, change)
    await update.run(call, change, lambda _: None)


@method("POST", f"{VM}/config")
async def update_vm_async(call: Call) -> object:
    """By a task; null where it ends within `background_delay` seconds."""
    change = update.prepare(call, call.params)
    update.check(call, change)

    async def work(log: TaskLog) -> None:
        await update.run_task(call, change, log)

    upid = call.fork("qmconfig", change.vmid, work)
    if delay := call.params.get("background_delay"):
        await asyncio.wait({asyncio.ensure_future(call.cluster.tasks.settle(upid))}, timeout=int(delay))
        ended = call.cluster.tasks.by_upid[upid].exitstatus
        if ended is not None:
            if ended == "OK" or ended.startswith("WARNINGS"):
                return None
            raise ApiError(500, f"failed to update VM {change.vmid}: {ended}")
    return upid


@method("PUT", f"{VM}/unlink")
async def unlink(call: Call) -> object:
    """The same as `delete=` in the config."""
    given = {"node": call.node, "vmid": vmid_of(call), "delete": call.params["idlist"]}
    force = {"force": True} if call.params.get("force") else {}
    await _update_now(call, update.prepare(call, given | force))
    return None


@method("DELETE", VM)
def destroy_vm(call: Call) -> object:
    check_root(call, "skiplock")
    vmid, purge = vmid_of(call), bool(call.params.get("purge"))
    destroy.check(call.cluster, call.node, vmid, purge=purge)
    unreferenced = bool(call.params.get("destroy-unreferenced-disks"))
    skiplock = bool(call.params.get("skiplock"))

    async def work(log: TaskLog) -> None:
        await destroy.run(call, call.node, vmid, log, purge=purge, unreferenced=unreferenced, skiplock=skiplock)

    return call.fork("qmdestroy", vmid, work)


@method("PUT", f"{VM}/resize")
def resize_vm(call: Call) -> object:
    """A task; nothing is looked at before it."""
    check_root(call, "skiplock")
    vmid, digest, skiplock = vmid_of(call), call.params.get("digest"), bool(call.params.get("skiplock"))
    slot, size = str(call.params["disk"]), str(call.params["size"])

    async def work(log: TaskLog) -> None:
        await moves.resize(call, call.node, vmid, slot, size, digest=digest, skiplock=skiplock)
        log("Image resized.")

    return call.fork("resize", vmid, work)


@method("POST", f"{VM}/move_disk")
def move_vm_disk(call: Call) -> object:
    """To another storage, or to another VM."""
    vmid, slot = vmid_of(call), str(call.params["disk"])
    where, target = call.params.get("storage"), call.params.get("target-vmid")
    if bool(where) == bool(target):
        either = "either set 'storage' or 'target-vmid', but not both"
        text = either if where else "both 'storage' and 'target-vmid' missing, either needs to be set"
        raise param_error(target_vmid=text, storage=text)
    if target:
        return _reassign(call, slot, int(target))
    call.check(f"/storage/{where}", "Datastore.AllocateSpace")
    form, digest = call.params.get("format"), call.params.get("digest")
    move = moves.Move(call.node, vmid, slot, str(where), form, bool(call.params.get("delete")), digest)
    moves.check_move(call, move)

    async def work(log: TaskLog) -> None:
        await moves.move_storage(call, move, log)

    return call.fork("qmmove", vmid, work)


def _reassign(call: Call, slot: str, target: int) -> str:
    if not call.auth.is_root:
        call.check(f"/vms/{target}", "VM.Config.Disk")
    if target == vmid_of(call):
        raise param_error(target_vmid="must be different than source VMID to reassign disk")
    named = str(call.params.get("target-disk") or slot)
    digests = call.params.get("digest"), call.params.get("target-digest")
    move = reassign.Reassign(call.node, vmid_of(call), slot, target, named, *digests)
    _, _, volid = reassign.check(call, move)
    call.check(f"/storage/{storage.storage_of(volid)}", "Datastore.AllocateSpace")

    async def work(log: TaskLog) -> None:
        await reassign.run(call, move, log)

    return call.fork("qmmove", move.id, work)


@method("POST", f"{VM}/template")
def template(call: Call) -> object:
    vmid, disk = vmid_of(call), call.params.get("disk")
    machine.check_template(guest_of(call), whole=not disk)

    async def work(log: TaskLog) -> None:
        async with call.cluster.locks.guest(call.node, "qemu", vmid):
            guest = machine.find(call.cluster, call.node, vmid)
            machine.check_template(guest, whole=not disk)
            call.cluster.writable(guest)
            guest.config["template"] = "1"
            await disks.make_template(call.cluster, guest, disk)

    return call.fork("qmtemplate", vmid, work)


@method("GET", f"{VM}/feature")
def vm_feature(call: Call) -> object:
    """Whether snapshot, clone or copy is possible, and on which nodes all volumes are there."""
    guest, name = guest_of(call), call.params.get("snapname")
    config = _snapshot(guest, str(name)).as_config() if name else guest.config
    nodes = set(call.cluster.nodes)
    for one in drive.drives(config):
        if one.storage:
            found = storage.lookup(call.cluster, one.storage)
            if not found.enabled:
                nodes = set()
            elif found.options.get("nodes"):
                nodes = {node for node in nodes if found.on(node)}
            elif not found.shared:
                nodes &= {guest.node}
    able = volumes.can(call.cluster, str(call.params["feature"]), "qemu", config, snapshot=bool(name))
    return {"hasFeature": int(able), "nodes": sorted(nodes)}


@method("GET", f"{VM}/cloudinit")
def cloudinit_pending(call: Call) -> object:
    return cloudinit.rows(guest_of(call))


@method("PUT", f"{VM}/cloudinit")
async def cloudinit_update(call: Call) -> object:
    async with call.cluster.locks.guest(call.node, "qemu", vmid_of(call)):
        guest = guest_of(call)
        guestlock.check(guest)
        call.cluster.writable(guest)
        apply.write_cloudinit(call.cluster, guest, lambda _: None)
    return None


@method("GET", f"{VM}/cloudinit/dump")
def cloudinit_dump(call: Call) -> object:
    guest = guest_of(call)
    dns = call.cluster.nodes[call.node].dns
    return cloudinit.dump(guest.config, guest.vmid, str(call.params["type"]), dns)
