"""One guest's configuration as Proxmox tells it, `GET …/pending`, as an observed value. Pure.

Source: PVE::GuestHelpers, config_with_pending_array: rows `{key, value, pending, delete}`, the digest among them.
"""

from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any

from innkeeper.model.observed import EMPTY, ObservedGuest
from innkeeper.proxmox.listing import Row, split_tags
from innkeeper.settings.marker import read_marker

_NAMES = {"Container": "hostname", "VirtualMachine": "name"}


def read_config(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str | None]]:
    """The configuration as it will be once all is in effect, and what runs now for every key that waits for it."""
    config: dict[str, str] = {}
    pending: dict[str, str | None] = {}
    for row in rows:
        key, value = intern(row["key"]), row.get("value")
        if "pending" in row:
            config[key] = str(row["pending"])
            pending[key] = None if value is None else str(value)
        elif row.get("delete"):
            pending[key] = None if value is None else str(value)
        elif value is not None:
            config[key] = str(value)
    return config, pending


def observed(row: Row, rows: Sequence[Mapping[str, Any]]) -> ObservedGuest:
    """A guest that could be read. The configuration's own name, tags and lock are newer than the list's."""
    config, pending = read_config(rows)
    digest = config.pop("digest", "")
    lock = config.pop("lock", None)
    notes = config.get("description", "")
    visible, marker = read_marker(notes) if notes else ("", None)
    return ObservedGuest(
        vmid=row.vmid,
        kind=row.kind,
        node=row.node,
        name=config.get(_NAMES[row.kind], row.name),
        power=row.power,
        template=row.template or config.get("template") == "1",
        tags=split_tags(config["tags"]) if "tags" in config else (),
        pool=row.pool,
        lock=lock or row.lock,
        ha=row.ha,
        config=config,
        description=visible,
        marker=marker,
        digest=digest,
        pending=pending or EMPTY,
    )


def unread(row: Row, why: str = "") -> ObservedGuest:
    """A guest of which only the list's line is known; `why` where its configuration could not be read."""
    return ObservedGuest(
        vmid=row.vmid,
        kind=row.kind,
        node=row.node,
        name=row.name,
        power="unknown" if why else row.power,
        template=row.template,
        tags=row.tags,
        pool=row.pool,
        lock=row.lock,
        ha=row.ha,
        unreadable=why,
    )
