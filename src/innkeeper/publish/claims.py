"""Who may say what a domain leads to: whoever has it keeps it, so that no repository takes another's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from innkeeper.control.ports import Service
from innkeeper.engine.errors import Stalled
from innkeeper.model.exposure import Expose


@dataclass(frozen=True, slots=True)
class Told:
    """A service that is told under its domain. `address` is an IP address, checked."""

    service: Service
    expose: Expose

    @property
    def domain(self) -> str:
        return self.expose.domain

    @property
    def backend(self) -> str:
        """`10.0.0.5:80`, `[fd00::5]:80`."""
        return at(self.service.address, self.expose.port)


def at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def is_address(text: str) -> bool:
    """Guests tell their own addresses: what is no address is not written anywhere."""
    try:
        return ip_address(text).compressed == text.lower()
    except ValueError:
        return False


def settled(services: Iterable[Service], owners: Mapping[str, str]) -> tuple[tuple[Told, ...], tuple[str, ...]]:
    """What is told, by domain, and why the rest is not. `owners`: domain → owner, as it is told now; empty: a stranger.

    Of several claimants without the domain the first by name gets it, so that two runs agree.
    """
    claims: dict[str, list[Told]] = {}
    problems: list[str] = []
    for service in services:
        if service.expose is None:
            continue
        if not is_address(service.address):
            problems.append(f"{service.owner}: {service.expose.domain} is not told: it has no address yet")
            continue
        claims.setdefault(service.expose.domain, []).append(Told(service, service.expose))
    told: list[Told] = []
    for domain, found in sorted(claims.items()):
        holder = owners.get(domain)
        if holder == "":
            stranger = f"the domain {domain} belongs to something that Innkeeper did not write"
            problems += [f"{item.service.owner}: {stranger}" for item in found]
            continue
        first, *others = sorted(found, key=lambda item: (item.service.owner != holder, item.service.owner))
        told.append(first)
        problems += [f"{item.service.owner}: the domain {domain} belongs to {first.service.owner}" for item in others]
    return tuple(told), tuple(problems)


def complain(where: str, problems: Iterable[str]) -> None:
    """Raise Stalled where there is something to say."""
    if said := list(problems):
        raise Stalled(f"{where}: {'; '.join(said)}", "give each service a domain of its own")
