"""Which backups a `prune-backups` setting keeps (PVE::Storage, prune_mark_backup_group). Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

PERIODS: tuple[tuple[str, Callable[[time.struct_time], str]], ...] = (
    ("keep-hourly", lambda at: time.strftime("%H/%d/%m/%Y", at)),
    ("keep-daily", lambda at: time.strftime("%d/%m/%Y", at)),
    ("keep-weekly", lambda at: time.strftime("%V/%G", at)),
    ("keep-monthly", lambda at: time.strftime("%m/%Y", at)),
    ("keep-yearly", lambda at: time.strftime("%Y", at)),
)


@dataclass(frozen=True)
class Backup:
    """What pruning looks at; `ctime` in seconds; `mark` is given beforehand to those that are never touched."""

    volid: str
    group: str  # kind and guest: each group is pruned by itself
    ctime: int
    mark: str | None = None  # "protected", "renamed"


def parse(text: str) -> dict[str, int]:
    """`keep-last=3,keep-daily=7` → numbers by option."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name: 1 if value in ("yes", "true", "on") else int(value or 0) for name, _, value in pairs}


def marks(backups: Iterable[Backup], keep: Mapping[str, int]) -> dict[str, str]:
    """`keep`, `remove`, `protected` or `renamed` for every backup."""
    groups: dict[str, list[Backup]] = {}
    found: dict[str, str] = {}
    for backup in backups:
        if backup.mark:
            found[backup.volid] = backup.mark
        else:
            groups.setdefault(backup.group, []).append(backup)
    for group in groups.values():
        found |= _group(sorted(group, key=lambda backup: -backup.ctime), keep)
    return found


def _group(newest_first: list[Backup], keep: Mapping[str, int]) -> dict[str, str]:
    if keep.get("keep-all") or not any(count > 0 for name, count in keep.items() if name != "keep-all"):
        return {backup.volid: "keep" for backup in newest_first}
    mark: dict[str, str] = {}
    _mark(newest_first, mark, keep.get("keep-last", 0), lambda backup: backup.ctime)
    for option, period in PERIODS:
        _mark(newest_first, mark, keep.get(option, 0), lambda backup, p=period: p(time.localtime(backup.ctime)))  # type: ignore[misc]
    return {backup.volid: mark.get(backup.volid, "remove") for backup in newest_first}


def _mark(backups: list[Backup], mark: dict[str, str], count: int, period: Callable[[Backup], object]) -> None:
    if not count:
        return
    kept_before = {period(backup) for backup in backups if mark.get(backup.volid) == "keep"}
    newly: set[object] = set()
    for backup in backups:
        at = period(backup)
        if backup.volid in mark or at in kept_before:
            continue
        if at not in newly:
            if len(newly) >= count:
                break
            newly.add(at)
            mark[backup.volid] = "keep"
        else:
            mark[backup.volid] = "remove"
