"""A container's property strings: mount points, networks, devices, features (PVE::LXC::Config, parse_*, print_*)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping

from pvesim import schema
from pvesim.cluster.state import Cluster, Config
from pvesim.errors import ApiError
from pvesim.schema.formats import format_size, parse_size

Properties = dict[str, str]

NEW_VOLUME = re.compile(r"([^:\s]+):(\d+(?:\.\d+)?)$")  # STORAGE:GIB
MOUNT = re.compile(r"rootfs$|mp\d+$")
NET = re.compile(r"net\d+$")
MAC_PREFIX = "BC:24:11"
_VERSION = schema.facts.VERSIONS[-1]  # the newest tables know all keys of the older ones


def parse(key: str, text: str) -> Properties:
    """The parts of one setting; ApiError 500 `format error`, with the parts that are wrong."""
    try:
        return schema.parse(_table(key), text.strip())
    except schema.FormatError as error:
        raise ApiError(500, error.message, error.errors or None) from error


def render(key: str, parts: Mapping[str, str]) -> str:
    """One setting as Proxmox writes it; the sizes of mount points in their shortest form."""
    shown = dict(parts)
    size = parse_size(shown["size"]) if MOUNT.match(key) and "size" in shown else None
    if size is not None:
        shown["size"] = format_size(size)
    return schema.render(_table(key), shown)


def mount_type(volume: str) -> str:
    """`volume`, `device` or `bind` (classify_mountpoint)."""
    if not volume.startswith("/"):
        return "volume"
    return "device" if volume.startswith("/dev/") else "bind"


def mounts(config: Mapping[str, str]) -> Iterator[tuple[str, Properties]]:
    """Root and mount points in order, as (key, parts); what cannot be parsed is left out (foreach_volume)."""
    keys = sorted(
        filter(MOUNT.match, config), key=lambda key: (key != "rootfs", int(key[2:]) if key[2:].isdigit() else 0)
    )
    for key in keys:
        try:
            yield key, parse(key, config[key])
        except ApiError:
            continue


def network(cluster: Cluster, text: str) -> str:
    """A network as it is stored: of type veth, with a hardware address, ours where none was given."""
    parts = parse("net0", text)
    parts["type"] = "veth"
    if not parts.get("hwaddr"):
        parts["hwaddr"] = random_mac(cluster)
    return render("net0", parts)


def random_mac(cluster: Cluster) -> str:
    """An address below the datacenter's prefix (PVE::Tools, random_ether_addr)."""
    prefix = str(cluster.options.get("mac_prefix") or MAC_PREFIX).rstrip(":").upper()
    missing = 6 - len(prefix.split(":"))
    return ":".join([prefix, *(f"{random.randrange(256):02X}" for _ in range(missing))])  # noqa: S311 - no secret


def volumes(config: Config) -> list[tuple[str, str]]:
    """The storage volumes in use, as (key, volume id)."""
    return [(key, parts["volume"]) for key, parts in mounts(config) if mount_type(parts["volume"]) == "volume"]


def size_of(parts: Mapping[str, str]) -> int | None:
    """Bytes."""
    return parse_size(parts["size"]) if "size" in parts else None


def _table(key: str) -> Mapping[str, schema.Param]:
    return schema.table(_VERSION, f"lxc-{key.rstrip('0123456789')}")
