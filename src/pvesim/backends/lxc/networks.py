"""A container's networks: from its settings to devices on bridges, addresses, routes, and what it is told of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from pvesim.backends.lxc.container import Link
from pvesim.backends.lxc.inside import Identity, Interface
from pvesim.backends.lxc.world import World
from pvesim.cluster.lxc import options, properties, status
from pvesim.cluster.state import Cluster, Config, Guest


@dataclass(frozen=True)
class Network:
    """One `netN`: the device, what the container's files say, `gateways` that the node must answer for."""

    link: Link
    inside: Interface
    gateways: Sequence[str] = ()

    @property
    def address(self) -> str:
        """The IPv4 address without its prefix, "" where it has none."""
        return self.inside.ip.partition("/")[0]


def interfaces(cluster: Cluster, guest: Guest, config: Config) -> list[Network]:
    """All networks that are plugged in, in order. A VLAN is a bridge of its own; a lease is written as static."""
    found = []
    owned = _addresses_of_guests(cluster)
    for key in sorted(filter(properties.NET.match, config), key=lambda key: int(key[3:])):
        parts = properties.parse(key, config[key])
        if parts.get("link_down") == "1" or "bridge" not in parts:
            continue
        bridge = parts["bridge"] + (f"v{parts['tag']}" if parts.get("tag") else "")
        link = Link(key, parts["name"], bridge, parts["hwaddr"], parts.get("mtu", ""))
        node = str(cluster.nodes[guest.node].network.get(parts["bridge"], {}).get("address") or "")
        ip, gateway = parts.get("ip", ""), parts.get("gw", "")
        if ip == "dhcp":
            ip, gateway = status.lease(guest.vmid, int(key[3:])), node
        ip = ip if "/" in ip else ""
        ip6 = parts["ip6"] if "/" in parts.get("ip6", "") else ""
        gateways = [gateway] if gateway and gateway not in owned else []
        via = gateway or (node if ip and _within(node, ip) else "")
        inside = Interface(parts["name"], ip, gateway if ip else "", ip6, parts.get("gw6", "") if ip6 else "")
        found.append(Network(link, inside, gateways) if via == gateway else _routed(link, inside, via))
    return found


def _routed(link: Link, inside: Interface, via: str) -> Network:
    return Network(link, Interface(inside.name, inside.ip, "", inside.ip6, inside.gateway6, [("", via)]))


def _within(address: str, network: str) -> bool:
    return bool(address) and ipaddress.ip_address(address) in ipaddress.ip_interface(network).network


def _addresses_of_guests(cluster: Cluster) -> set[str]:
    """Addresses that guests are configured with: the node must not answer for them."""
    found = set()
    for guest in cluster.guests.values():
        for key in filter(properties.NET.match, guest.config if guest.kind == "lxc" else ()):
            found.add(properties.parse(key, guest.config[key]).get("ip", "").partition("/")[0])
    return found


def identity(
    cluster: Cluster, guest: Guest, config: Config, networks: Sequence[Network], world: World, port: int
) -> Identity:
    """What the container is told: the node's proxy answers on its gateway, or on the bridge's own address."""
    dns = cluster.nodes[guest.node].dns
    servers = (config.get("nameserver") or "").split() or [dns[key] for key in sorted(dns) if key.startswith("dns")]
    search = (config.get("searchdomain") or "").strip() or dns.get("search", "")
    told, proxy = [], ""
    for network in networks:
        routes = [(world.transit, via) for _, via in network.inside.routes]
        one = network.inside
        told.append(Interface(one.name, one.ip, one.gateway, one.ip6, one.gateway6, routes))
        near = one.gateway or next((via for _, via in routes), "")
        proxy = proxy or (f"http://{near}:{port}" if near else "")
    return Identity(options.name(guest.vmid, config), told, [server for server in servers if server], search, proxy)


async def replug(cluster: Cluster, guest: Guest, before: Config, world: World, init: int) -> None:
    """Make the devices of a running container follow its settings: gone ones go, changed ones are made again."""
    old = {network.link.key: network for network in interfaces(cluster, guest, before)}
    new = {network.link.key: network for network in interfaces(cluster, guest, guest.running or {})}
    inner = ("nsenter", "--target", str(init), "--net", "--", "ip")
    for key in old.keys() | new.keys():
        was, now = old.get(key), new.get(key)
        if was == now:
            continue
        if was:
            if was.address:
                await world.leave(was.address, was.link.bridge)
            await world.run("ip", "link", "del", was.link.host_end(guest.vmid))
        if not now:
            continue
        await world.bridge(now.link.bridge, now.gateways)
        host, name = now.link.host_end(guest.vmid), now.link.name
        await world.must(
            *("ip", "link", "add", host, "type", "veth", "peer", "name", name),
            *("address", now.link.hwaddr, "netns", str(init)),
        )
        await world.must("ip", "link", "set", host, "master", now.link.bridge, "up")
        await world.must(*inner, "link", "set", name, "up")
        for address in filter(None, (now.inside.ip, now.inside.ip6)):
            await world.must(*inner, "addr", "add", address, "dev", name)
        if now.inside.gateway:
            await world.run(*inner, "route", "replace", "default", "via", now.inside.gateway, "dev", name)
        for _, via in now.inside.routes:
            await world.run(*inner, "route", "replace", world.transit, "via", via)
        if now.address:
            await world.reach(now.address, now.link.bridge)
