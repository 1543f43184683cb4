"""Tasks: UPIDs, what runs, what ran, and every line that it logged.

A worker is `async def worker(log: TaskLog) -> None`. It ends with `OK`, with `WARNINGS: n` when `log.warn` was called,
or, when it raises TaskFailed or ApiError, with that text (PVE::RESTEnvironment, fork_worker).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pvesim.cluster.clock import Clock
from pvesim.errors import ApiError, TaskFailed, died


@dataclass
class Task:
    """One run; `user` is `root@pam` or `root@pam!full`; times in whole seconds; `endtime` is None while it runs."""

    upid: str
    node: str
    pid: int
    pstart: int
    starttime: int
    type: str
    id: str
    user: str
    log: list[str] = field(default_factory=list)
    endtime: int | None = None
    exitstatus: str | None = None

    @property
    def userid(self) -> str:
        return self.user.partition("!")[0]

    @property
    def tokenid(self) -> str | None:
        return self.user.partition("!")[2] or None


class TaskLog:
    """What a worker writes to: call it with a line."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.warnings = 0

    def __call__(self, line: str) -> None:
        self.task.log.extend(line.split("\n"))

    def warn(self, text: str) -> None:
        """A line `WARN: …`; the task ends with `WARNINGS: n`, which is a success."""
        self.warnings += 1
        self(f"WARN: {text}")


Worker = Callable[[TaskLog], Awaitable[None]]


class Tasks:
    """All tasks of all nodes. `finished` is called with each task that has ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._boot = clock.now() - 3600
        self.last_pid = 1000
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self.by_upid: dict[str, Task] = {}
        self.doomed: Callable[[Task], str | None] = lambda _: None
        self.finished: Callable[[Task], None] = lambda _: None

    def start(self, node: str, type: str, id: str, user: str, worker: Worker) -> str:  # noqa: A002
        """Start a task on `node` and return its UPID (PVE::UPID encoding)."""
        now = self._clock.now()
        pid, pstart = self.pid(), int((now - self._boot) * 100)
        quoted = "".join(c if c.isalnum() or c in "-._~" else f"\\x{ord(c):02x}" for c in id)
        upid = f"UPID:{node}:{pid:08X}:{pstart:08X}:{int(now):08X}:{type}:{quoted}:{user}:"
        task = Task(upid, node, pid, pstart, int(now), type, id, user)
        self.by_upid[upid] = task
        self._jobs[upid] = asyncio.get_running_loop().create_task(self._run(task, worker))
        return upid

    def pid(self) -> int:
        """A process id that nothing else here has."""
        self.last_pid += 1
        return self.last_pid

    def running(self) -> list[Task]:
        return [self.by_upid[upid] for upid in self._jobs]

    def stop(self, upid: str) -> None:
        """Interrupt a running task (DELETE /nodes/{node}/tasks/{upid}); one that has ended stays as it is."""
        job = self._jobs.get(upid)
        if job:
            job.cancel()

    async def settle(self, upid: str) -> None:
        """Return when the task has ended (or at once when it is not known)."""
        job = self._jobs.get(upid)
        if job:
            await asyncio.wait({job})

    async def idle(self, seconds: float) -> None:
        """Return when nothing runs any more, tasks that tasks have started included, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._jobs:
                    await asyncio.wait(set(self._jobs.values()))

    async def _run(self, task: Task, worker: Worker) -> None:
        log = TaskLog(task)
        try:
            doom = self.doomed(task)
            if doom:
                raise TaskFailed(doom)
            await worker(log)
            status = f"WARNINGS: {log.warnings}" if log.warnings else "OK"
        except (TaskFailed, ApiError) as error:
            status = died(error)
        except asyncio.CancelledError:
            status = "interrupted by signal"
        except Exception as error:  # noqa: BLE001 - a simulator's bug ends the task, not the server
            status = f"pvesim: {error.__class__.__name__}: {error}"
        status = status.rstrip("\n").replace("\n", " ")
        if log.warnings and status.startswith("WARNINGS"):
            task.log.append(f"TASK {status}")
        else:
            task.log.append("TASK OK" if status == "OK" else f"TASK ERROR: {status}")
        task.exitstatus, task.endtime = status, int(self._clock.now())
        self._jobs.pop(task.upid, None)
        self.finished(task)
