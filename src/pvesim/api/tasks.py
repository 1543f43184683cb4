"""`/nodes/{node}/tasks`: what runs and what ran on a node. (PVE::API2::Tasks)

A user sees its own tasks and those of its tokens, a token its own; the others need Sys.Audit on the node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pvesim.api.access import split_list
from pvesim.api.method import Call, method, param_error
from pvesim.cluster.tasks import Task

UPID = re.compile(r"UPID:[A-Za-z0-9-]+:[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:[^:\s]+:[^:\s]*:[^:\s]+:")
LINES = 50
ROWS = 50


@method("GET", "/nodes/{node}/tasks")
def index(call: Call) -> object:
    params, source = call.params, call.params.get("source") or "archive"
    auditor = call.allowed(f"/nodes/{call.node}", "Sys.Audit")
    mine = [task for task in call.cluster.tasks.by_upid.values() if task.node == call.node]
    active = [task for task in mine if task.endtime is None]
    ended = sorted((task for task in mine if task.endtime is not None), key=lambda task: task.endtime or 0)
    listed = ([] if source == "archive" else active[::-1]) + ([] if source == "active" else ended[::-1])
    found = [_row(task, source) for task in listed if (auditor or _own(call, task)) and _wanted(params, task)]
    if found:
        call.attributes["total"] = len(found)
    start = int(params.get("start") or 0)
    return found[start : start + int(params.get("limit") or ROWS)]


def _wanted(params: dict[str, Any], task: Task) -> bool:
    status = task.exitstatus or "RUNNING"
    return (
        (not params.get("userfilter") or str(params["userfilter"]).lower() in task.user.lower())
        and (not params.get("typefilter") or params["typefilter"] == task.type)
        and (not params.get("vmid") or str(params["vmid"]) == task.id)
        and (params.get("since") is None or task.starttime >= int(params["since"]))
        and (params.get("until") is None or task.starttime <= int(params["until"]))
        and (not params.get("errors") or kind(status) in ("error", "unknown"))
        and (not params.get("statusfilter") or kind(status) in split_list(params["statusfilter"]))
    )


def kind(status: str) -> str:
    """`ok`, `warning`, `unknown` or `error` (PVE::Tools, upid_normalize_status_type)."""
    if status in ("OK", "RUNNING"):
        return "ok" if status == "OK" else "unknown"
    return "warning" if status.startswith("WARNINGS:") else "unknown" if status == "unexpected status" else "error"


def _row(task: Task, source: str = "archive") -> dict[str, Any]:
    row = {
        "upid": task.upid,
        "node": task.node,
        "pid": task.pid,
        "pstart": task.pstart,
        "starttime": task.starttime,
        "type": task.type,
        "id": task.id,
    }
    if source == "active":
        return row | {"user": task.user, "status": task.exitstatus or "RUNNING"}
    row |= {"user": task.userid} | ({"tokenid": task.tokenid} if task.tokenid else {})
    if task.endtime is not None:
        row["endtime"] = task.endtime
    return row | {"status": task.exitstatus or "RUNNING"}


@method("GET", "/nodes/{node}/tasks/{upid}")
def subdirs(call: Call) -> object:
    return [{"name": "log"}, {"name": "status"}]


@method("DELETE", "/nodes/{node}/tasks/{upid}")
def stop(call: Call) -> None:
    task = _task(call)
    if not _own(call, task):
        call.check(f"/nodes/{call.node}", "Sys.Modify")
    call.cluster.tasks.stop(task.upid)


@method("GET", "/nodes/{node}/tasks/{upid}/status")
def status(call: Call) -> object:
    task = _task(call)
    if not _own(call, task):
        call.check(f"/nodes/{call.node}", "Sys.Audit")
    row = _row(task)
    row.pop("endtime", None)
    row["status"] = "running" if task.exitstatus is None else "stopped"
    return row if task.exitstatus is None else row | {"exitstatus": task.exitstatus}


@method("GET", "/nodes/{node}/tasks/{upid}/log")
def log(call: Call) -> object:
    task = _find(call)
    lines = task.log if task else ["unable to open file - No such file or directory"]
    owner = task.user if task else str(call.params["upid"]).split(":")[-2]
    if call.auth.name not in (owner, owner.partition("!")[0]):
        call.check(f"/nodes/{call.node}", "Sys.Audit")
    start, limit = int(call.params.get("start") or 0), call.params.get("limit")
    count = LINES if limit is None else int(limit) or len(lines)
    call.attributes["total"] = max(len(lines), 1)
    return _numbered(lines[start : start + count], start) if lines else [{"n": 1, "t": "no content"}]


def _numbered(lines: Iterable[str], start: int) -> list[dict[str, Any]]:
    return [{"n": number, "t": line} for number, line in enumerate(lines, start + 1)]


def _find(call: Call) -> Task | None:
    upid = str(call.params["upid"])
    if not UPID.fullmatch(upid):
        raise param_error(upid="unable to parse worker upid")
    task = call.cluster.tasks.by_upid.get(upid)
    return task if task and task.node == call.node else None


def _task(call: Call) -> Task:
    task = _find(call)
    if task is None:
        raise param_error(upid="no such task")
    return task


def _own(call: Call, task: Task) -> bool:
    return call.auth.name in (task.user, task.userid)
