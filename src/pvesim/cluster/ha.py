"""What high availability is told: resources, groups (8.x) and rules (9.x). Nothing acts on it but status.

PVE::HA::Config, PVE::HA::Resources, PVE::HA::Groups, PVE::HA::Rules. Everything lives in `cluster.ha` as plain dicts:
`resources` by sid (`ct:101`, `vm:200`), `groups` and `rules` by name.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from pvesim.errors import ApiError

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, Guest

Entries = dict[str, dict[str, Any]]
MODIFIED = "detected modified configuration - file changed by other user? Try again."


def entries(cluster: Cluster, part: str) -> Entries:
    """`resources`, `groups` or `rules`."""
    found: Entries = cluster.ha.setdefault(part, {})
    return found


def digest(cluster: Cluster, part: str) -> str:
    """SHA-1 of that config file; of nothing while it is empty."""
    held = entries(cluster, part)
    text = json.dumps(held, sort_keys=True) if held else ""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def assert_digest(cluster: Cluster, part: str, given: str | None) -> None:
    """ApiError 500 where the caller has seen another state."""
    if given and given != digest(cluster, part):
        raise ApiError(500, MODIFIED)


def sid_of(guest: Guest) -> str:
    return f"{'ct' if guest.kind == 'lxc' else 'vm'}:{guest.vmid}"


def parse_sid(cluster: Cluster, text: str) -> tuple[str, str, int]:
    """`ct:101`, or a bare id of a guest that is there → sid, type, vmid (PVE::HA::Config, parse_sid)."""
    kind, colon, name = text.partition(":")
    if not colon:
        guest = cluster.guests.get(int(text)) if text.isdigit() else None
        if guest is None:
            raise ApiError(500, f"unable do add resource - VM/CT {text} does not exists")
        kind, _, name = sid_of(guest).partition(":")
    if kind not in ("ct", "vm"):
        raise ApiError(500, f"unknown section type '{kind}'")
    if not re.fullmatch(r"[1-9]\d+", name):
        raise ApiError(500, "invalid VMID")
    return f"{kind}:{name}", kind, int(name)


def existing_guest(cluster: Cluster, kind: str, vmid: int) -> Guest:
    """The guest of a resource, or ApiError 500."""
    guest = cluster.guests.get(vmid)
    wanted = "lxc" if kind == "ct" else "qemu"
    if guest is None or guest.kind != wanted:
        raise ApiError(500, f"resource '{kind}:{vmid}' does not exists in cluster")
    return guest


def managed(cluster: Cluster, sid: str) -> dict[str, Any] | None:
    """The resource where HA looks after it; `ignored` ones do not count (vm_is_ha_managed)."""
    resource = entries(cluster, "resources").get(sid)
    return resource if resource and resource.get("state") != "ignored" else None


def forget(cluster: Cluster, sid: str, *, purge: bool) -> None:
    """Drop a resource, and with `purge` its name from the rules; a rule that is left without any goes too."""
    entries(cluster, "resources").pop(sid, None)
    if not purge:
        return
    rules = entries(cluster, "rules")
    for name, rule in list(rules.items()):
        names = [one for one in str(rule.get("resources", "")).split(",") if one]
        if sid in names:
            names.remove(sid)
            least = 2 if rule["type"] == "resource-affinity" else 1
            if len(names) < least:
                del rules[name]
            else:
                rule["resources"] = ",".join(names)
