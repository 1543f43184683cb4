"""Power of a virtual machine: what the tasks of start, stop, shutdown, reboot, reset, suspend and resume do.

PVE::QemuServer (vm_start, vm_stop, vm_reboot, vm_reset) and PVE::QemuServer::RunState. All are workers of tasks:
they hold the VM's lock, end with ApiError or TaskFailed, and log what Proxmox logs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pvesim.cluster import guestlock, snapshots, storage
from pvesim.cluster.qemu import apply, drive, machine, net, options, properties, settings
from pvesim.cluster.qemu.rights import Caller
from pvesim.cluster.state import Cluster, Guest
from pvesim.cluster.tasks import TaskLog
from pvesim.errors import TaskFailed

Log = Callable[[str], None]
START_SECONDS = 1.5
STOP_SECONDS = 0.5
SYSTEM_SHUTDOWN_SECONDS = 5  # what a system inside needs to go down
SHUTDOWN_TIMEOUT = 60
STATE_BYTES = 500 * 2**20  # of driver state, besides twice the memory


async def start(call: Caller, node: str, vmid: int, log: TaskLog, *, skiplock: bool = False) -> None:
    """Start it; an OK that changes nothing where a backup keeps it running."""
    async with call.cluster.locks.guest(node, "qemu", vmid):
        guest = machine.find(call.cluster, node, vmid)
        if guest.is_template:
            raise TaskFailed("you can't start a vm if it's a template")
        lock = guest.config.get("lock")
        if lock == "backup" and guest.running is not None:
            guest.paused = False
            return
        if not skiplock and lock != "suspended":
            guestlock.check(guest)
        if guest.running is not None:
            raise TaskFailed(f"VM {vmid} already running")
        await start_locked(call, guest, log)


async def start_locked(call: Caller, guest: Guest, log: TaskLog) -> None:
    """Start a stopped VM whose lock is held and whose state was checked (vm_start_nolock)."""
    cluster = call.cluster
    resume = guest.config.get("lock") == "suspended" or "vmstate" in guest.config
    if guest.pending or guest.pending_delete:
        await apply.all_pending(call, guest, log)
    apply.write_cloudinit(cluster, guest, log)
    if hookscript := guest.config.get("hookscript"):
        _check_hookscript(call, guest, hookscript)
    if resume:
        log("Resuming suspended VM")
    _check_start(cluster, guest, log)
    await cluster.clock.sleep(START_SECONDS)
    await cluster.backend.start(guest)
    guest.running, guest.paused = dict(guest.config), False
    guest.pid, guest.started_at = cluster.tasks.pid(), cluster.clock.now()
    guest.extra.pop("agent", None)
    if resume:
        log("Resumed VM, removing state")
        if state := guest.config.get("vmstate"):
            await storage.free(cluster, guest.node, state)
        for key in ("lock", "vmstate", "runningmachine", "runningcpu", "running-nets-host-mtu"):
            guest.config.pop(key, None)
            guest.running.pop(key, None)
        machine.save(cluster, guest)


def _check_hookscript(call: Caller, guest: Guest, volid: str) -> None:
    if trouble := settings.check_hookscript(call, guest.node, volid):
        raise TaskFailed(f"hookscript error for {guest.vmid} on pre-start: {trouble}")


def _check_start(cluster: Cluster, guest: Guest, log: TaskLog) -> None:
    """What building the command line refuses (config_to_command, activate_volumes)."""
    node, config = cluster.nodes[guest.node], guest.config
    for one in drive.drives(config):
        if one.storage and not one.request:
            storage.usable(cluster, one.storage, guest.node)
            storage.get(cluster, guest.node, one.file)
    if options.cores(config) > node.cpus:
        raise TaskFailed(f"MAX {node.cpus} vcpus allowed per VM on this node")
    if int(config.get("vcpus", "0")) > options.cores(config):
        raise TaskFailed(f"MAX {options.cores(config)} vcpus allowed per VM on this node")
    if config.get("bios") == "ovmf" and "efidisk0" not in config:
        log.warn("no efidisk configured! Using temporary efivars disk.")
    for device in net.nets(config).values():
        if device.bridge and not apply.has_bridge(cluster, guest.node, device.bridge):
            raise TaskFailed(f"bridge '{device.bridge}' does not exist")


async def stop(
    call: Caller,
    node: str,
    vmid: int,
    log: TaskLog,
    *,
    shutdown: bool = False,
    force: bool = True,
    timeout: int | None = None,
    skiplock: bool = False,
) -> None:
    """Cut the power, or ask the system inside (`shutdown`) and cut it when that fails (`force`); OK when stopped."""
    async with call.cluster.locks.guest(node, "qemu", vmid):
        if machine.running(call.cluster, node, vmid):
            await _stop(call, node, vmid, log, shutdown=shutdown, force=force, timeout=timeout, skiplock=skiplock)


async def _stop(
    call: Caller,
    node: str,
    vmid: int,
    log: TaskLog,
    *,
    shutdown: bool,
    force: bool,
    timeout: int | None,
    skiplock: bool,
) -> None:
    cluster, guest = call.cluster, machine.find(call.cluster, node, vmid)
    if not skiplock:
        guestlock.check(guest)
    if timeout is None and shutdown:
        timeout = int(properties.split(guest.config.get("startup", ""), "order").get("down", SHUTDOWN_TIMEOUT))
    if shutdown:
        if options.agent_enabled(guest.config) and not machine.agent_answers(cluster, guest):
            command = f"VM {vmid} qga command 'guest-ping' failed - got timeout"
            log(f"QEMU Guest Agent is not running - {command}")
        limit = SHUTDOWN_TIMEOUT if timeout is None else timeout
        if not machine.has_system(cluster, guest) or limit < 1:
            await cluster.clock.sleep(limit)
            if not force:
                raise TaskFailed("VM quit/powerdown failed - got timeout")
            log("VM still running - terminating now with SIGTERM")
        else:
            await cluster.clock.sleep(min(SYSTEM_SHUTDOWN_SECONDS, limit))
    await cluster.clock.sleep(STOP_SECONDS)
    await cluster.backend.stop(guest, force=not shutdown)
    await stopped(call, guest, log)


async def stopped(call: Caller, guest: Guest, log: Log) -> None:
    """The VM has ended: what waited takes effect (vm_stop_cleanup)."""
    guest.running, guest.paused, guest.pid, guest.started_at = None, False, None, None
    guest.extra.pop("agent", None)
    for key, trouble in (await apply.all_pending(call, guest, log)).items():
        log(f"{key}: {trouble}".rstrip())


async def shut_down_from_inside(call: Caller, guest: Guest) -> None:
    """The system inside ends by itself."""
    await call.cluster.backend.stop(guest, force=False)
    await stopped(call, guest, lambda _: None)


async def reboot(call: Caller, node: str, vmid: int, log: TaskLog, *, timeout: int | None = None) -> None:
    """Shut the system down and start again, with the changes that waited."""
    async with call.cluster.locks.guest(node, "qemu", vmid):
        if not machine.running(call.cluster, node, vmid):
            return
        await _stop(call, node, vmid, log, shutdown=True, force=False, timeout=timeout, skiplock=False)
        await start_locked(call, machine.find(call.cluster, node, vmid), log)


async def reset(call: Caller, node: str, vmid: int, *, skiplock: bool = False) -> None:
    """Press the reset button."""
    async with call.cluster.locks.guest(node, "qemu", vmid):
        guest = machine.find(call.cluster, node, vmid)
        if not skiplock:
            guestlock.check(guest)
        _check_monitor(guest)
        guest.paused = False


def _check_monitor(guest: Guest) -> None:
    if guest.running is None:
        raise TaskFailed(f"VM {guest.vmid} not running")


async def suspend(call: Caller, node: str, vmid: int, *, skiplock: bool = False) -> None:
    """Pause it."""
    async with call.cluster.locks.guest(node, "qemu", vmid):
        guest = machine.find(call.cluster, node, vmid)
        if not skiplock and guest.config.get("lock") != "backup":
            guestlock.check(guest)
        _check_monitor(guest)
        guest.paused = True


async def save_state(cluster: Cluster, guest: Guest, name: str, where: str | None = None) -> str:
    """Make the volume that holds the memory of a running VM, called `vm-VMID-state-NAME`; returns its id."""
    target = where or snapshots.vmstate_storage(cluster, guest)
    files = storage.type_of(storage.lookup(cluster, target)).files
    size = options.memory_mib(guest.config) * 2 * 2**20 + STATE_BYTES
    called = f"vm-{guest.vmid}-state-{name}" + (".raw" if files else "")
    return await storage.alloc(cluster, target, guest.node, guest.vmid, size, "raw", name=called)


async def suspend_to_disk(
    call: Caller, node: str, vmid: int, log: TaskLog, *, where: str | None = None, skiplock: bool = False
) -> None:
    """Save the memory and end the process; the next start resumes."""
    cluster = call.cluster
    async with cluster.locks.guest(node, "qemu", vmid):
        guest = machine.find(cluster, node, vmid)
        if guest.config.get("lock") == "backup":
            raise TaskFailed("cannot suspend to disk during backup")
        if not skiplock:
            guestlock.check(guest)
        _check_monitor(guest)
        guest.config["lock"] = "suspending"
        date = time.strftime("%Y-%m-%d", time.gmtime(cluster.clock.now()))
        guest.config["vmstate"] = await save_state(cluster, guest, f"suspend-{date}", where)
        guest.config |= {"runningmachine": running_machine(cluster), "runningcpu": "kvm64,enforce"}
        machine.save(cluster, guest)
    await cluster.clock.sleep(START_SECONDS)
    log("State saved, quitting")
    async with cluster.locks.guest(node, "qemu", vmid):
        guest.config["lock"] = "suspended"
        await cluster.backend.stop(guest, force=True)
        guest.running, guest.paused, guest.pid, guest.started_at = None, False, None, None
        machine.save(cluster, guest)


async def resume(call: Caller, node: str, vmid: int, log: TaskLog, *, skiplock: bool = False) -> None:
    """Let a paused VM go on, or start one whose memory is on disk."""
    if machine.find(call.cluster, node, vmid).config.get("lock") == "suspended":
        await start(call, node, vmid, log, skiplock=skiplock)
        return
    async with call.cluster.locks.guest(node, "qemu", vmid):
        guest = machine.find(call.cluster, node, vmid)
        _check_monitor(guest)
        if guest.paused and not skiplock and guest.config.get("lock") != "backup":
            guestlock.check(guest)
        guest.paused = False


def running_machine(cluster: Cluster) -> str:
    """What `running-machine` names: the newest type of that release."""
    return f"pc-i440fx-{'10.1' if cluster.major >= 9 else '9.2'}+pve0"
