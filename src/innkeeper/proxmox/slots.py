"""Who waits for whom, so that Proxmox's fixed lock timeouts are never met.

A guest's configuration lock waits 10 s and is held for a whole operation: one write per guest at a time. Storage locks
wait 10 s too, and a storage allocates one volume at a time: few allocating calls at once, per shared storage in the
whole cluster, else per node.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

_GUEST = re.compile(r"/nodes/(?P<node>[^/]+)/(?:lxc|qemu)(?:/(?P<vmid>\d+))?(?:/(?P<rest>.*))?")
_NEW_VOLUME = re.compile(r"(?:^|[=,])(?P<storage>[A-Za-z][\w.-]*):(?:\d+(?:\.\d+)?|cloudinit)(?:,|$)")
ON_SHARED = 3
ON_NODE = 8
"""So many wait at most that the last still gets its turn within 10 s when an allocation takes 5 s on a shared storage
(whose lock spans the cluster) or 1.4 s on a node's own."""


class Slots:
    """The queues of one cluster."""

    def __init__(self) -> None:
        self.shared: frozenset[str] = frozenset()
        """Names of shared storages, known once they have been listed."""
        self._guests: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._storages: dict[str, asyncio.Semaphore] = {}

    @asynccontextmanager
    async def turn(self, method: str, path: str, params: Iterable[tuple[str, str]]) -> AsyncIterator[None]:
        """Held while a writing call and its task run. Always taken in the same order: nobody waits in a ring."""
        given = list(params)
        async with AsyncExitStack() as stack:
            if (vmid := target(path, given)) is not None:
                await stack.enter_async_context(self._guests[vmid])
            for name in sorted(places(method, path, given, self.shared)):
                room = ON_NODE if "/" in name else ON_SHARED
                await stack.enter_async_context(self._storages.setdefault(name, asyncio.Semaphore(room)))
            yield


def node_of(path: str) -> str:
    """The node that a path names, empty where it names none."""
    return path.split("/", 3)[2] if path.startswith("/nodes/") else ""


def target(path: str, params: Iterable[tuple[str, str]]) -> int | None:
    """The guest that a call writes to: the new one of a create or clone, else the one in the path."""
    if not (match := _GUEST.fullmatch(path)):
        return None
    given = dict(params)
    number = given.get("newid" if match["rest"] == "clone" else "vmid", match["vmid"] or "")
    return int(number) if number.isdigit() else None


def places(method: str, path: str, params: Iterable[tuple[str, str]], shared: Collection[str]) -> set[str]:
    """Where a call allocates or frees volumes: `nas` for a shared storage, `pve/local` for one of a node.

    A full clone without a storage, and a deletion, touch storages that the call does not name: `pve/*`.
    """
    if not (match := _GUEST.fullmatch(path)):
        return set()
    given = dict(params)
    node = given.get("target", match["node"])
    storages = {found["storage"] for value in given.values() for found in _NEW_VOLUME.finditer(value)}
    if match["rest"] == "clone":
        storages.add(given.get("storage", "*"))
    elif method == "DELETE" and not match["rest"]:
        storages.add("*")
    return {name if name in shared else f"{node}/{name}" for name in storages}
