"""Where guests answer whose manifests do not say it: the address that a lease gave, asked of their clusters."""

import asyncio
from collections.abc import Iterable, Mapping

from innkeeper.control import recording
from innkeeper.control.ports import Link
from innkeeper.engine.errors import EngineError
from innkeeper.engine.reconcile import Prepared
from innkeeper.model.records import GuestRecord
from innkeeper.planner.policy import Unreachable

MOST = 50
"""Guests that are asked at one look; the next look asks the next ones."""


async def located(
    records: Iterable[GuestRecord], seen: Prepared, links: Mapping[str, Link | Unreachable]
) -> tuple[GuestRecord, ...]:
    """The records, those of running guests without a known address with the one that they have now."""
    found = tuple(records)
    asked = [item for item in found if item.power == "running" and not item.address and item.vmid is not None][:MOST]
    observed = {item.guest.ref: item.observed for item in seen.decisions}

    async def one(record: GuestRecord) -> GuestRecord:
        link, guest = links.get(record.cluster), observed.get(record.ref)
        if link is None or isinstance(link, Unreachable) or guest is None:
            return record
        try:
            return recording.addressed(record, await link.addresses(guest))
        except EngineError:
            return record

    known = {item.ref: item for item in await asyncio.gather(*map(one, asked))}
    return tuple(known.get(item.ref, item) for item in found)
