"""Acting on many guests at once: each by a task of its own, in the order that `startup` asks for.

PVE::API2::Cluster::BulkAction::Guest (9.1) and, for the guests of one node, PVE::API2::Nodes (startall, stopall,
suspendall, migrateall).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from pvesim.api import lxc, migrate, qemupower
from pvesim.api.method import ApiError, Call, TaskFailed, TaskLog, method, param_error
from pvesim.cluster import access
from pvesim.cluster.guestlock import WORD
from pvesim.cluster.state import Guest

LAST = 2**31  # where guests without an order stand


@dataclass(frozen=True)
class Bulk:
    """One bulk task: its `type`, what it says at first, what to do with one guest, and how it ends when some failed."""

    type: str
    first: str
    doing: str
    act: Callable[[Guest, TaskLog], str | None]
    failed: str
    backwards: bool = False


@method("GET", "/cluster/bulk-action")
def index(call: Call) -> object:
    return [{"name": "guest"}]


@method("GET", "/cluster/bulk-action/guest")
def guest_index(call: Call) -> object:
    return [{"name": name} for name in ("start", "shutdown", "migrate", "suspend")]


def _ids(call: Call) -> list[int]:
    vms = call.params.get("vms") or []
    return [int(one) for one in (re.findall(r"\d+", vms) if isinstance(vms, str) else vms)]


def _check(call: Call, *privs: str) -> None:
    """The privileges on every guest that is named, else on `/`."""
    ids = _ids(call)
    for vmid in ids:
        call.check(f"/vms/{vmid}", *privs)
    if not ids and not call.allowed("/", *privs):
        raise access.denied(f"/, {', '.join(privs)}")


def _order(guest: Guest) -> tuple[int, int]:
    found = re.search(r"(?:^|order=)(\d+)", guest.config.get("startup", ""))
    return (int(found[1]) if found else LAST, guest.vmid)


def _guests(call: Call, *, templates: bool = False, node: str | None = None) -> list[Guest]:
    ids = set(_ids(call))
    found = [guest for guest in call.cluster.guests.values() if not ids or guest.vmid in ids]
    found = [guest for guest in found if templates or not guest.is_template]
    return sorted((guest for guest in found if node in (None, guest.node)), key=_order)


def _run(call: Call, bulk: Bulk, guests: Callable[[], Iterable[Guest]]) -> str:
    """The task: one guest after the other, waiting for each."""
    tasks = call.cluster.tasks

    async def work(log: TaskLog) -> None:
        log(bulk.first)
        bad: list[int] = []
        todo = list(guests())
        for guest in reversed(todo) if bulk.backwards else todo:
            word = f"{WORD[guest.kind]} {guest.vmid}"
            try:
                upid = bulk.act(guest, log)
            except ApiError as error:
                log.warn(error.message)
                bad.append(guest.vmid)
                continue
            if upid is None:
                continue
            log(f"{bulk.doing} {word}")
            await tasks.settle(upid)
            status = str(tasks.by_upid[upid].exitstatus)
            if status != "OK" and not status.startswith("WARNINGS"):
                log.warn(f"{bulk.doing} {word} failed: {status}")
                bad.append(guest.vmid)
        if bad:
            raise TaskFailed(f"{bulk.failed} {', '.join(map(str, bad))}")

    return call.fork(bulk.type, "", work)


def _ask(call: Call, guest: Guest, handler: Callable[[Call], object], verb: str, **params: Any) -> str:
    """Call a guest's own method as this caller, with these parameters."""
    path = f"/nodes/{guest.node}/{guest.kind}/{guest.vmid}/{verb}"
    own = {name.replace("_", "-"): value for name, value in params.items() if value is not None}
    own |= {"node": guest.node, "vmid": guest.vmid}
    return str(handler(replace(call, params=own, path=path, method="POST", upids=[], attributes={})))


def _start(call: Call, guest: Guest, log: TaskLog) -> str | None:
    if guest.running is not None and not guest.paused:
        log.warn(f"Skipping {WORD[guest.kind]} {guest.vmid}, already running.")
        return None
    if guest.running is not None:
        return _ask(call, guest, qemupower.vm_resume, "status/resume")
    return _ask(call, guest, lxc.start if guest.kind == "lxc" else qemupower.vm_start, "status/start")


def _stop(call: Call, guest: Guest, log: TaskLog) -> str | None:
    if guest.running is None:
        log.warn(f"Skipping {WORD[guest.kind]} {guest.vmid}, not running.")
        return None
    down = re.search(r"down=(\d+)", guest.config.get("startup", ""))
    timeout = int(down[1]) if down else int(call.params.get("timeout") or 180)
    force = bool(call.params.get("force-stop", True))
    handler = lxc.shutdown if guest.kind == "lxc" else qemupower.vm_shutdown
    return _ask(call, guest, handler, "status/shutdown", forceStop=force, timeout=timeout)


def _suspend(call: Call, guest: Guest, log: TaskLog) -> str | None:
    if guest.kind != "qemu":
        log.warn(f"skipping {guest.vmid}, only VMs can be suspended")
        return None
    if guest.running is None:
        log.warn(f"Skipping VM {guest.vmid}, not running.")
        return None
    params: dict[str, Any] = {"todisk": bool(call.params.get("to-disk", "node" in call.params))}
    if params["todisk"] and call.params.get("statestorage"):
        params["statestorage"] = call.params["statestorage"]
    return _ask(call, guest, qemupower.vm_suspend, "status/suspend", **params)


def _migrate(call: Call, guest: Guest, log: TaskLog) -> str | None:
    target, online = str(call.params["target"]), call.params.get("online")
    if guest.node == target:
        log.warn(f"{WORD[guest.kind]} {guest.vmid} already on {target}, skipping.")
        return None
    if "node" in call.params:  # migrateall decides by itself
        online = guest.running is not None
    if guest.kind == "lxc":
        return _ask(call, guest, migrate.migrate_container, "migrate", target=target, restart=online)
    local = call.params.get("with-local-disks")
    return _ask(call, guest, migrate.migrate_machine, "migrate", target=target, online=online, with_local_disks=local)


def _all(call: Call, word: str, extra: str = "") -> str:
    ids = _ids(call)
    return f"{word} guests{extra}: {', '.join(map(str, ids))}" if ids else f"{word} all guests{extra}"


@method("POST", "/cluster/bulk-action/guest/start")
def bulk_start(call: Call) -> object:
    _check(call, "VM.PowerMgmt")
    first = _all(call, "Starting")
    act = Bulk("bulk-start", first, "Starting", lambda g, log: _start(call, g, log), "Some guests failed to start:")
    return _run(call, act, lambda: _guests(call))


@method("POST", "/cluster/bulk-action/guest/shutdown")
def bulk_shutdown(call: Call) -> object:
    _check(call, "VM.PowerMgmt")
    first, failed = _all(call, "Shutting down"), "Some guests failed to shutdown"
    act = Bulk("bulk-shutdown", first, "Shutting down", lambda g, log: _stop(call, g, log), failed, backwards=True)
    return _run(call, act, lambda: _guests(call))


@method("POST", "/cluster/bulk-action/guest/suspend")
def bulk_suspend(call: Call) -> object:
    _check(call, "VM.PowerMgmt")
    if call.params.get("to-disk"):
        _check(call, "VM.Config.Disk")
        if storage := call.params.get("statestorage"):
            call.check(f"/storage/{storage}", "Datastore.AllocateSpace")
    first, failed = _all(call, "Suspending"), "Some guests failed to suspend"
    act = Bulk("bulk-suspend", first, "Suspending", lambda g, log: _suspend(call, g, log), failed, backwards=True)
    return _run(call, act, lambda: _guests(call))


@method("POST", "/cluster/bulk-action/guest/migrate")
def bulk_migrate(call: Call) -> object:
    _check(call, "VM.Migrate")
    first, failed = _all(call, "Migrating", f" to {call.params['target']}"), "Some guests failed to migrate"
    act = Bulk("bulk-migrate", first, "Migrating", lambda g, log: _migrate(call, g, log), failed)
    return _run(call, act, lambda: _guests(call, templates=True))


# The guests of one node


def _check_node(call: Call, privilege: str) -> None:
    if not call.allowed("/", privilege):
        _check(call, privilege)


@method("POST", "/nodes/{node}/startall")
def start_all(call: Call) -> object:
    """Those with `onboot`, all of them with `force`."""
    _check_node(call, "VM.PowerMgmt")
    force = bool(call.params.get("force"))

    def guests() -> list[Guest]:
        found = _guests(call, node=call.node)
        return [g for g in found if (force or g.config.get("onboot") == "1") and g.running is None]

    act = Bulk("startall", "start all VMs", "Starting", lambda g, log: _start(call, g, log), "Some guests failed:")
    return _run(call, act, guests)


@method("POST", "/nodes/{node}/stopall")
def stop_all(call: Call) -> object:
    _check_node(call, "VM.PowerMgmt")

    def guests() -> list[Guest]:
        return [guest for guest in _guests(call, node=call.node) if guest.running is not None]

    stop, failed = (lambda g, log: _stop(call, g, log)), "Some guests failed:"
    return _run(call, Bulk("stopall", "Stopping all guests", "Stopping", stop, failed, backwards=True), guests)


@method("POST", "/nodes/{node}/suspendall")
def suspend_all(call: Call) -> object:
    _check_node(call, "VM.PowerMgmt")

    def guests() -> list[Guest]:
        found = _guests(call, node=call.node)
        return [guest for guest in found if guest.running is not None and guest.kind == "qemu"]

    suspend, failed = (lambda g, log: _suspend(call, g, log)), "Some guests failed:"
    return _run(call, Bulk("suspendall", "Suspending all VMs", "Suspending", suspend, failed, backwards=True), guests)


@method("POST", "/nodes/{node}/migrateall")
def migrate_all(call: Call) -> object:
    _check_node(call, "VM.Migrate")
    target = str(call.params["target"])
    if target == call.node:
        raise param_error(target="target is local node.")
    workers = call.params.get("max-workers") or call.params.get("maxworkers")
    if not workers and not call.cluster.options.get("max_workers"):
        raise ApiError(500, "either 'maxworkers' parameter or max_workers in datacenter.cfg must be set!")
    migrating, failed = (lambda g, log: _migrate(call, g, log)), "Some guests failed:"
    act = Bulk("migrateall", f"Migrating all guests to {target}", "Migrating", migrating, failed)
    return _run(call, act, lambda: _guests(call, templates=True, node=call.node))
