"""Following Proxmox's tasks to their end.

Source: PVE::Tools, upid_decode and upid_read_status; PVE::API2::Tasks. A task's exit status is `OK`, `WARNINGS: n` (a
success), or its error; `start=1` of a create forks a second task of its own.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from innkeeper.engine.errors import Uncertain, Waiting
from innkeeper.engine.ports import Log
from innkeeper.proxmox.answers import problem
from innkeeper.proxmox.session import Session

_UPID = re.compile(
    r"UPID:(?P<node>[^:\s]+):(?P<pid>[0-9A-Fa-f]{8}):(?P<pstart>[0-9A-Fa-f]{8,9}):(?P<start>[0-9A-Fa-f]{8}):"
    r"(?P<type>[^:\s]+):(?P<id>[^:\s]*):(?P<user>[^:\s]+):"
)
_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
"""Seconds between looks, the last for ever: quick for what takes a moment, light for what takes minutes."""
_QUIET = 3
"""Looks before a task's log is read too."""


@dataclass(frozen=True, slots=True)
class Upid:
    text: str
    node: str
    type: str
    id: str
    user: str
    started: int
    """Seconds since 1970."""

    @property
    def path(self) -> str:
        return f"/nodes/{self.node}/tasks/{quote(self.text, safe='')}"


def parse_upid(text: object) -> Upid | None:
    if not isinstance(text, str) or not (match := _UPID.fullmatch(text)):
        return None
    return Upid(text, match["node"], match["type"], match["id"], match["user"], int(match["start"], 16))


async def follow(
    session: Session, upid: Upid, log: Log, until: float | None = None, clock: Callable[[], float] = time.monotonic
) -> None:
    """Until the task has ended; its last log line goes to `log` whenever there is a new one.

    Raises what the task's error means; Waiting when `until` (on `clock`) passes; Uncertain when its end is not known.
    """
    seen = 0
    for look in range(1_000_000_000):
        status = await _status(session, upid)
        if status.get("status") == "stopped":
            break
        if look >= _QUIET:
            seen = await _tell(session, upid, seen, log)
        if until is not None and clock() >= until:
            raise Waiting(f"{upid.type} of {upid.id} is still running on {upid.node}", "it goes on by itself", 5.0)
        await asyncio.sleep(_PAUSES[min(look, len(_PAUSES) - 1)])
    end = str(status.get("exitstatus") or "unexpected status")
    if end == "OK":
        return
    if end.startswith("WARNINGS"):
        await _tell_warnings(session, upid, log)
        return
    error = problem(end)
    error.message = f"task {upid.type} {upid.id} on {upid.node}: {error.message}"
    error.args = (error.message,)
    raise error


async def _status(session: Session, upid: Upid) -> Mapping[str, Any]:
    trouble = ""
    try:
        answer: Mapping[str, Any] = await session.get(f"{upid.path}/status", upid.node)
        return answer
    except Waiting as error:
        trouble = error.message
    raise Uncertain(
        f"the end of task {upid.type} {upid.id} is not known: {trouble}", "look before anything is repeated"
    )


async def _tell(session: Session, upid: Upid, seen: int, log: Log) -> int:
    """The number of log lines that are known now; a log that cannot be read is no trouble."""
    try:
        lines = await session.get(f"{upid.path}/log?start={seen}&limit=500", upid.node)
    except (Waiting, Uncertain):
        return seen
    texts = [str(line.get("t") or "") for line in lines if line.get("n", 0) > seen]
    if said := [text.strip() for text in texts if text.strip() and text != "no content"]:
        log(said[-1])
    return seen + len(texts)


async def _tell_warnings(session: Session, upid: Upid, log: Log) -> None:
    lines = await session.get(f"{upid.path}/log?start=0&limit=500", upid.node)
    for line in lines:
        if str(line.get("t") or "").startswith("WARN"):
            log(str(line["t"]).strip())


async def running(session: Session, vmid: int) -> list[Upid]:
    """Tasks on a guest that have not ended, wherever they run (`GET /cluster/tasks` shows those of every node)."""
    tasks = await session.get("/cluster/tasks")
    found = (parse_upid(task.get("upid")) for task in tasks if "endtime" not in task and "exitstatus" not in task)
    return [upid for upid in found if upid and upid.id == str(vmid)]
