"""Power and status of virtual machines, and what is asked of a running one (PVE::API2::Qemu, status/*)."""

from __future__ import annotations

import re
import time

from pvesim.api.method import ApiError, Call, TaskLog, method, param_error
from pvesim.api.qemu import VM, check_root, guest_of, vmid_of
from pvesim.cluster import ha, snapshots
from pvesim.cluster.qemu import machine, power, status
from pvesim.cluster.qemu.rights import check_vm

_COMMANDS = ("current", "start", "stop", "reset", "shutdown", "suspend", "reboot")
_FREE_MONITOR = frozenset({"?", "help", "info"})
_STEPS = {"hour": 60, "day": 1800, "week": 10800, "month": 43200, "year": 604800}
_POINTS = 70


@method("GET", f"{VM}/status")
def status_index(call: Call) -> object:
    guest_of(call)
    return [{"subdir": name} for name in _COMMANDS]


@method("GET", f"{VM}/status/current")
def vm_status(call: Call) -> object:
    return status.current(call.cluster, guest_of(call))


def _is_running(call: Call) -> None:
    if not machine.running(call.cluster, call.node, vmid_of(call)):
        raise ApiError(500, f"VM {vmid_of(call)} not running")


def _is_paused(call: Call) -> bool:
    found = call.cluster.guests.get(vmid_of(call))
    return bool(found and found.kind == "qemu" and found.node == call.node and found.running and found.paused)


def _by_ha(call: Call, verb: str, state: str) -> str | None:
    """Where HA manages the VM, a task that asks HA for that state; HA then acts by a task of root@pam."""
    vmid, cluster = vmid_of(call), call.cluster
    resource = ha.managed(cluster, f"vm:{vmid}")
    if resource is None:
        return None

    async def act(log: TaskLog) -> None:
        if state == "started":
            await power.start(call, call.node, vmid, log)
        else:
            await power.stop(call, call.node, vmid, log, shutdown=True)

    async def work(log: TaskLog) -> None:
        log(f"Requesting HA {verb} for VM {vmid}")
        resource["state"] = state
        task = "qmstart" if state == "started" else "qmshutdown"
        call.upids.append(cluster.tasks.start(call.node, task, str(vmid), "root@pam", act))

    return call.fork(f"ha{verb}", vmid, work)


@method("POST", f"{VM}/status/start")
def vm_start(call: Call) -> object:
    """A task, also where the VM runs already or is not there: that shows in the task."""
    check_root(
        call,
        *("stateuri", "skiplock", "migratedfrom", "migration_type", "migration_network", "targetstorage", "force-cpu"),
        *("with-conntrack-state", "nets-host-mtu"),
    )
    if call.params.get("targetstorage") and not call.params.get("migratedfrom"):
        raise param_error(targetstorage="targetstorage can only by used with migratedfrom.")
    call.cluster.check_quorum()
    if upid := _by_ha(call, "start", "started"):
        return upid
    vmid, skiplock = vmid_of(call), bool(call.params.get("skiplock"))

    async def work(log: TaskLog) -> None:
        await power.start(call, call.node, vmid, log, skiplock=skiplock)

    return call.fork("qmstart", vmid, work)


@method("POST", f"{VM}/status/stop")
def vm_stop(call: Call) -> object:
    check_root(call, "skiplock", "keepActive", "migratedfrom")
    overrule = bool(call.params.get("overrule-shutdown"))
    if overrule and ha.managed(call.cluster, f"vm:{vmid_of(call)}"):
        raise param_error(overrule_shutdown="Not applicable for HA resources.")
    if upid := _by_ha(call, "stop", "stopped"):
        return upid
    vmid, skiplock, timeout = vmid_of(call), bool(call.params.get("skiplock")), call.params.get("timeout")

    async def work(log: TaskLog) -> None:
        if overrule:
            _abort_shutdowns(call, vmid, log)
        await power.stop(call, call.node, vmid, log, timeout=timeout, skiplock=skiplock)

    return call.fork("qmstop", vmid, work)


def _abort_shutdowns(call: Call, vmid: int, log: TaskLog) -> None:
    """Interrupt shutdown tasks of the VM that the caller may stop (PVE::GuestHelpers, abort_guest_tasks)."""
    found = [task for task in call.cluster.tasks.running() if task.type == "qmshutdown" and task.id == str(vmid)]
    mine = [t.upid for t in found if t.user == call.auth.name or call.allowed(f"/nodes/{t.node}", "Sys.Modify")]
    for upid in mine:
        call.cluster.tasks.stop(upid)
    if mine:
        log(f"overruled qmshutdown tasks: {', '.join(mine)}")


@method("POST", f"{VM}/status/shutdown")
def vm_shutdown(call: Call) -> object:
    check_root(call, "skiplock", "keepActive")
    ask, force = True, bool(call.params.get("forceStop"))
    if _is_paused(call):
        if not force:
            raise ApiError(500, "VM is paused - cannot shutdown")
        ask = False
    if upid := _by_ha(call, "stop", "stopped"):
        return upid
    vmid, skiplock, timeout = vmid_of(call), bool(call.params.get("skiplock")), call.params.get("timeout")

    async def work(log: TaskLog) -> None:
        await power.stop(
            call, call.node, vmid, log, shutdown=ask, force=force or not ask, timeout=timeout, skiplock=skiplock
        )

    return call.fork("qmshutdown", vmid, work)


@method("POST", f"{VM}/status/reboot")
def vm_reboot(call: Call) -> object:
    if _is_paused(call):
        raise ApiError(500, "VM is paused - cannot shutdown")
    _is_running(call)
    vmid, timeout = vmid_of(call), call.params.get("timeout")

    async def work(log: TaskLog) -> None:
        await power.reboot(call, call.node, vmid, log, timeout=timeout)

    return call.fork("qmreboot", vmid, work)


@method("POST", f"{VM}/status/reset")
def vm_reset(call: Call) -> object:
    check_root(call, "skiplock")
    _is_running(call)
    vmid, skiplock = vmid_of(call), bool(call.params.get("skiplock"))

    async def work(log: TaskLog) -> None:
        await power.reset(call, call.node, vmid, skiplock=skiplock)

    return call.fork("qmreset", vmid, work)


@method("POST", f"{VM}/status/suspend")
def vm_suspend(call: Call) -> object:
    """Pause; `todisk`: save the memory and end."""
    check_root(call, "skiplock")
    _is_running(call)
    vmid, skiplock, where = vmid_of(call), bool(call.params.get("skiplock")), call.params.get("statestorage")
    to_disk = bool(call.params.get("todisk"))
    if to_disk:
        if ha.managed(call.cluster, f"vm:{vmid}"):
            raise ApiError(500, "Cannot suspend HA managed VM to disk")
        check_vm(call, vmid, None, "VM.Config.Disk")
        guest = guest_of(call)
        if any(re.match(r"hostpci\d+", key) for key in guest.config):
            lack = "which lack the possibility to save/restore their internal state"
            raise ApiError(500, f"cannot suspend VM to disk due to passed-through PCI device(s), {lack}")
        where = where or snapshots.vmstate_storage(call.cluster, guest)
        call.check(f"/storage/{where}", "Datastore.AllocateSpace")

    async def work(log: TaskLog) -> None:
        if to_disk:
            await power.suspend_to_disk(call, call.node, vmid, log, where=where, skiplock=skiplock)
        else:
            await power.suspend(call, call.node, vmid, skiplock=skiplock)

    return call.fork("qmsuspend" if to_disk else "qmpause", vmid, work)


@method("POST", f"{VM}/status/resume")
def vm_resume(call: Call) -> object:
    check_root(call, "skiplock", "nocheck")
    found = call.cluster.guests.get(vmid_of(call))
    if not (found and found.config.get("lock") == "suspended"):
        _is_running(call)
    vmid, skiplock = vmid_of(call), bool(call.params.get("skiplock"))

    async def work(log: TaskLog) -> None:
        await power.resume(call, call.node, vmid, log, skiplock=skiplock)

    return call.fork("qmresume", vmid, work)


@method("PUT", f"{VM}/sendkey")
async def vm_sendkey(call: Call) -> object:
    check_root(call, "skiplock")
    async with call.cluster.locks.guest(call.node, "qemu", vmid_of(call)):
        if guest_of(call).running is None:
            raise ApiError(500, f"VM {vmid_of(call)} not running")
    return None


@method("POST", f"{VM}/monitor")
def monitor(call: Call) -> object:
    """The human monitor: it says who it is and no more."""
    words = str(call.params["command"]).split()
    if not words:
        raise ApiError(500, "no command specified")
    if words[0] not in _FREE_MONITOR:
        call.check("/", "Sys.Modify")
    guest = guest_of(call)
    if guest.running is None:
        return f"ERROR: VM {guest.vmid} qmp command 'human-monitor-command' failed - VM {guest.vmid} not running\n"
    if words[:2] == ["info", "status"]:
        return f"VM status: {'paused' if guest.paused else 'running'}\n"
    if words[:2] == ["info", "version"]:
        return f"{'10.1.2' if call.cluster.major >= 9 else '9.2.0'}\n"
    return ""


@method("GET", f"{VM}/rrddata")
def rrddata(call: Call) -> object:
    """70 points up to now; only those since the VM was made have values."""
    vmid, cluster = vmid_of(call), call.cluster
    guest = cluster.guests.get(vmid)
    if guest is None:
        folder = "pve-vm-9.0" if cluster.major >= 9 else "pve2-vm"
        path = f"/var/lib/rrdcached/db/{folder}/{vmid}"
        raise ApiError(500, f"RRD error: opening '{path}': No such file or directory")
    step = _STEPS[str(call.params["timeframe"])]
    now = int(time.time()) // step * step
    shown = status.status(cluster, guest)
    values = {key: shown[key] for key in ("cpu", "mem", "maxmem", "disk", "maxdisk", "netin", "netout")}
    values |= {"maxcpu": shown["cpus"], "diskread": 0, "diskwrite": 0}
    times = [now - step * back for back in reversed(range(_POINTS))]
    return [{"time": at} | (values if at >= guest.created_at else {}) for at in times]
