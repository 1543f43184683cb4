"""What people hear of without looking: a failure once, its recovery once, drift, and a plan that waits for them."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Literal

from innkeeper.control.house import House
from innkeeper.control.ports import Notice, Notifier
from innkeeper.control.running import Outcome
from innkeeper.engine.errors import EngineError, Waiting
from innkeeper.model.jobs import Job
from innkeeper.model.objects import Ref
from innkeeper.model.records import Drift, GuestRecord

_SECONDS = 15.0
_PAUSES = (30.0, 120.0, 600.0)
"""Seconds before a notice that was not taken is told again."""
_ILL = frozenset({"Degraded", "Missing"})
_logger = logging.getLogger(__name__)


async def ended(house: House, job: Job, outcome: Outcome) -> None:
    """After a job: trouble of a source is told when it begins and when it is over."""
    source, kind = job.request.source, job.request.type
    key = f"{kind}/{source}"
    try:
        troubled = bool(await house.store.value(f"trouble/{key}"))
        if outcome.state == "failed" and not troubled:
            if kind in ("sync", "plan") and await house.store.value(_unread(source)):
                return  # that its repository cannot be read was told
            await house.store.put_value(f"trouble/{key}", job.id)
            await tell(house, _notice(house, job, "failure", key, f"{source}: {kind} failed", outcome.error))
        elif outcome.state == "succeeded" and troubled:
            await house.store.put_value(f"trouble/{key}", None)
            await tell(house, _notice(house, job, "recovery", key, f"{source}: {kind} is well again", outcome.summary))
        elif outcome.state == "waiting":
            title = f"{source}: a plan waits for an approval"
            await tell(house, _notice(house, job, "approval", f"approval/{job.id}", title, outcome.summary))
    except EngineError as error:
        _logger.warning("nobody was told of job %d: %s", job.id, error)


def _unread(source: str) -> str:
    return f"trouble/fetch/{source}"


async def unread(house: House, source: str, error: str) -> None:
    """The repository of a source could not be read: told once. Empty: it was read, which is told after trouble only."""
    try:
        if bool(error) == bool(await house.store.value(_unread(source))):
            return
        await house.store.put_value(_unread(source), error or None)
    except EngineError as away:
        _logger.warning("nobody was told of source %s: %s", source, away)
        return
    kind: Literal["failure", "recovery"] = "failure" if error else "recovery"
    title = f"{source}: its repository {'cannot be read' if error else 'is read again'}"
    await tell(house, Notice(kind, f"fetch/{source}", title, error, house.now(), f"{house.url}/"))


def _notice(house: House, job: Job, kind: str, key: str, title: str, text: str) -> Notice:
    return Notice(kind, key, title, text, house.now(), house.link(job.id))  # type: ignore[arg-type]


async def drifted(house: House, source: str, found: tuple[Drift, ...]) -> None:
    if not found:
        return
    lines = [f"{item.ref} {item.field}: {item.before} → {item.after}, {item.hand}" for item in found[:20]]
    title = (
        f"{source}: {found[0].ref} was changed by hand" if len(found) == 1 else f"{source}: {len(found)} fields drift"
    )
    await tell(house, Notice("drift", f"drift/{source}", title, "\n".join(lines), house.now(), f"{house.url}/"))


async def ill(house: House, source: str, former: Mapping[Ref, GuestRecord], found: Iterable[GuestRecord]) -> None:
    """Guests that fell ill since they were seen last, and those that are well again."""
    for guest in found:
        before = former.get(guest.ref)
        was, now = before.health if before else "", guest.health
        if now == was or not {now, was} & _ILL:
            continue
        key = f"health/{source}/{guest.ref}"
        told = bool(await house.store.value(f"trouble/{key}"))
        if now in _ILL and was == "Healthy" and not told:
            await house.store.put_value(f"trouble/{key}", 1)
            why = "; ".join(item.message for item in guest.conditions) or f"it is {now.lower()}"
            await tell(house, _of_guest(house, "failure", key, f"{guest.ref} of {source} is {now.lower()}", why, guest))
        elif now == "Healthy" and told:
            await house.store.put_value(f"trouble/{key}", None)
            await tell(house, _of_guest(house, "recovery", key, f"{guest.ref} of {source} is well again", "", guest))


def _of_guest(
    house: House, kind: Literal["failure", "recovery"], key: str, title: str, text: str, guest: GuestRecord
) -> Notice:
    url = f"{house.url}/guests/{guest.source}/{guest.ref.kind}/{guest.ref.name}"
    return Notice(kind, key, title, text, house.now(), url)


async def tell(house: House, notice: Notice) -> None:
    """Every notifier beside the others; one that is away is told again, and holds up nobody for long."""
    await asyncio.gather(*(_one(house, notifier, notice) for notifier in house.notifiers))


async def _one(house: House, notifier: Notifier, notice: Notice) -> None:
    if not await _delivered(notifier, notice):
        task = asyncio.create_task(_later(notifier, notice))
        house.telling.add(task)
        task.add_done_callback(house.telling.discard)


async def _later(notifier: Notifier, notice: Notice) -> None:
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        if await _delivered(notifier, notice):
            return
    _logger.warning("a notice was given up: %s", notice.title)


async def _delivered(notifier: Notifier, notice: Notice) -> bool:
    """False: it may be taken later."""
    try:
        async with asyncio.timeout(_SECONDS):
            await notifier.notify(notice)
    except (Waiting, TimeoutError) as error:
        _logger.warning("a notice was not delivered yet: %s", error or "no answer in time")
        return False
    except EngineError as error:
        _logger.warning("a notice was refused: %s", error)
    return True
