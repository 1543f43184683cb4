"""What a plan that creates must know of the nodes: bridges and templates. A call per node and per kind of content."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from innkeeper.engine.errors import Conflict, Stalled, Waiting
from innkeeper.model.observed import Node, Storage
from innkeeper.proxmox.listing import Rows
from innkeeper.proxmox.session import Session

_CONTENTS = ("vztmpl", "import")


@dataclass(frozen=True, slots=True)
class Catalog:
    """By node; a node whose bridges could not be asked for is left out, and `gaps` says why."""

    bridges: Mapping[str, frozenset[str]]
    templates: Mapping[str, tuple[str, ...]]
    gaps: tuple[str, ...]


async def read_catalog(
    session: Session, nodes: Mapping[str, Node], storages: Iterable[Storage], names: frozenset[str] | None
) -> Catalog:
    """Of the online nodes in `names` (None: all). A shared storage is asked once, for all nodes that have it."""
    where = [name for name, node in nodes.items() if node.online and (names is None or name in names)]
    gaps: list[str] = []

    async def ask(path: str, node: str) -> Rows | None:
        try:
            rows: Rows = await session.get(path, node)
        except (Stalled, Waiting, Conflict) as error:
            gaps.append(f"{str(error).rstrip('.')}.")
            return None
        return rows

    holders: dict[tuple[str, str, str], list[str]] = {}
    for store in storages:
        if store.node in where and store.available:
            for content in _CONTENTS:
                if content in store.content:
                    key = (store.name, "" if store.shared else store.node, content)
                    holders.setdefault(key, []).append(store.node)
    bridges, volumes = await asyncio.gather(
        asyncio.gather(*(ask(f"/nodes/{name}/network?type=any_bridge", name) for name in where)),
        asyncio.gather(
            *(
                ask(f"/nodes/{on[0]}/storage/{storage}/content?content={content}", on[0])
                for (storage, _, content), on in holders.items()
            )
        ),
    )
    templates: dict[str, set[str]] = {name: set() for name in where}
    for on, rows in zip(holders.values(), volumes, strict=True):
        for name in on:
            templates[name].update(row["volid"] for row in rows or ())
    return Catalog(
        bridges={
            name: frozenset(row["iface"] for row in rows)
            for name, rows in zip(where, bridges, strict=True)
            if rows is not None
        },
        templates={name: tuple(sorted(found)) for name, found in templates.items()},
        gaps=tuple(gaps),
    )
