"""Containers: PVE::API2::LXC, ::Config and ::Status, but for snapshots, clones, templates, migration, moved volumes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pvesim.api.method import ApiError, Call, TaskLog, method, param_error
from pvesim.cluster import disks as volumes
from pvesim.cluster import guestlock
from pvesim.cluster.lxc import create, destroy, disks, options, pending, power, rights, status, update
from pvesim.cluster.state import Guest
from pvesim.schema.formats import split_list

MODIFIED = "detected modified configuration - file changed by other user? Try again."
INDEX = (
    *("config", "pending", "status", "vncproxy", "termproxy", "vncwebsocket", "spiceproxy", "migrate", "clone"),
    *("rrd", "rrddata", "firewall", "snapshot", "resize", "interfaces"),
)
POWER = ("current", "start", "stop", "shutdown", "reboot", "migrate")
REQUEST = frozenset({"node", "vmid", "digest", "delete", "revert"})


def guest_of(call: Call) -> Guest:
    return call.cluster.guest(call.node, "lxc", int(call.params["vmid"]))


@method("GET", "/nodes/{node}/lxc")
def list_containers(call: Call) -> object:
    """Those that the caller may see."""
    guests = [guest for guest in call.cluster.guests.values() if guest.kind == "lxc" and guest.node == call.node]
    return [status.status(call.cluster, guest) for guest in guests if call.allowed(f"/vms/{guest.vmid}", "VM.Audit")]


@method("POST", "/nodes/{node}/lxc")
async def create_container(call: Call) -> object:
    """A task; the id is taken before it begins. With `start` another task follows it."""
    request = create.check(call, call.node, call.params)
    config = await create.reserve(call, request)

    async def work(log: TaskLog) -> None:
        await create.work(call, request, config, log)
        if call.params.get("start"):
            fork_start(call, call.node, request.vmid)
        if call.params.get("ha-managed"):
            log("Add as HA resource")
            state = "started" if call.params.get("start") else "stopped"
            sid = f"ct:{request.vmid}"
            call.cluster.ha.setdefault("resources", {})[sid] = {"sid": sid, "type": "ct", "state": state}

    return call.fork("vzrestore" if request.restore else "vzcreate", request.vmid, work)


@method("GET", "/nodes/{node}/lxc/{vmid}")
def index(call: Call) -> object:
    guest_of(call)
    return [{"subdir": name} for name in INDEX]


@method("DELETE", "/nodes/{node}/lxc/{vmid}")
def delete_container(call: Call) -> object:
    params, guest = call.params, guest_of(call)
    force, purge = bool(params.get("force")), bool(params.get("purge"))
    unreferenced = bool(params.get("destroy-unreferenced-disks"))
    destroy.check(call.cluster, guest, force=force, purge=purge)

    async def work(log: TaskLog) -> None:
        await destroy.work(
            call.cluster, call.node, guest.vmid, log, force=force, purge=purge, unreferenced=unreferenced
        )

    return call.fork("vzdestroy", guest.vmid, work)


@method("GET", "/nodes/{node}/lxc/{vmid}/config")
def get_config(call: Call) -> object:
    """With what waits for a restart, unless `current`; or a snapshot's."""
    name, current = call.params.get("snapshot"), bool(call.params.get("current"))
    if name and current:
        text = "cannot use 'snapshot' parameter with 'current'"
        raise param_error(snapshot=text, current=text)
    guest = guest_of(call)
    raw = guest.raw_lxc
    if name:
        if name not in guest.snapshots:
            raise ApiError(500, f"snapshot '{name}' does not exist")
        snapshot = guest.snapshots[name]
        config, raw = snapshot.as_config(), snapshot.raw_lxc
        if "description" in config:
            config["description"] = options.description(config["description"])
    else:
        config = guest.config if current else pending.effective(guest)
    shown = options.typed(call.cluster, config) | {"digest": call.cluster.digest(guest)}
    return shown | ({"lxc": raw} if raw else {})


@method("GET", "/nodes/{node}/lxc/{vmid}/pending")
def get_pending(call: Call) -> object:
    return pending.rows(call.cluster, guest_of(call))


@method("PUT", "/nodes/{node}/lxc/{vmid}/config")
async def update_config(call: Call) -> object:
    """At once; 400 names the settings that could not be put into effect, and then nothing was changed."""
    params = call.params
    if not params.keys() - {"node", "vmid", "digest"}:
        raise ApiError(500, "no options specified")
    change = update.Change(_settings(params), _names(params.get("delete")), _names(params.get("revert")))
    async with call.cluster.locks.guest(call.node, "lxc", int(params["vmid"])):
        guest = guest_of(call)
        guestlock.check(guest)
        assert_unmodified(call, guest, params.get("digest"))
        _check_change(call, guest, change)
        draft = _draft(guest)
        errors = await update.update(call.cluster, draft, change)
        if errors:
            raise ApiError(400, "Parameter verification failed.", errors)
        call.cluster.writable(guest)
        guest.config, guest.running = draft.config, draft.running
        guest.pending, guest.pending_delete = draft.pending, draft.pending_delete
        await call.cluster.backend.apply(guest)
    return None


def _settings(params: dict[str, Any]) -> dict[str, str]:
    found = {key: options.text(value) for key, value in params.items() if key not in REQUEST}
    if params.get("cpuunits") is not None:
        found["cpuunits"] = str(options.clamp_cpuunits(params["cpuunits"]))
    return found


def _names(text: object) -> list[str]:
    return list(dict.fromkeys(split_list(str(text or ""))))


def _draft(guest: Guest) -> Guest:
    running = None if guest.running is None else dict(guest.running)
    return replace(
        guest,
        config=dict(guest.config),
        pending=dict(guest.pending),
        pending_delete=dict(guest.pending_delete),
        running=running,
    )


def _check_change(call: Call, guest: Guest, change: update.Change) -> None:
    unprivileged = guest.config.get("unprivileged") == "1"
    for names in (change.delete, change.revert):
        rights.check_settings(call, guest.vmid, None, guest.config, {}, names, unprivileged=unprivileged)
    for name in change.revert:
        if not options.exists(call.cluster, name):
            raise param_error(revert=f"unknown option '{name}'")
        if name in change.set:
            raise param_error(revert=f"you can't use '-{name}' and '-revert {name}' at the same time")
    for name in change.delete:
        if not options.exists(call.cluster, name):
            raise param_error(delete=f"unknown option '{name}'")
        if name in change.set:
            raise param_error(delete=f"you can't use '-{name}' and -delete {name}' at the same time")
        if name in change.revert:
            raise param_error(delete=f"you can't use '-delete {name}' and '-revert {name}' at the same time")
    rights.check_settings(call, guest.vmid, None, guest.config, change.set, unprivileged=unprivileged)


def assert_unmodified(call: Call, guest: Guest, digest: object) -> None:
    """ApiError 500 where the caller saw another config than there is (PVE::Tools, assert_if_modified)."""
    if digest and digest != call.cluster.digest(guest):
        raise ApiError(500, MODIFIED)


@method("PUT", "/nodes/{node}/lxc/{vmid}/resize")
def resize(call: Call) -> object:
    """A task that grows one volume; what is wrong shows before it begins."""
    cluster, key, text = call.cluster, str(call.params["disk"]), str(call.params["size"])

    def checked() -> tuple[Guest, dict[str, str], int]:
        guest = guest_of(call)
        guestlock.check(guest)
        # the request's own name of the disk counts as a setting, so that it needs VM.Config.Options
        unprivileged = guest.config.get("unprivileged") == "1"
        rights.check_settings(call, guest.vmid, None, guest.config, {"disk": key}, unprivileged=unprivileged)
        assert_unmodified(call, guest, call.params.get("digest"))
        parts, size = disks.new_size(cluster, guest, key, text)
        call.check(f"/storage/{parts['volume'].partition(':')[0]}", "Datastore.AllocateSpace")
        return guest, parts, size

    async def work(log: TaskLog) -> None:
        async with cluster.locks.guest(call.node, "lxc", int(call.params["vmid"])):
            guest, parts, size = checked()
            cluster.writable(guest)
            await disks.grow(cluster, guest, key, parts, size, log)

    checked()
    return call.fork("resize", call.params["vmid"], work)


@method("GET", "/nodes/{node}/lxc/{vmid}/feature")
def feature(call: Call) -> object:
    """Whether all volumes can be snapshotted, cloned or copied, of a snapshot or as they are."""
    guest, name = guest_of(call), call.params.get("snapname")
    config = guest.config
    if name:
        if name not in guest.snapshots:
            raise ApiError(500, f"snapshot '{name}' does not exist")
        config = guest.snapshots[name].config
    able = volumes.can(call.cluster, str(call.params["feature"]), "lxc", config, snapshot=bool(name))
    return {"hasFeature": int(able)}


@method("GET", "/nodes/{node}/lxc/{vmid}/interfaces")
async def interfaces(call: Call) -> object:
    return await status.interfaces(call.cluster, call.node, int(call.params["vmid"]))


@method("GET", "/nodes/{node}/lxc/{vmid}/rrddata")
def rrddata(call: Call) -> object:
    vmid = int(call.params["vmid"])
    guest = call.cluster.guests.get(vmid)
    if guest is None:
        table = "pve-vm-9.0" if call.cluster.major >= 9 else "pve2-vm"
        path = f"/var/lib/rrdcached/db/{table}/{vmid}"
        raise ApiError(500, f"RRD error: opening '{path}': No such file or directory")
    return status.rrddata(call.cluster, guest, str(call.params["timeframe"]))


@method("GET", "/nodes/{node}/lxc/{vmid}/status")
def status_index(call: Call) -> object:
    guest_of(call)
    return [{"subdir": name} for name in POWER]


@method("GET", "/nodes/{node}/lxc/{vmid}/status/current")
def status_current(call: Call) -> object:
    return status.current(call.cluster, guest_of(call))


@method("POST", "/nodes/{node}/lxc/{vmid}/status/start")
def start(call: Call) -> object:
    """A task, also for a container that is missing; 500 at once for one that runs."""
    vmid, skiplock = int(call.params["vmid"]), _skiplock(call)
    if power.running(call.cluster, call.node, vmid):
        raise ApiError(500, f"CT {vmid} already running")
    call.cluster.check_quorum()
    if _by_ha(call, vmid):
        return _fork_ha(call, vmid, "start", "started")
    return fork_start(call, call.node, vmid, skiplock=skiplock)


def fork_start(call: Call, node: str, vmid: int, *, skiplock: bool = False) -> str:
    """Start the task that starts a container."""

    async def work(log: TaskLog) -> None:
        await power.start(call.cluster, node, vmid, log, skiplock=skiplock)

    return call.fork("vzstart", vmid, work, node)


@method("POST", "/nodes/{node}/lxc/{vmid}/status/stop")
def stop(call: Call) -> object:
    vmid, skiplock = int(call.params["vmid"]), _skiplock(call)
    _assert_running(call, vmid)
    if _by_ha(call, vmid):
        if call.params.get("overrule-shutdown"):
            raise param_error(**{"overrule-shutdown": "Not applicable for HA resources."})
        return _fork_ha(call, vmid, "stop", "stopped")

    async def work(log: TaskLog) -> None:
        if call.params.get("overrule-shutdown"):
            _abort_shutdowns(call, vmid, log)
        await power.stop(call.cluster, call.node, vmid, skiplock=skiplock)

    return call.fork("vzstop", vmid, work)


@method("POST", "/nodes/{node}/lxc/{vmid}/status/shutdown")
def shutdown(call: Call) -> object:
    vmid, force = int(call.params["vmid"]), bool(call.params.get("forceStop"))
    given = call.params.get("timeout")
    timeout = power.SHUTDOWN_TIMEOUT if given is None else int(given)
    _assert_running(call, vmid)
    if _by_ha(call, vmid):
        return _fork_ha(call, vmid, "stop", "stopped")

    async def work(_: TaskLog) -> None:
        await power.shutdown(call.cluster, call.node, vmid, timeout, force=force)

    return call.fork("vzshutdown", vmid, work)


@method("POST", "/nodes/{node}/lxc/{vmid}/status/reboot")
def reboot(call: Call) -> object:
    vmid, timeout = int(call.params["vmid"]), call.params.get("timeout")
    if not power.running(call.cluster, call.node, vmid):
        raise ApiError(500, f"VM {vmid} not running")

    async def work(log: TaskLog) -> None:
        await power.reboot(call.cluster, call.node, vmid, timeout, log)

    return call.fork("vzreboot", vmid, work)


@method("POST", "/nodes/{node}/lxc/{vmid}/status/suspend")
def suspend(call: Call) -> object:
    vmid = int(call.params["vmid"])
    _assert_running(call, vmid)

    async def work(log: TaskLog) -> None:
        await power.suspend(call.cluster, call.node, vmid, log)

    return call.fork("vzsuspend", vmid, work)


@method("POST", "/nodes/{node}/lxc/{vmid}/status/resume")
def resume(call: Call) -> object:
    vmid = int(call.params["vmid"])
    if power.running(call.cluster, call.node, vmid):
        raise ApiError(500, f"CT {vmid} already running")

    async def work(log: TaskLog) -> None:
        await power.resume(vmid, log)

    return call.fork("vzresume", vmid, work)


def _assert_running(call: Call, vmid: int) -> None:
    if not power.running(call.cluster, call.node, vmid):
        raise ApiError(500, f"CT {vmid} not running")


def _skiplock(call: Call) -> bool:
    if call.params.get("skiplock") and not call.auth.is_root:
        raise param_error(skiplock="Only root may use this option.")
    return bool(call.params.get("skiplock"))


def _by_ha(call: Call, vmid: int) -> bool:
    resources: dict[str, Any] = call.cluster.ha.get("resources") or {}
    return f"ct:{vmid}" in resources and resources[f"ct:{vmid}"].get("state") != "ignored"


def _fork_ha(call: Call, vmid: int, verb: str, state: str) -> str:
    """Ask the HA manager for it; it acts by tasks of root@pam."""
    cluster = call.cluster

    async def act(log: TaskLog) -> None:
        if state == "started":
            await power.start(cluster, call.node, vmid, log)
        else:
            await power.stop(cluster, call.node, vmid)

    async def work(log: TaskLog) -> None:
        log(f"Requesting HA {verb} for CT {vmid}")
        cluster.ha["resources"][f"ct:{vmid}"]["state"] = state
        call.upids.append(cluster.tasks.start(call.node, f"vz{verb}", str(vmid), "root@pam", act))

    return call.fork(f"ha{verb}", vmid, work)


def _abort_shutdowns(call: Call, vmid: int, log: TaskLog) -> None:
    tasks = [task for task in call.cluster.tasks.running() if task.type == "vzshutdown" and task.id == str(vmid)]
    for task in tasks:
        call.cluster.tasks.stop(task.upid)
    if tasks:
        log(f"overruled vzshutdown tasks: {', '.join(task.upid for task in tasks)}")
