"""What a container does at the moment, as lists and `status/current` show it (PVE::LXC: vmstatus, get_interfaces)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pvesim.cluster.lxc import options, properties
from pvesim.cluster.state import Cluster, Guest

_PRESSURES = [f"pressure{what}{how}" for what in ("cpu", "io", "memory") for how in ("some", "full")]
_USED_MEMORY = 40 * 2**20  # what an idle system has in use
_USED_DISK = 230 * 2**20
_DISK_SHARE = 0.95  # what a file system leaves of its volume
_RRD_STEP = {"hour": 60, "day": 1800, "week": 10800, "month": 43200, "year": 604800}
_RRD_ROWS = 70


def status(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    """One container. Sizes in bytes, `uptime` in seconds; `cpus` may have a fraction."""
    config, running = guest.config, guest.running is not None
    memory, swap, disk = options.memory_mib(config) * 2**20, options.swap_mib(config) * 2**20, _root_size(guest)
    found: dict[str, Any] = {
        "vmid": guest.vmid,
        "type": "lxc",
        "status": "running" if running else "stopped",
        "name": options.name(guest.vmid, config),
        "cpus": options.cpus(config, cluster.nodes[guest.node].cpus),
        "cpu": 0.01 if running else 0,
        "maxmem": memory,
        "mem": min(memory, _USED_MEMORY) if running else 0,
        "maxswap": swap,
        "swap": 0,
        "maxdisk": int(disk * _DISK_SHARE) if running else disk,
        "disk": min(disk, _USED_DISK) if running else 0,
        "uptime": int(cluster.clock.now() - (guest.started_at or 0)) if running else 0,
    }
    found |= dict.fromkeys(("diskread", "diskwrite", "netin", "netout"), 0)
    if running and cluster.major >= 9:
        found |= dict.fromkeys(_PRESSURES, 0)
    if running:
        found["pid"] = guest.pid
    if guest.is_template:
        found["template"] = 1
    return found | {key: config[key] for key in ("lock", "tags") if key in config}


def current(cluster: Cluster, guest: Guest) -> dict[str, Any]:
    """What `GET …/status/current` answers."""
    return status(cluster, guest) | {"ha": ha_status(cluster, guest.vmid)}


def ha_status(cluster: Cluster, vmid: int) -> dict[str, Any]:
    """Whether HA manages the container, and as what."""
    resource = (cluster.ha.get("resources") or {}).get(f"ct:{vmid}")
    if not resource:
        return {"managed": 0}
    return {"managed": 1, **{key: resource[key] for key in ("group", "state") if resource.get(key)}}


async def interfaces(cluster: Cluster, node: str, vmid: int) -> list[dict[str, Any]] | None:
    """What `ip addr` tells inside; None while it does not run on that node, missing ones included (get_interfaces)."""
    guest = cluster.guests.get(vmid)
    if guest is None or guest.kind != "lxc" or guest.node != node or guest.running is None:
        return None
    found = [_interface(cluster, "lo", "00:00:00:00:00:00", ["127.0.0.1/8", "::1/128"])]
    known = await cluster.backend.addresses(guest)
    for key in sorted(filter(properties.NET.match, guest.running), key=lambda key: int(key[3:])):
        parts = properties.parse(key, guest.running[key])
        mac = parts["hwaddr"].lower()
        found.append(
            _interface(cluster, parts["name"], mac, known.get(parts["name"]) or _addresses(guest, key, parts, mac))
        )
    return found


def _interface(cluster: Cluster, name: str, mac: str, addresses: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "hwaddr": mac, "hardware-address": mac, "ip-addresses": []}
    for address in addresses:
        family = "inet6" if ":" in address else "inet"
        found[family] = address
        ip, _, prefix = address.partition("/")
        found["ip-addresses"].append({"ip-address": ip, "ip-address-type": family, "prefix": prefix})
    return found


def _addresses(guest: Guest, key: str, parts: dict[str, str], mac: str) -> list[str]:
    """The static address or a lease, and the link-local one; nothing on an unplugged network."""
    if parts.get("link_down") == "1" or "bridge" not in parts:
        return []
    found = []
    if parts.get("ip") == "dhcp":
        found.append(lease(guest.vmid, int(key[3:])))
    elif "/" in parts.get("ip", ""):
        found.append(parts["ip"])
    if "/" in parts.get("ip6", ""):
        found.append(parts["ip6"])
    return [*found, f"{link_local(mac)}/64"]


def lease(vmid: int, number: int) -> str:
    """The address that the simulated DHCP server gives to network `number` of a guest: the same one every time."""
    return f"10.{64 + number % 64}.{vmid // 250 % 250}.{vmid % 250 + 2}/10"


def link_local(mac: str) -> str:
    """The IPv6 address that the kernel makes of a hardware address."""
    parts = [int(part, 16) for part in mac.split(":")]
    parts = [parts[0] ^ 2, parts[1], parts[2], 0xFF, 0xFE, *parts[3:]]
    return "fe80::" + ":".join(f"{parts[at] << 8 | parts[at + 1]:x}" for at in range(0, 8, 2))


def rrddata(cluster: Cluster, guest: Guest, timeframe: str) -> list[dict[str, Any]]:
    """Measurements, one row a step; rows from before the container ran hold only their time."""
    step = _RRD_STEP[timeframe]
    now = int(cluster.clock.now()) // step * step
    shown = status(cluster, guest)
    names = ("cpu", "maxcpu", "mem", "maxmem", "disk", "maxdisk", "netin", "netout", "diskread", "diskwrite")
    values = {name: shown.get(name, 0) for name in names} | {"maxcpu": shown["cpus"]}
    since = guest.started_at or float("inf")
    times = range(now - (_RRD_ROWS - 1) * step, now + step, step)
    return [{"time": time, **(values if time >= since else {})} for time in times]


def _root_size(guest: Guest) -> int:
    return _size(guest.config["rootfs"]) if "rootfs" in guest.config else 0


@lru_cache(maxsize=2**16)
def _size(rootfs: str) -> int:
    return properties.size_of(properties.parse("rootfs", rootfs)) or 0
