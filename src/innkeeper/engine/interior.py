"""Work inside guests during one run: their addresses, their configuration, their health."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from innkeeper.engine.errors import EngineError
from innkeeper.engine.inside import Inside, Insider, Target, Tell
from innkeeper.engine.ports import Hypervisor
from innkeeper.model.inside import CheckResult
from innkeeper.model.objects import Cluster, Ref
from innkeeper.model.observed import ObservedGuest

_LOOK_SECONDS = 0.5
_LEASE_SECONDS = 60.0
"""How long a guest that has just been started may take to get an address."""
_LEASE_SECONDS_WITH_PCT = 15.0
"""The same where its node can run commands in it without one."""


@dataclass(frozen=True, slots=True)
class Interior:
    """`items` says what must hold in each guest, with branches held at the commits that were planned."""

    insider: Insider
    items: Mapping[Ref, Inside] = field(default_factory=dict)

    async def configure(self, site: "Place", seen: ObservedGuest, ref: Ref, tell: Tell) -> None:
        """Run the guest's roles."""
        tell("waiting for its address")
        await self.insider.configure(self.items[ref], await self.target(site, seen, ref, wait=True), tell)

    async def check(self, site: "Place", seen: ObservedGuest, ref: Ref) -> tuple[CheckResult, ...]:
        """The results of the guest's health checks; all of them fail where it does not run."""
        item = self.items[ref]
        if seen.power != "running":
            return tuple(CheckResult(check.title, False, f"the guest is {seen.power}") for check in item.health)
        try:
            return await self.insider.check(item, await self.target(site, seen, ref, wait=False))
        except EngineError as error:
            return tuple(CheckResult(check.title, False, str(error)) for check in item.health)

    async def target(self, site: "Place", seen: ObservedGuest, ref: Ref, *, wait: bool) -> Target:
        address = self.items[ref].address
        if address is None and any(key.startswith("net") for key in seen.config or {}):
            address = await self._leased(site, seen, wait=wait)
        return Target(site.cluster, seen.node, seen.vmid, seen.kind, address)

    async def _leased(self, site: "Place", seen: ObservedGuest, *, wait: bool) -> str | None:
        patience = _LEASE_SECONDS if site.cluster.spec.ssh is None else _LEASE_SECONDS_WITH_PCT
        loop = asyncio.get_running_loop()
        until = loop.time() + (patience if wait else 0)
        while True:
            found = preferred(await site.hypervisor.addresses(seen))
            if found is not None or loop.time() >= until:
                return found
            await asyncio.sleep(_LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster and the way to it."""

    cluster: Cluster
    hypervisor: Hypervisor


def preferred(addresses: Sequence[str]) -> str | None:
    """The address to be used among those that a guest has: IPv4 first, never a link-local one."""
    usable = [item for item in addresses if not item.lower().startswith(("fe80:", "127.", "169.254.", "::1"))]
    return next((item for item in usable if ":" not in item), usable[0] if usable else None)
