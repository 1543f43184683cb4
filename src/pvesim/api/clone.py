"""Clones of containers and virtual machines, and containers that become templates (PVE::API2::LXC, ::Qemu)."""

from __future__ import annotations

import copy

from pvesim.api.guestcall import guest_of, kind_of
from pvesim.api.method import ApiError, Call, TaskFailed, TaskLog, method
from pvesim.cluster import clone, guestlock
from pvesim.cluster.clone import Plan, Wish
from pvesim.cluster.lxc import disks as container_disks
from pvesim.cluster.lxc import rights as container_rights
from pvesim.cluster.qemu import machine
from pvesim.cluster.qemu import rights as machine_rights
from pvesim.cluster.state import Guest


def _wish(call: Call) -> Wish:
    params, kind = call.params, kind_of(call)
    target = params.get("target")
    return Wish(
        call.node,
        kind,
        int(params["vmid"]),
        int(params["newid"]),
        None if params.get("full") is None else bool(params["full"]),
        params.get("storage"),
        params.get("format"),
        None if target in (call.node, "localhost") else target,
        params.get("snapname"),
        params.get("hostname" if kind == "lxc" else "name"),
        params.get("description"),
        params.get("pool"),
    )


def _plan(call: Call, guest: Guest, wish: Wish) -> Plan:
    if guest.kind == "lxc":
        return clone.plan_container(
            call.cluster, guest, wish, call.check, lambda text: container_rights.check_bridge(call, text)
        )
    return clone.plan_machine(
        call.cluster, guest, wish, call.check, lambda text: machine_rights.check_bridges(call, {"net0": text})
    )


@method("POST", "/nodes/{node}/lxc/{vmid}/clone")
async def clone_container(call: Call) -> object:
    """Nearly everything is refused at once; the source keeps `lock: disk`, the new one `lock: create`, till the end."""
    cluster, wish = call.cluster, _wish(call)
    clone.check_request(cluster, wish)
    source = await guestlock.take(cluster, wish.node, "lxc", wish.vmid, "disk")
    try:
        guest = await guestlock.create(cluster, wish.node, "lxc", wish.newid)
        try:
            plan = _plan(call, source, wish)
        except ApiError:
            cluster.guests.pop(wish.newid, None)
            raise
    except ApiError:
        await guestlock.give_back(cluster, wish.node, "lxc", wish.vmid, "disk")
        raise
    guest.config = plan.config | {"lock": "create"}
    guest.raw_lxc, guest.firewall = plan.raw_lxc, copy.deepcopy(source.firewall)

    async def work(log: TaskLog) -> None:
        log(f"creating a clone of container {wish.vmid} with ID {wish.newid}")
        try:
            if (source.running is not None) != plan.running:
                raise TaskFailed("clone failed: unexpected state change")
            await clone.copy_volumes(cluster, guest, plan, wish, log)
        except TaskFailed:
            cluster.forget_guest(wish.newid)
            raise
        finally:
            await guestlock.give_back(cluster, wish.node, "lxc", wish.vmid, "disk")
        await clone.settle(cluster, guest, wish, ["lock"])

    return call.fork("vzclone", wish.vmid, work)


@method("POST", "/nodes/{node}/qemu/{vmid}/clone")
async def clone_machine(call: Call) -> object:
    """Refused at once what can be; the locks of both machines are held for the whole task."""
    cluster, wish = call.cluster, _wish(call)
    running = machine.running(cluster, wish.node, wish.vmid) is not None
    clone.check_request(cluster, wish)
    _plan(call, guest_of(call), wish)

    async def work(log: TaskLog) -> None:
        async with (
            cluster.locks.guest(wish.node, "qemu", wish.vmid, clone.LOCK_TIMEOUT, shared=not running),
            cluster.locks.guest(wish.node, "qemu", wish.newid, clone.LOCK_TIMEOUT),
        ):
            await _clone_locked(call, wish, running, log)

    return call.fork("qmclone", wish.vmid, work)


async def _clone_locked(call: Call, wish: Wish, running: bool, log: TaskLog) -> None:
    cluster, source = call.cluster, guest_of(call)
    clone.check_request(cluster, wish)
    if (source.running is not None) != running:
        raise TaskFailed("unexpected state change")
    plan = _plan(call, source, wish)
    guest = Guest(wish.newid, "qemu", wish.node, config={"lock": "clone"}, created_at=cluster.clock.now())
    cluster.writable(guest)
    if wish.newid in cluster.guests:
        raise TaskFailed(f"close (rename) atomic file '/etc/pve/{guest.path}' failed: File exists")
    log(f"creating a clone of VM {wish.vmid} with ID {wish.newid}")
    cluster.guests[wish.newid] = guest
    guest.config = plan.config | {"lock": "clone"}
    guest.firewall = copy.deepcopy(source.firewall)
    try:
        await clone.copy_volumes(cluster, guest, plan, wish, log)
    except TaskFailed:
        cluster.forget_guest(wish.newid)
        raise
    if source.pending and not wish.snapname:
        log(f"found pending changes for '{','.join(source.pending)}', discarding for clone")
    await clone.settle(cluster, guest, wish, ["lock"])


@method("POST", "/nodes/{node}/lxc/{vmid}/template")
async def container_to_template(call: Call) -> object:
    """Nothing is returned, though a task does the work."""
    cluster, vmid = call.cluster, int(call.params["vmid"])
    async with cluster.locks.guest(call.node, "lxc", vmid):
        guest = guest_of(call)
        guestlock.check(guest)
        if guest.snapshots:
            raise ApiError(500, "unable to create template, because CT contains snapshots")
        if guest.is_template:
            raise ApiError(500, "you can't convert a template to a template")
        if guest.running is not None:
            raise ApiError(500, "you can't convert a CT to template if the CT is running")

        async def work(log: TaskLog) -> None:
            await container_disks.make_template(cluster, guest)
            cluster.writable(guest)
            guest.config["template"] = "1"

        call.fork("vztemplate", vmid, work)
    return None
