"""Addresses that a guest is about to take, and who has them already: no guest is given an address that is in use."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import ContainerSpec
from innkeeper.model.objects import Cluster, Declared, Guest, Ref
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.planner.build import guests_of
from innkeeper.planner.pair import Absent, Adopt, Ours, pair
from innkeeper.planner.policy import Policy

Place = tuple[str, str]
"""A VLAN (empty: none) and an address in it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An address that a guest is to have and does not have yet."""

    guest: Guest
    place: Place
    field: str

    @property
    def address(self) -> str:
        return self.place[1]


def static_addresses(guest: Guest) -> Iterator[tuple[Place, str]]:
    """Each static address of a manifest with its field."""
    spec = guest.spec
    if isinstance(spec, ContainerSpec):
        for index, nic in enumerate(spec.network or ()):
            for name, address in (("ip", nic.ip), ("ip6", nic.ip6)):
                yield from _static(address, nic.vlan, f"spec.network.{index}.{name}")
    elif spec.cloud_init is not None:
        vlan = next((nic.vlan for nic in spec.network or () if nic.slot == "net0"), None)
        for name, address in (("ip", spec.cloud_init.ip), ("ip6", spec.cloud_init.ip6)):
            yield from _static(address, vlan, f"spec.cloudInit.{name}")


def claims(declared: Declared, cluster: str, view: ClusterView, policy: Policy) -> tuple[Claim, ...]:
    """The addresses that selected guests are to get anew. What a guest has already is its own, on every later run."""
    guests = guests_of(declared, cluster)
    outcomes = pair(guests, view, policy.source, policy.take_over)
    found: list[Claim] = []
    for guest in guests:
        outcome = outcomes[guest.ref]
        if not policy.selects(guest.ref) or not isinstance(outcome, Absent | Ours | Adopt):
            continue
        asked = list(static_addresses(guest))
        own = set(_configured(outcome.observed)) if asked and not isinstance(outcome, Absent) else set()
        found += (Claim(guest, place, field) for place, field in asked if place not in own)
    return tuple(found)


def conflicts(
    cluster: Cluster, view: ClusterView, found: Collection[Claim], answering: Collection[str], policy: Policy
) -> tuple[Mapping[Ref, str], tuple[Diagnostic, ...]]:
    """Why guests may not be made or changed, and what to say. `answering`: addresses that something answers from."""
    owners: dict[Place, ObservedGuest] = {}
    for seen in view.guests.values():
        for place in _configured(seen):
            owners.setdefault(place, seen)
    refused: dict[Ref, str] = {}
    said: list[Diagnostic] = []
    for claim in found:
        owner = owners.get(claim.place)
        if owner is not None:
            kind, name = "container" if owner.kind == "Container" else "virtual machine", owner.name or "without a name"
            reason = f"{claim.address} belongs to {kind} {owner.vmid} ({name}) on {owner.node}"
        elif claim.address in answering:
            reason = f"something answers at {claim.address} already"
        else:
            continue
        allowed = policy.allow_ip_conflicts
        said.append(
            Diagnostic(
                "warning" if allowed else "error",
                "AddressInUse",
                f"{claim.guest.ref}: {reason}",
                f"Give it another one on {cluster.name}, or free this one; --allow-ip-conflicts goes on regardless.",
                claim.guest.origin.at(claim.field),
            )
        )
        if not allowed:
            refused.setdefault(claim.guest.ref, reason)
    return refused, tuple(said)


def _static(address: str | None, vlan: int | None, field: str) -> Iterator[tuple[Place, str]]:
    if address is not None and "/" in address and not address.lower().startswith("fe80:"):
        yield (str(vlan or ""), address.partition("/")[0]), field


def _configured(seen: ObservedGuest) -> Iterator[Place]:
    """The static addresses of a guest's configuration: `net0: …,ip=10.0.0.5/24,tag=7`, `ipconfig0: ip=10.0.0.5/24`."""
    config = seen.config or {}
    for key, text in config.items():
        if key.startswith("net") and key[3:].isdigit():
            parts = _parts(text)
            source = parts if seen.kind == "Container" else _parts(config.get(f"ipconfig{key[3:]}", ""))
            for name in ("ip", "ip6"):
                for place, _ in _static(source.get(name), None, ""):
                    yield parts.get("tag", ""), place[1]


def _parts(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)
