"""Who is told of services: every exposed guest that is well, at the address that it really has."""

from collections.abc import Callable, Iterable

from innkeeper.control.house import House
from innkeeper.control.memory import GuestQuery
from innkeeper.control.ports import Service
from innkeeper.engine.errors import EngineError
from innkeeper.model.exposure import Expose
from innkeeper.model.jobs import Level
from innkeeper.model.records import GuestRecord

_KNOWN = "published"
_DUE = "publish/due"
_MOST = 1_000_000


Say = Callable[[str, Level], None]


async def publish(house: House, say: Say) -> None:
    """Tell every publisher all services that there are. Their troubles are said; what is `due` is tried again."""
    if not house.publishers:
        return
    if not await _seen_all(house):
        await house.store.put_value(_DUE, True)
        return
    troubled = False
    page = await house.store.guests(GuestQuery(limit=_MOST))
    before = await house.store.value(_KNOWN)
    told = frozenset(map(str, before)) if isinstance(before, list) else frozenset()
    found = services(page.guests, told)
    for publisher in house.publishers:
        try:
            for line in await publisher.publish(found):
                say(f"{publisher.name}: {line}", "info")
        except EngineError as error:
            troubled = True
            say(f"{publisher.name}: {error}", "warning")
    await house.store.put_value(_DUE, troubled)
    await house.store.put_value(_KNOWN, [_key(item.source, str(item.ref)) for item in found])


async def due(house: House) -> bool:
    """Whether somebody could not be told at the last time."""
    return await house.store.value(_DUE) is True


async def _seen_all(house: House) -> bool:
    """Whether every source was synced since this store exists: nothing is taken back for want of memory."""
    return all([(await house.store.source(name)).synced for name in house.sources])


def services(guests: Iterable[GuestRecord], told: frozenset[str]) -> tuple[Service, ...]:
    """Guests that are well; one that was told stays told until it is gone or stopped, however ill it is."""
    found = []
    for guest in guests:
        known = _key(guest.source, str(guest.ref)) in told and guest.health not in ("Missing", "Suspended")
        if (guest.health == "Healthy" or known) and (service := service_of(guest)) is not None:
            found.append(service)
    return tuple(found)


def service_of(guest: GuestRecord) -> Service | None:
    """What a guest's manifest tells the network; None where it tells nothing, or it has no address yet."""
    expose, monitoring = guest.desired.get("expose"), guest.desired.get("monitoring") is True
    if guest.vmid is None or not guest.address or not (monitoring or isinstance(expose, dict)):
        return None
    return Service(
        source=guest.source,
        ref=guest.ref,
        cluster=guest.cluster,
        vmid=guest.vmid,
        address=guest.address,
        hostname=guest.hostname,
        expose=Expose.model_validate(expose) if isinstance(expose, dict) else None,
        monitoring=monitoring,
        health_path=_health_path(guest.desired.get("health")),
    )


def _health_path(checks: object) -> str:
    for check in checks if isinstance(checks, list) else ():
        http = check.get("http") if isinstance(check, dict) else None
        if isinstance(http, dict):
            return str(http.get("path", "/"))
    return ""


def _key(source: str, ref: str) -> str:
    return f"{source}/{ref}"
