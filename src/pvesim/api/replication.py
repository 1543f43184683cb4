"""Replication jobs: they are noted, and count as done the moment they are due (PVE::API2::ReplicationConfig)."""

from __future__ import annotations

from typing import Any

from pvesim.api.method import ApiError, Call, method, param_error
from pvesim.api.sections import change, changing, digest, sections, settings
from pvesim.cluster import disks
from pvesim.cluster import storage as storages
from pvesim.cluster.access import denied
from pvesim.cluster.state import Guest

FILE = "replication.cfg"
OPTIONS = ("comment", "disable", "rate", "remove_job", "schedule", "source", "target")


def _may_change(call: Call) -> None:
    if call.cluster.major >= 9:
        guest = str(call.params["id"]).partition("-")[0]
        call.check(f"/vms/{guest}", "VM.Replicate")


@method("GET", "/cluster/replication")
def list_jobs(call: Call) -> object:
    return [
        job | {"id": name}
        for name, job in sorted(sections(call, FILE).items())
        if call.allowed(f"/vms/{job['guest']}", "VM.Audit")
    ]


def _job(call: Call) -> dict[str, Any]:
    name = str(call.params["id"])
    job = sections(call, FILE).get(name)
    if job is None:
        raise ApiError(500, f"no such replication job '{name}'")
    return job


@method("GET", "/cluster/replication/{id}")
def read(call: Call) -> object:
    job = _job(call)
    call.check(f"/vms/{job['guest']}", "VM.Audit")
    return job | {"id": call.params["id"], "digest": digest(call, FILE)}


@method("POST", "/cluster/replication")
async def create(call: Call) -> None:
    """Only for volumes that their storage can replicate, to another node."""
    _may_change(call)
    name, target = str(call.params["id"]), str(call.params["target"])
    vmid, _, number = name.partition("-")
    guest = call.cluster.guests.get(int(vmid))
    if guest is None:
        raise ApiError(500, f"Guest '{vmid}' does not exist.")
    if target not in call.cluster.nodes:
        raise ApiError(500, f"Target '{target}' does not exist.")
    source = call.params.get("source")
    if source is not None and source != guest.node:
        raise ApiError(500, f"Source '{source}' does not match current node of guest '{vmid}' ({guest.node})")
    if target == guest.node:
        raise ApiError(500, "Source and target must not be identical")
    if not _replicable(call, guest):
        raise ApiError(500, "No replicatable volumes found")
    async with changing(call, FILE) as known:
        if name in known:
            raise ApiError(500, f"replication job '{name}' already exists")
        made = settings(call, "id") | {"source": guest.node, "guest": guest.vmid, "jobnum": number}
        known[name] = made


def _replicable(call: Call, guest: Guest) -> bool:
    """Whether a volume takes part; ApiError 500 for one that should and cannot (get_replicatable_volumes)."""
    found = False
    for disk in disks.volumes(guest.kind, guest.config):
        if disk.is_cdrom or disk.options.get("replicate") == "0":
            continue
        if not storages.feature(call.cluster, "replicate", disk.file):
            raise ApiError(500, f"missing replicate feature on volume '{disk.file}'")
        found = True
    return found


@method("PUT", "/cluster/replication/{id}")
async def update(call: Call) -> None:
    _may_change(call)
    name = str(call.params["id"])
    async with changing(call, FILE) as known:
        if name not in known:
            raise ApiError(500, f"no such job '{name}'")
        given = settings(call, "id", "delete", "digest")
        change(known[name], given, call.params.get("delete"), known=OPTIONS, needed=("target",))


@method("DELETE", "/cluster/replication/{id}")
async def delete(call: Call) -> None:
    """On a real node a job that is not forced away goes with its next run; here it goes at once."""
    _may_change(call)
    name, force = str(call.params["id"]), bool(call.params.get("force"))
    if force and call.params.get("keep"):
        raise param_error(keep="conflicts with parameter 'force'")
    async with changing(call, FILE) as known:
        if name not in known and not force:
            raise ApiError(500, f"no such job '{name}'")
        known.pop(name, None)


@method("GET", "/nodes/{node}/replication")
def list_states(call: Call) -> object:
    """The jobs of this node's guests and how they went."""
    wanted = call.params.get("guest")
    return [
        _state(call, name, job)
        for name, job in sorted(sections(call, FILE).items())
        if job["source"] == call.node
        and wanted in (None, job["guest"])
        and call.allowed(f"/vms/{job['guest']}", "VM.Audit")
    ]


def _state(call: Call, name: str, job: dict[str, Any]) -> dict[str, Any]:
    due = int(call.cluster.clock.now()) // 900 * 900
    ran = {"last_sync": due, "last_try": due, "next_sync": due + 900, "fail_count": 0, "duration": 1.5}
    vmtype = call.cluster.guests[job["guest"]].kind if job["guest"] in call.cluster.guests else "qemu"
    return job | {"id": name, "vmtype": vmtype} | ran


@method("GET", "/nodes/{node}/replication/{id}")
def index(call: Call) -> object:
    return [{"name": name} for name in ("schedule_now", "log", "status")]


@method("GET", "/nodes/{node}/replication/{id}/status")
def state(call: Call) -> object:
    job = _job(call)
    if not call.allowed(f"/vms/{job['guest']}", "VM.Audit"):
        raise denied()
    return _state(call, str(call.params["id"]), job)


@method("GET", "/nodes/{node}/replication/{id}/log")
def log(call: Call) -> object:
    job = _job(call)
    call.check(f"/vms/{job['guest']}", "VM.Audit")
    call.attributes["total"] = 1
    return [{"n": 1, "t": f"{call.params['id']}: end replication job"}]


@method("POST", "/nodes/{node}/replication/{id}/schedule_now")
def schedule_now(call: Call) -> None:
    _may_change(call)
    _job(call)
