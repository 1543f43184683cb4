"""Power of a container: what the tasks of start, stop, shutdown, reboot, suspend and resume do.

PVE::API2::LXC::Status, PVE::LXC (vm_start, vm_stop, vm_reboot). All are workers of tasks: they take the container's
lock, end with ApiError or TaskFailed, and log what Proxmox logs.
"""

from __future__ import annotations

from pvesim.cluster import guestlock, storage
from pvesim.cluster.lxc import properties, update
from pvesim.cluster.state import Cluster, Guest
from pvesim.cluster.tasks import TaskLog
from pvesim.errors import ApiError, TaskFailed

START_SECONDS = 1.0
STOP_SECONDS = 0.3
SYSTEM_SHUTDOWN_SECONDS = 2  # what the system inside needs to go down
SHUTDOWN_TIMEOUT = 60


def running(cluster: Cluster, node: str, vmid: int) -> bool:
    """Whether it runs on that node; a container that is missing or elsewhere does not (check_running)."""
    guest = cluster.guests.get(vmid)
    return guest is not None and guest.kind == "lxc" and guest.node == node and guest.running is not None


async def start(cluster: Cluster, node: str, vmid: int, log: TaskLog, *, skiplock: bool = False) -> None:
    """Start it; a template, a locked one or one whose parts are missing does not."""
    async with cluster.locks.guest(node, "lxc", vmid):
        guest = cluster.guest(node, "lxc", vmid)
        if guest.is_template:
            raise TaskFailed("you can't start a CT if it's a template")
        _check_lock(guest, skiplock)
        if guest.config.get("unprivileged") == "1" and any(
            parts.get("quota") == "1" for _, parts in properties.mounts(guest.config)
        ):
            raise TaskFailed("Quotas are not supported by unprivileged containers.")
        await start_locked(cluster, guest, log)


async def start_locked(cluster: Cluster, guest: Guest, log: TaskLog) -> None:
    """Start a stopped container whose lock is held; what waited for this goes into effect (vm_start)."""
    if guest.pending or guest.pending_delete:
        cluster.writable(guest)
        for text in (await update.apply_pending(cluster, guest)).values():
            log(text.rstrip("\n"))
    for _, volume in properties.volumes(guest.config):
        storage.usable(cluster, storage.storage_of(volume), guest.node)
        storage.get(cluster, guest.node, volume)
    for key in sorted(filter(properties.NET.match, guest.config)):
        parts = properties.parse(key, guest.config[key])
        if parts.get("link_down") != "1" and not update.has_bridge(cluster, guest.node, parts.get("bridge")):
            log(f"run_buffer: 571 Script exited with status 2\nbridge '{parts['bridge']}' does not exist")
            raise TaskFailed(f"startup for container '{guest.vmid}' failed")
    await cluster.clock.sleep(START_SECONDS)
    pid = await cluster.backend.start(guest)
    guest.running = dict(guest.config)
    guest.pid, guest.started_at = pid or cluster.tasks.pid(), cluster.clock.now()


async def stop(cluster: Cluster, node: str, vmid: int, *, skiplock: bool = False) -> None:
    """Stop it at once; one that is stopped already is no error."""
    async with cluster.locks.guest(node, "lxc", vmid):
        guest = cluster.guest(node, "lxc", vmid)
        _check_lock(guest, skiplock)
        await stop_locked(cluster, guest)


async def stop_locked(cluster: Cluster, guest: Guest, *, force: bool = True, timeout: float | None = None) -> None:
    """Stop a container whose lock is held; `force` False: the system inside goes down by itself (vm_stop)."""
    if guest.running is None:
        return
    await cluster.clock.sleep(STOP_SECONDS if force else SYSTEM_SHUTDOWN_SECONDS)
    await cluster.backend.stop(guest, force=force, timeout=timeout)
    guest.running, guest.paused = None, False
    guest.pid = guest.started_at = None


async def shutdown(cluster: Cluster, node: str, vmid: int, timeout: int, *, force: bool = False) -> None:
    """Ask the system inside to go down; after `timeout` seconds it is stopped (`force`) or the task fails."""
    async with cluster.locks.guest(node, "lxc", vmid):
        guest = cluster.guest(node, "lxc", vmid)
        guestlock.check(guest)
        await _shutdown(cluster, guest, timeout, force=force)


async def _shutdown(cluster: Cluster, guest: Guest, timeout: int | None, *, force: bool) -> None:
    if timeout is not None and cluster.clock.real and timeout < SYSTEM_SHUTDOWN_SECONDS:
        await cluster.clock.sleep(timeout)
        if not force:
            raise TaskFailed(f"command 'lxc-stop -n {guest.vmid} --nokill --timeout {timeout}' failed: exit code 1")
        await stop_locked(cluster, guest)
        return
    try:
        await stop_locked(cluster, guest, force=False, timeout=timeout)
    except TaskFailed:
        if not force:
            raise
        await stop_locked(cluster, guest)


async def reboot(cluster: Cluster, node: str, vmid: int, timeout: int | None, log: TaskLog) -> None:
    """Down and up again; what waited for a restart goes into effect."""
    async with cluster.locks.guest(node, "lxc", vmid):
        if not running(cluster, node, vmid):
            return
        guest = cluster.guest(node, "lxc", vmid)
        await _shutdown(cluster, guest, timeout, force=False)
        await start_locked(cluster, guest, log)


async def suspend(cluster: Cluster, node: str, vmid: int, log: TaskLog) -> None:
    """Fails: Proxmox calls lxc-checkpoint, which needs a criu that it does not bring."""
    async with cluster.locks.guest(node, "lxc", vmid):
        guestlock.check(cluster.guest(node, "lxc", vmid))
        _checkpoint(vmid, "-s -D /var/lib/vz/dump", log)


async def resume(vmid: int, log: TaskLog) -> None:
    """Fails likewise."""
    _checkpoint(vmid, "-r --foreground -D /var/lib/vz/dump", log)


def _checkpoint(vmid: int, arguments: str, log: TaskLog) -> None:
    log(f"lxc-checkpoint: {vmid}: Checkpointing {vmid} failed")
    raise TaskFailed(f"command 'lxc-checkpoint -n {vmid} {arguments}' failed: exit code 1")


def _check_lock(guest: Guest, skiplock: bool) -> None:
    if not skiplock and guest.config.get("lock") != "mounted":
        try:
            guestlock.check(guest)
        except ApiError as error:
            raise TaskFailed(error.message) from error
