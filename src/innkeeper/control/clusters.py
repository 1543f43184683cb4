"""Which clusters there are: the server's, and those that repositories declare themselves, each with the way there."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from innkeeper.control.errors import NotFound
from innkeeper.control.house import House
from innkeeper.control.ports import Link
from innkeeper.control.rendering import synced
from innkeeper.engine.errors import EngineError, Waiting
from innkeeper.model.objects import Cluster
from innkeeper.model.sources import Source
from innkeeper.planner.policy import Unreachable


async def own(house: House, source: Source) -> tuple[Cluster, ...]:
    """Those that a source's repository declares itself, as it was synced last; none where it may not, or no more."""
    if "clusters" not in source.spec.allow:
        return ()
    rendered = await synced(house, source)
    if rendered is None or not rendered.loaded.ok:
        return ()
    return tuple(item for item in rendered.loaded.declared.clusters if item.name not in house.clusters)


async def every(house: House) -> Mapping[str, Cluster]:
    """All clusters by name, the server's first. A source that cannot be read now keeps the others from nobody."""

    async def of(source: Source) -> tuple[Cluster, ...]:
        with suppress(EngineError):
            return await own(house, source)
        return ()

    found = await asyncio.gather(*map(of, house.sources.values()))
    return dict(house.clusters) | {item.name: item for items in found for item in items}


async def cluster(house: House, name: str, source: str = "") -> Cluster:
    """One cluster; as `source` means the name, where one is named. NotFound for one that nobody declares."""
    if name in house.clusters:
        return house.clusters[name]
    known = {item.name: item for item in await own(house, house.source(source))} if source else await every(house)
    if name in known:
        return known[name]
    raise NotFound(f"there is no cluster {name}", f"clusters: {', '.join(sorted(known)) or 'none'}")


@asynccontextmanager
async def reach(house: House, cluster: Cluster) -> AsyncIterator[Link]:
    """The way to a cluster; Waiting for one that cannot be reached."""
    async with house.links.connected((cluster,)) as links:
        link = links[cluster.name]
        if isinstance(link, Unreachable):
            raise Waiting(link.message, link.advice)
        yield link
