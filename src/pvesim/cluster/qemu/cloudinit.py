"""Cloud-init of a virtual machine: the files on its drive, and which settings changed since the drive was made.

PVE::QemuServer::Cloudinit. A guest's `cloudinit` section keeps the values that the drive was made from where they
differ from now, and under `added` the names of those that were not there.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote

from pvesim.cluster.qemu import net, options, pending, properties
from pvesim.cluster.state import Config, Guest

DRIVE_BYTES = 4 * 2**20


def changed(guest: Guest, key: str, new: str | None) -> None:
    """Record that a setting of a running VM is about to change (cloudinit_record_changed)."""
    if not options.shapes_cloudinit(key):
        return
    old, made = guest.config.get(key), guest.cloudinit
    added = set(properties.items(made.pop("added", "")))
    if new is not None and key in made:
        if made[key] == new:
            del made[key]
            added.discard(key)
    elif new is not None and key not in added:
        if old is None:
            added.add(key)
        else:
            made[key] = old
    elif new is None and old is not None and key not in made:
        if key in added:
            added.remove(key)
        else:
            made[key] = old
    if added:
        made["added"] = ",".join(sorted(added))


def rows(guest: Guest) -> list[dict[str, object]]:
    """What `GET …/cloudinit` answers."""
    made = {key: value for key, value in guest.cloudinit.items() if key != "added"}
    added = properties.items(guest.cloudinit.get("added"))
    found: list[dict[str, object]] = [{"key": key, "pending": _shown(key, guest.config)} for key in added]
    for key in sorted(options.CLOUDINIT):
        if guest.config.get(key, "0") in ("", "0") or key in added:
            continue
        row: dict[str, object] = {"key": key, "value": _shown(key, guest.config)}
        if key in made:
            row |= {"value": _shown(key, made), "pending": _shown(key, guest.config)}
        found.append(row)
    return found + [{"key": key, "delete": 1} for key in made if key not in guest.config]


def _shown(key: str, section: Mapping[str, str]) -> object:
    return pending.MASK if key == "cipassword" else options.number(key, section.get(key, ""))


def dump(config: Config, vmid: int, kind: str, dns: Mapping[str, str]) -> str:
    """The `user`, `network` or `meta` file; `dns` has the node's search, dns1, dns2, dns3."""
    if kind == "user":
        return _user(config, vmid)
    nocloud = config.get("citype") == "nocloud" or ("citype" not in config and not options.is_windows(config))
    network = _nocloud(config, dns) if nocloud else _interfaces(config, dns)
    if kind == "network":
        return network
    instance = hashlib.sha1((_user(config, vmid) + network).encode(), usedforsecurity=False).hexdigest()
    if nocloud:
        return f"instance-id: {instance}\n"
    content = '"network_config": { "content_path": "/content/0000" }'
    return f'{{\n     "uuid": "{instance}",\n     {content}\n}}\n'


def _user(config: Config, vmid: int) -> str:
    host, _, domain = config.get("name", f"VM{vmid}").partition(".")
    domain = domain or config.get("searchdomain", "")
    user = config.get("ciuser")
    lines = ["#cloud-config", f"hostname: {host}", "manage_etc_hosts: true"]
    lines.append(f"fqdn: {host}.{domain}" if domain else f"fqdn: {host}")
    if user is not None:
        lines.append(f"user: {user}")
        lines += ["disable_root: False"] if user == "root" else []
    if "cipassword" in config:
        lines.append(f"password: {config['cipassword']}")
    if "sshkeys" in config:
        keys = [line for line in unquote(config["sshkeys"]).splitlines() if line.strip()]
        lines += ["ssh_authorized_keys:", *(f"  - {key}" for key in keys)]
    lines += ["chpasswd:", "  expire: False"]
    lines += [] if user == "root" else ["users:", "  - default"]
    lines += ["package_upgrade: true"] if config.get("ciupgrade", "1") != "0" else []
    return "\n".join(lines) + "\n"


def addresses(text: str) -> dict[str, str]:
    """`ipconfigN` taken apart: ip, gw, ip6, gw6; nothing given means DHCP."""
    parts = properties.split(text, "ip")
    return parts if "ip" in parts or "ip6" in parts else {"ip": "dhcp", "ip6": "dhcp"}


def _name_servers(config: Config, dns: Mapping[str, str]) -> tuple[list[str], list[str]]:
    servers = config.get("nameserver", " ".join(dns.get(f"dns{n}", "") for n in (1, 2, 3))).split()
    return servers, config.get("searchdomain", dns.get("search", "")).split()


def _devices(config: Config) -> list[tuple[str, net.Net, dict[str, str]]]:
    found = net.nets(config)
    slots = sorted(slot for slot in found if f"ipconfig{slot[3:]}" in config)
    return [(slot[3:], found[slot], addresses(config[f"ipconfig{slot[3:]}"])) for slot in slots]


def _static(cidr: str) -> tuple[str, str]:
    interface = ipaddress.ip_interface(cidr)
    return str(interface.ip), str(interface.netmask)


def _nocloud(config: Config, dns: Mapping[str, str]) -> str:
    lines = ["version: 1", "config:"]
    for number, device, ip in _devices(config):
        lines += ["    - type: physical", f"      name: eth{number}"]
        lines += [f"      mac_address: '{device.mac.lower()}'", "      subnets:"]
        if ip.get("ip") == "dhcp":
            lines.append("      - type: dhcp4")
        elif "ip" in ip:
            address, mask = _static(ip["ip"])
            lines += ["      - type: static", f"        address: '{address}'", f"        netmask: '{mask}'"]
            lines += [f"        gateway: '{ip['gw']}'"] if "gw" in ip else []
        if ip.get("ip6") in ("dhcp", "auto"):
            lines.append(f"      - type: {'dhcp6' if ip['ip6'] == 'dhcp' else 'ipv6_slaac'}")
        elif "ip6" in ip:
            lines += ["      - type: static6", f"        address: '{ip['ip6']}'"]
            lines += [f"        gateway: '{ip['gw6']}'"] if "gw6" in ip else []
    servers, search = _name_servers(config, dns)
    lines.append("    - type: nameserver")
    for title, values in (("address", servers), ("search", search)):
        lines += [f"      {title}:", *(f"      - '{value}'" for value in values)] if values else []
    return "\n".join(lines) + "\n"


def _interfaces(config: Config, dns: Mapping[str, str]) -> str:
    lines = ["auto lo", "iface lo inet loopback", ""]
    servers, search = _name_servers(config, dns)
    lines += [f"        dns_nameservers {' '.join(servers)}"] if servers else []
    lines += [f"        dns_search {' '.join(search)}"] if search else []
    for number, _, ip in _devices(config):
        lines.append(f"auto eth{number}")
        for family, key, gateway in (("inet", "ip", "gw"), ("inet6", "ip6", "gw6")):
            if ip.get(key) in ("dhcp", "auto"):
                lines.append(f"iface eth{number} {family} {ip[key]}")
            elif key in ip:
                address, mask = _static(ip[key]) if key == "ip" else ip[key].split("/", 1)
                lines += [f"iface eth{number} {family} static"]
                lines += [f"        address {address}", f"        netmask {mask}"]
                lines += [f"        gateway {ip[gateway]}"] if gateway in ip else []
    return "\n".join(lines) + "\n"
