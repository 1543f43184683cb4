"""The addresses that a running guest has, as its node (container) or its agent (virtual machine) tells them.

Sources: PVE::API2::LXC, method ip (`GET …/interfaces`); PVE::API2::Qemu::Agent, network-get-interfaces.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from innkeeper.engine.errors import EngineError
from innkeeper.model.observed import ObservedGuest
from innkeeper.proxmox.session import Session


async def addresses(session: Session, guest: ObservedGuest) -> tuple[str, ...]:
    """Addresses without prefixes, the loopback's left out; none where it cannot be told (no agent, no rights)."""
    container = guest.kind == "Container"
    path = f"/nodes/{guest.node}/{'lxc' if container else 'qemu'}/{guest.vmid}"
    try:
        found = await session.get(f"{path}/{'interfaces' if container else 'agent/network-get-interfaces'}", guest.node)
    except EngineError:
        return ()
    rows = found.get("result") if isinstance(found, Mapping) else found
    return tuple(dict.fromkeys(address for row in rows or () for address in _of(row)))


def _of(row: Mapping[str, Any]) -> Iterator[str]:
    if row.get("name") == "lo":
        return
    for name in ("inet", "inet6"):
        if row.get(name):
            yield str(row[name]).partition("/")[0]
    for item in row.get("ip-addresses") or ():
        if item.get("ip-address"):
            yield str(item["ip-address"]).partition("/")[0]
