"""Scripted trouble: what goes wrong, when, to whom. A YAML file, read at the start and again at SIGHUP.

    down: [pve3]                 # nodes that are dead: their port drops connections, calls to them are 595
    quorum: false                # lost although enough nodes are up
    locks: [101, "cfs:storage-nas", "pve:/run/lock/lxc/pve-config-101.lock"]    # held by somebody; 101: that guest's
    random: 7                    # seed of every `chance`
    rules:
      - {on: {method: POST, path: "/nodes/*/lxc", user: "root@*"}, after: 2, times: 1, do: lose-answer}
      - {on: {task: vzcreate, id: "101"}, do: fail-task, text: "no space left"}
      - {on: {path: "/nodes/*"}, chance: 0.05, times: 0, do: status, status: 599, reason: Too many redirections}

A rule matches a call by whatever `on` names (method, path, user, node; shell patterns), or a task by its type and id
(task, id, user, node); `on` left out: every call. It lets `after` matching calls pass, then acts on the next `times`
(default 1; 0: on all), each with `chance` (default 1). What it does:

    lose-answer   the call has its effect, then the connection is closed without an answer
    drop          the connection is closed, nothing was done
    timeout       the call has its effect, the answer never comes (the connection closes after `seconds`, default 60)
    status        an answer with `status` and `reason` (default 599), without a body; `effect: true`: after the effect
    lock, unlock  takes and gives back the lock that `lock` names, as in `locks`
    guest-lock    sets `lock: …` (`text`, default backup) in the config of guest `vmid`; "" removes it
    node-down, node-up      of `node`
    quorum-lost, quorum-back
    revoke        removes the ACL entries of `ugid` (a user, token or group), those at `path` if it is given, and makes
                  a token privilege-separated
    fail-task     the task ends with `text`

All but lose-answer, timeout and `effect: true` happen before the call is worked on.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from pvesim.cluster.state import Cluster
from pvesim.cluster.tasks import Task

ANSWERS = {"lose-answer", "drop", "timeout", "status"}
DEEDS = {"lock", "unlock", "guest-lock", "node-down", "node-up", "quorum-lost", "quorum-back", "revoke"}


class FaultError(Exception):
    """The file cannot be used; the text says where and what was expected."""


@dataclass
class Rule:
    """One rule, with how often it has matched and acted."""

    do: str
    on: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    times: int = 1
    chance: float = 1
    seconds: float = 60
    status: int = 599
    reason: str = "Too many redirections"
    effect: bool = False
    lock: str = ""
    vmid: int = 0
    text: str = "backup"
    node: str = ""
    ugid: str = ""
    path: str = ""
    matched: int = 0
    acted: int = 0

    def fits(self, what: Mapping[str, str], dice: random.Random) -> bool:
        """Whether it acts on this call or task; counts."""
        if not all(key in what and fnmatchcase(what[key], str(pattern)) for key, pattern in self.on.items()):
            return False
        self.matched += 1
        if self.matched <= self.after or (self.times and self.acted >= self.times) or dice.random() >= self.chance:
            return False
        self.acted += 1
        return True


class Faults:
    """The rules in force."""

    def __init__(self, cluster: Cluster, path: Path | None = None) -> None:
        self._cluster = cluster
        self._path = path
        self._rules: list[Rule] = []
        self._held: set[str] = set()
        self._dice = random.Random(0)  # noqa: S311 - repeatable on purpose
        cluster.tasks.doomed = self._doom
        if path:
            self.load()

    def load(self) -> None:
        """Read the file (again): counters start anew, `down`, `quorum` and `locks` are as it says now."""
        if self._path is None:
            return
        plan = _read(self._path)
        cluster = self._cluster
        self._dice = random.Random(plan.get("random", 0))  # noqa: S311 - repeatable on purpose
        self._rules = [_rule(self._path, entry) for entry in plan.get("rules") or []]
        down = set(plan.get("down") or ())
        unknown = down - cluster.nodes.keys()
        if unknown:
            raise FaultError(f"{self._path}: down: no node {unknown.pop()!r}; there are {', '.join(cluster.nodes)}")
        for node in cluster.nodes.values():
            node.online = node.name not in down
        cluster.quorum_lost = not plan.get("quorum", True)
        for name in self._held:
            cluster.locks.free(name)
        self._held = {self._lock_name(lock) for lock in plan.get("locks") or ()}
        for name in self._held:
            cluster.locks.seize(name)

    def meet(self, method: str, path: str, user: str, node: str) -> Rule | None:
        """What happens to this call: deeds are done here, the rule for its answer is returned."""
        if not self._rules:
            return None
        what = {"method": method, "path": path, "user": user, "node": node}
        answer = None
        for rule in self._rules:
            if rule.do != "fail-task" and rule.fits(what, self._dice):
                if rule.do in ANSWERS:
                    answer = answer or rule
                else:
                    self._deed(rule)
        return answer

    def _doom(self, task: Task) -> str | None:
        what = {"task": task.type, "id": task.id, "user": task.user, "node": task.node}
        return next((rule.text for rule in self._rules if rule.do == "fail-task" and rule.fits(what, self._dice)), None)

    def _deed(self, rule: Rule) -> None:
        cluster = self._cluster
        match rule.do:
            case "lock":
                cluster.locks.seize(self._lock_name(rule.lock))
            case "unlock":
                cluster.locks.free(self._lock_name(rule.lock))
            case "guest-lock":
                if rule.vmid in cluster.guests:
                    config = cluster.guests[rule.vmid].config
                    config["lock"] = rule.text
                    if not rule.text:
                        del config["lock"]
            case "node-down" | "node-up":
                cluster.nodes[rule.node].online = rule.do == "node-up"
            case "quorum-lost" | "quorum-back":
                cluster.quorum_lost = rule.do == "quorum-lost"
            case "revoke":
                self._revoke(rule)

    def _revoke(self, rule: Rule) -> None:
        cluster = self._cluster
        ugid = rule.ugid.removeprefix("@")
        cluster.acl = {entry for entry in cluster.acl if entry.ugid != ugid or rule.path not in ("", entry.path)}
        userid, _, tokenid = rule.ugid.partition("!")
        if tokenid and userid in cluster.users and tokenid in cluster.users[userid].tokens:
            cluster.users[userid].tokens[tokenid].privsep = True

    def _lock_name(self, lock: str | int) -> str:
        guest = self._cluster.guests.get(int(lock)) if str(lock).isdigit() else None
        return self._cluster.locks.guest_name(guest.node, guest.kind, guest.vmid) if guest else str(lock)


def _read(path: Path) -> dict[str, Any]:
    try:
        plan = yaml.safe_load(path.read_text("utf-8")) or {}
    except (OSError, yaml.YAMLError) as error:
        raise FaultError(f"{path}: {error}") from error
    known = {"down", "quorum", "locks", "random", "rules"}
    if not isinstance(plan, dict) or plan.keys() - known:
        raise FaultError(f"{path}: expected a mapping with some of the keys {', '.join(sorted(known))}")
    return plan


def _rule(path: Path, entry: Any) -> Rule:
    deeds = sorted(ANSWERS | DEEDS | {"fail-task"})
    if not isinstance(entry, dict) or entry.get("do") not in deeds:
        raise FaultError(f"{path}: rule {entry!r}: `do` must be one of {', '.join(deeds)}")
    entry = {"on" if key is True else key: value for key, value in entry.items()}  # YAML 1.1: a bare `on` is true
    known = {item.name for item in fields(Rule)} - {"matched", "acted"}
    unknown = entry.keys() - known
    if unknown:
        raise FaultError(f"{path}: rule {entry!r}: unknown key {unknown.pop()!r}; known are {', '.join(sorted(known))}")
    entry = {"text": "injected failure", **entry} if entry["do"] == "fail-task" else entry
    return Rule(**entry)
