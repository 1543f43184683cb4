"""Backups made now, and backup jobs (PVE::API2::VZDump, PVE::API2::Backup, PVE::API2::Cluster::BackupInfo)."""

from __future__ import annotations

import datetime
import re
import uuid
from typing import Any

from pvesim import schema
from pvesim.api.method import ApiError, Call, TaskLog, method, param_error
from pvesim.cluster import access, backup, prune, storagepaths
from pvesim.cluster import storage as storages
from pvesim.cluster.backup import Job
from pvesim.cluster.state import Guest

ONLY_ROOT = ("tmpdir", "dumpdir", "script", "job-id")
ALL_DAYS = "mon,tue,wed,thu,fri,sat,sun"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
OBJECTS = ("prune-backups", "fleecing", "performance")  # property strings that are shown as objects
_CLOCK = re.compile(r"(?:([a-z,.]+)\s+)?(\d{1,2}):(\d{2})")


def _check_rights(call: Call, params: dict[str, Any]) -> None:
    """What an option needs besides (assert_param_permission_common)."""
    if call.auth.is_root:
        return
    for key in ONLY_ROOT:
        if key in params:
            raise param_error(**{key: "Only root may set this option."})
    if any(params.get(key) is not None for key in ("bwlimit", "ionice", "performance")):
        call.check("/", "Sys.Modify")
    if storage := _parts(str(params.get("fleecing") or "")).get("storage"):
        call.check(f"/storage/{storage}", "Datastore.AllocateSpace")


def _verify(params: dict[str, Any], *, complete: bool) -> None:
    """Which guests are meant, without contradiction (PVE::VZDump, verify_vzdump_parameters)."""
    for key in ("all", "exclude", "pool"):
        if params.get(key) and params.get("vmid"):
            raise param_error(**{key: "option conflicts with option 'vmid'"})
    if params.get("prune-backups") is not None and params.get("maxfiles") is not None:
        raise param_error(**{"prune-backups": "option conflicts with option 'maxfiles'"})
    if "\n" in str(params.get("notes-template") or ""):
        raise param_error(**{"notes-template": "contains a line feed"})
    if params.get("exclude") is not None and not params.get("pool"):
        params["all"] = 1
    if complete and not any(params.get(key) for key in ("all", "stop", "pool", "vmid")):
        raise param_error(vmid="property is missing")


def _ids(text: Any) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", str(text or ""))]


def _included(call: Call, params: dict[str, Any]) -> list[int]:
    """The guests that are meant, on every node; ids without a guest stay in (get_included_guests)."""
    cluster = call.cluster
    if params.get("pool"):
        pool = cluster.pools.get(str(params["pool"]))
        found = sorted(pool.vms) if pool else []
    elif params.get("vmid"):
        found = list(dict.fromkeys(_ids(params["vmid"])))
    elif params.get("all"):
        found = sorted(set(cluster.guests) - set(_ids(params.get("exclude"))))
    else:
        found = []
    wanted = params.get("node")
    return [
        vmid for vmid in found if not wanted or vmid not in cluster.guests or cluster.guests[vmid].node == str(wanted)
    ]


@method("POST", "/nodes/{node}/vzdump")
def vzdump(call: Call) -> object:
    """A task, or `OK` when none of the guests is here."""
    params, cluster = dict(call.params), call.cluster
    if params.get("stdout"):
        raise param_error(stdout="option is only allowed on the command line interface.")
    _check_rights(call, params)
    if not call.auth.is_root and (params.get("prune-backups") or params.get("maxfiles")) is not None:
        call.check(f"/storage/{params.get('storage') or 'local'}", "Datastore.Allocate")
    _verify(params, complete=True)
    vmids = _included(call, {key: value for key, value in params.items() if key != "node"})
    here = [vmid for vmid in vmids if vmid not in cluster.guests or cluster.guests[vmid].node == call.node]
    if params.get("stop"):
        for task in cluster.tasks.running():
            if task.type == "vzdump" and task.node == call.node:
                cluster.tasks.stop(task.upid)
        if not here:
            return "OK"
    if not here and not params.get("all"):
        return "OK"
    if params.get("storage"):
        call.check(f"/storage/{params['storage']}", "Datastore.AllocateSpace")
    job = _job(call, params, here, [vmid for vmid in vmids if vmid not in here])

    async def work(log: TaskLog) -> None:
        await backup.run(cluster, job, log)

    return call.fork("vzdump", here[0] if len(here) == 1 else "", work)


def _job(call: Call, params: dict[str, Any], here: list[int], skipped: list[int]) -> Job:
    name = str(params.get("storage") or "local")
    storage = call.cluster.storages.get(name)
    rules = params.get("prune-backups") or (storage and storage.options.get("prune-backups"))
    if params.get("maxfiles"):
        rules = f"keep-last={params['maxfiles']}"
    limit = storage.options.get("max-protected-backups") if storage else None
    if limit is None:
        limit = -1 if call.allowed(f"/storage/{name}", "Datastore.Allocate") else 5
    options = [f"--{key} {value}" for key, value in sorted(params.items()) if key not in ("vmid", "node")]
    return Job(
        node=call.node,
        vmids=here,
        storage=name,
        mode=str(params.get("mode") or "snapshot"),
        compress=str(params.get("compress") or "0"),
        keep=prune.parse(str(rules)) if rules else {},
        remove=bool(params.get("remove", True)),
        notes=str(params.get("notes-template") or ""),
        protected=bool(params.get("protected")),
        protected_limit=int(limit),
        lockwait=int(params.get("lockwait") or 180),
        every=bool(params.get("all")),
        skipped=skipped,
        command=" ".join(["vzdump", *map(str, _ids(params.get("vmid"))), *options]),
        may=lambda vmid: call.check(f"/vms/{vmid}", "VM.Backup"),
    )


@method("GET", "/nodes/{node}/vzdump/defaults")
def vzdump_defaults(call: Call) -> object:
    """The defaults of every option, and what the storage says about pruning."""
    options = schema.load(call.cluster.version)["POST /nodes/{node}/vzdump"].params
    row: dict[str, Any] = {
        name: int(param.default) if param.type in ("integer", "boolean") else param.default
        for name, param in options.items()
        if param.default is not None
    }
    row["storage"] = str(call.params.get("storage") or "local")
    call.check(f"/storage/{row['storage']}", "Datastore.Audit", "Datastore.AllocateSpace", any=True)
    storage = storages.lookup(call.cluster, row["storage"])
    if storage.options.get("prune-backups"):
        row["prune-backups"] = str(storage.options["prune-backups"])
    if storages.type_of(storage).files and call.allowed(f"/nodes/{call.node}", "Sys.Audit"):
        row["dumpdir"] = storagepaths.directory(storage, "backup")
    if not call.allowed(f"/nodes/{call.node}", "Sys.Audit"):
        row.pop("ionice", None)
    return row


@method("GET", "/nodes/{node}/vzdump/extractconfig")
def extract_config(call: Call) -> object:
    volid = str(call.params["volume"])
    storages.check_access(call.cluster, call.auth, None, volid)
    owner = storages.parse(call.cluster, volid).vmid
    call.check(f"/vms/{owner}", "VM.Backup")
    storages.usable(call.cluster, storages.storage_of(volid), call.node)
    archive = storages.find(call.cluster, call.node, volid)
    if archive is None:
        name = storages.parse(call.cluster, volid)
        path = storagepaths.image_path(call.cluster.storages[storages.storage_of(volid)], name)
        raise ApiError(500, f"ERROR: file '{path}' does not exist")
    return backup.config_text(archive)


# Jobs


def _parts(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name if eq else "enabled": value if eq else name for name, eq, value in pairs}


def _shown(call: Call, name: str, job: dict[str, Any]) -> dict[str, Any]:
    row = {key: _parts(str(value)) if key in OBJECTS else value for key, value in job.items()}
    return row | {"id": name, "type": "vzdump"}


def _next_run(call: Call, schedule: str) -> int:
    """When it runs next: exact for `[days ]HH:MM`, else tomorrow at midnight."""
    now = datetime.datetime.fromtimestamp(call.cluster.clock.now())
    found = _CLOCK.fullmatch(schedule.strip().lower())
    hour, minute = (int(found[2]), int(found[3])) if found else (0, 0)
    days = _days(found[1]) if found and found[1] else set(range(7))
    at = now.replace(hour=hour % 24, minute=minute % 60, second=0, microsecond=0)
    while at <= now or (days and at.weekday() not in days):
        at += datetime.timedelta(days=1)
    return int(at.timestamp())


def _days(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("..")
        if first in DAYS and (not last or last in DAYS):
            found |= set(range(DAYS.index(first), DAYS.index(last or first) + 1))
    return found


@method("GET", "/cluster/backup")
def list_jobs(call: Call) -> object:
    rows = []
    for name, job in sorted(call.cluster.jobs.items()):
        row = _shown(call, name, job)
        if job.get("schedule"):
            row["next-run"] = _next_run(call, str(job["schedule"]))
        rows.append(row)
    return rows


@method("GET", "/cluster/backup/{id}")
def read_job(call: Call) -> object:
    name = str(call.params["id"])
    return _shown(call, name, _existing(call, name))


def _existing(call: Call, name: str) -> dict[str, Any]:
    job: dict[str, Any] | None = call.cluster.jobs.get(name)
    if job is None:
        raise param_error(id=f"No such job '{name}'")
    return job


def _settle_schedule(params: dict[str, Any], *, required: bool) -> None:
    """`starttime` and `dow` become a `schedule`."""
    start, days = params.pop("starttime", None), params.pop("dow", None)
    if params.get("schedule") is not None:
        if start is not None:
            raise param_error(starttime="'starttime' and 'schedule' cannot both be set")
    elif start is not None:
        params["schedule"] = str(start) if days in (None, ALL_DAYS) else f"{days} {start}"
    elif required:
        raise param_error(schedule="neither 'starttime' nor 'schedule' were set")


def _check_pool(call: Call, pool: Any) -> None:
    if pool:
        if pool not in call.cluster.pools:
            raise access.denied(f"pool '{pool}' does not exist")
        call.check(f"/pool/{pool}", "VM.Backup")


@method("POST", "/cluster/backup")
async def create_job(call: Call) -> object:
    params = _stored(call.params)
    _check_rights(call, params)
    _check_pool(call, params.get("pool"))
    _settle_schedule(params, required=True)
    params.setdefault("enabled", 1)
    name = str(params.pop("id", None) or uuid.uuid4())
    async with call.cluster.locks.cfs("file-jobs_cfg"):
        if name in call.cluster.jobs:
            raise ApiError(500, f"Job '{name}' already exists")
        _verify(params, complete=True)
        call.cluster.jobs[name] = params
    return None


def _stored(params: dict[str, Any]) -> dict[str, Any]:
    return {key: int(value) if isinstance(value, bool) else value for key, value in params.items() if value is not None}


@method("PUT", "/cluster/backup/{id}")
async def update_job(call: Call) -> object:
    params = _stored(call.params)
    name = str(params.pop("id"))
    delete = [key for key in re.split(r"[,; ]+", str(params.pop("delete", ""))) if key]
    _check_rights(call, params | dict.fromkeys(delete))
    _check_pool(call, params.get("pool"))
    _settle_schedule(params, required=False)
    known = schema.load(call.cluster.version)["POST /cluster/backup"].params
    async with call.cluster.locks.cfs("file-jobs_cfg"):
        if not params and not delete:
            raise ApiError(500, "no options specified")
        _verify(params, complete=False)
        if name not in call.cluster.jobs:
            raise param_error(id=f"No such job '{name}'")
        job = dict(call.cluster.jobs[name])
        for key in delete:
            if key not in known or key in ("id", "schedule", "starttime", "dow"):
                raise param_error(delete=f"unknown option '{key}'")
            job.pop(key, None)
        job |= params
        if job.get("exclude") is not None and job.get("pool") is None:
            job["all"] = 1
        chosen = "vmid" if params.get("vmid") is not None else "all" if params.get("all") else "pool"
        clash = {"vmid": ("all", "exclude", "pool"), "all": ("vmid", "pool"), "pool": ("all", "exclude", "vmid")}
        if chosen != "pool" or job.get("pool"):
            for key in clash[chosen]:
                job.pop(key, None)
        _verify(job, complete=True)
        call.cluster.jobs[name] = job
    return None


@method("DELETE", "/cluster/backup/{id}")
async def delete_job(call: Call) -> object:
    async with call.cluster.locks.cfs("file-jobs_cfg"):
        _existing(call, str(call.params["id"]))
        del call.cluster.jobs[str(call.params["id"])]
    return None


def _name(guest: Guest) -> str:
    return guest.config.get("hostname" if guest.kind == "lxc" else "name", "")


@method("GET", "/cluster/backup/{id}/included_volumes")
def included_volumes(call: Call) -> object:
    """The guests of a job, and for each volume whether it will be in the backup and why."""
    children: list[dict[str, Any]] = []
    for vmid in _included(call, _existing(call, str(call.params["id"]))):
        guest = call.cluster.guests.get(vmid)
        if not call.allowed(f"/vms/{vmid}", "VM.Audit"):
            continue
        if guest is None:
            children.append({"id": vmid, "type": "unknown", "children": []})
            continue
        volumes = [
            {"id": disk.key, "name": disk.file, "included": int(inside), "reason": reason}
            for disk, inside, reason in backup.included(guest)
        ]
        children.append({"id": vmid, "name": _name(guest), "type": guest.kind, "children": volumes})
    return {"children": children}


@method("GET", "/cluster/backup-info")
def backup_info_index(call: Call) -> object:
    return [{"subdir": "not-backed-up"}]


@method("GET", "/cluster/backup-info/not-backed-up")
def not_backed_up(call: Call) -> object:
    """Guests that no job includes."""
    covered = {vmid for job in call.cluster.jobs.values() for vmid in _included(call, dict(job))}
    return [
        {"vmid": guest.vmid, "type": guest.kind} | ({"name": _name(guest)} if _name(guest) else {})
        for guest in sorted(call.cluster.guests.values(), key=lambda guest: guest.vmid)
        if guest.vmid not in covered and call.allowed(f"/vms/{guest.vmid}", "VM.Audit")
    ]
