"""The cluster in a file: dataclasses to JSON and back, by their type hints.

Nothing is left out but what belongs to one process: clock, locks, backend. A task that was running when the process
ended is found as one that ended with `unexpected status`, as after a power cut.
"""

from __future__ import annotations

import dataclasses
import json
import os
import types
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pvesim.cluster.clock import Clock
from pvesim.cluster.state import Cluster
from pvesim.cluster.tasks import Task

TRANSIENT = {"clock", "locks", "backend", "tasks", "stats"}


def save(cluster: Cluster, path: Path) -> None:
    """Write the state, secrets included; a crash leaves the old file or the new one."""
    state = {name: _plain(getattr(cluster, name)) for name in _fields(Cluster) if name not in TRANSIENT}
    state["tasks"] = [_plain(task) for task in cluster.tasks.by_upid.values()]
    state["pid"] = cluster.tasks.last_pid
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(state, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load(path: Path, clock: Clock) -> Cluster:
    """The state that `save` wrote."""
    state = json.loads(path.read_text("utf-8"))
    hints = _fields(Cluster)
    cluster = Cluster(
        clock, **{name: _typed(hints[name], state[name]) for name in hints if name in state.keys() - TRANSIENT}
    )
    cluster.tasks.last_pid = state["pid"]
    for plain in state["tasks"]:
        task = _typed(Task, plain)
        if task.endtime is None:
            task.endtime, task.exitstatus = int(clock.now()), "unexpected status"
        cluster.tasks.by_upid[task.upid] = task
    return cluster


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(item) for key, item in value.items()}
        return [[_plain(key), _plain(item)] for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _typed(kind: Any, value: Any) -> Any:
    origin, args = get_origin(kind), get_args(kind)
    if value is None or kind is Any or origin is Literal:
        return value
    if origin in (Union, types.UnionType):
        return _typed(next(arg for arg in args if arg is not type(None)), value)
    if dataclasses.is_dataclass(kind):
        hints = _fields(kind)  # type: ignore[arg-type]
        return kind(**{name: _typed(hints[name], item) for name, item in value.items() if name in hints})  # type: ignore[operator]
    if origin is dict:
        pairs = value.items() if isinstance(value, dict) else value
        return {_typed(args[0], key): _typed(args[1], item) for key, item in pairs}
    if origin in (set, frozenset, list):
        return origin(_typed(args[0], item) for item in value)
    if origin is tuple:
        return tuple(_typed(arg, item) for arg, item in zip(args, value, strict=True))
    return value


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
