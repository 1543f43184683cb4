"""Proxmox's named formats of plain text: `verify(name, text)`, with the message of the real check where it fails.

Names ending in `-list` take any of the list separators, those in `-opt` also an empty text
(PVE::JSONSchema, check_format; the formats themselves stand in the packages that register them).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

from pvesim.schema import calendar
from pvesim.schema import firewallformats as firewall
from pvesim.schema.types import FormatError

Verify = Callable[[str], None]

# Every privilege of 8.4 and 9.1; VM.Monitor is of 8, VM.GuestAgent.* and VM.Replicate are of 9 (PVE::AccessControl).
PRIVILEGES = frozenset(
    f"{area}.{name}"
    for area, names in {
        "Datastore": "Allocate AllocateSpace AllocateTemplate Audit",
        "Group": "Allocate",
        "Mapping": "Audit Modify Use",
        "Permissions": "Modify",
        "Pool": "Allocate Audit",
        "Realm": "Allocate AllocateUser",
        "SDN": "Allocate Audit Use",
        "Sys": "AccessNetwork Audit Console Incoming Modify PowerMgmt Syslog",
        "User": "Modify",
        "VM": "Allocate Audit Backup Clone Console Migrate Monitor PowerMgmt Replicate Snapshot Snapshot.Rollback",
        "VM.Config": "CDROM CPU Cloudinit Disk HWType Memory Network Options",
        "VM.GuestAgent": "Audit FileRead FileSystemMgmt FileWrite Unrestricted",
    }.items()
    for name in names.split()
)

SEPARATORS = re.compile(r"[,;\s\0]+")
SIZE = re.compile(r"(\d+(?:\.\d+)?)([KMGT])?$")
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
DNS_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
EMAIL_USER = r"[\w\+\-\~]+(?:\.[\w\+\-\~]+)*"
EMAIL = rf"{EMAIL_USER}@[a-zA-Z0-9\-]+(?:\.[a-zA-Z0-9\-]+)*"
TAG = r"[a-zA-Z0-9_][a-zA-Z0-9_\-+.]*"
USER_REALM = r"[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+"
VOLUME_ID = r"[a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]:.+"


def verify(name: str, text: str) -> None:
    """FormatError when `text` does not have the format; formats that are not known here hold for any text."""
    if name.endswith("-list") and name not in FORMATS:
        for item in split_list(text):
            verify(name.removesuffix("-list"), item)
    elif name.endswith("-opt"):
        if text and text != "0":
            verify(name.removesuffix("-opt"), text)
    elif name in FORMATS:
        FORMATS[name](text)


def split_list(text: str) -> list[str]:
    """The items of a list as Proxmox splits it: at commas, semicolons, NULs or white space (PVE::Tools, split_list)."""
    return [item for item in SEPARATORS.split(text) if item]


def parse_size(text: str) -> int | None:
    """Bytes of `8G`, `512M`, `1.5T`; None when it is not a size (PVE::JSONSchema, parse_size)."""
    found = SIZE.match(text)
    if not found:
        return None
    number = float(found[1]) if "." in found[1] else int(found[1])
    return int(number * UNITS[found[2] or ""])


def format_size(size: int) -> str:
    """The shortest exact spelling of a number of bytes (PVE::JSONSchema, format_size)."""
    for unit in ("", "K", "M", "G"):
        if size % 1024:
            return f"{size}{unit}"
        size //= 1024
    return f"{size}T"


def parse_startup(text: str) -> dict[str, int] | None:
    """`order`, `up`, `down` of a startup setting; None when it is none (PVE::JSONSchema, pve_parse_startup_order)."""
    found: dict[str, int] = {}
    for part in filter(str.strip, text.split(",")):
        known = re.match(r"(?:order=)?(\d+)$|(up|down)=(\d+)$", part)
        if not known:
            return None
        found[known[2] or "order"] = int(known[1] or known[3])
    return found if text and text != "0" else None


def is_ipv4(text: str) -> bool:
    return bool(re.match(r"\d{1,3}(\.\d{1,3}){3}$", text)) and all(int(part) < 256 for part in text.split("."))


def is_ipv6(text: str) -> bool:
    try:
        return ":" in text and "%" not in text and bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def is_ip(text: str) -> bool:
    return is_ipv4(text) or is_ipv6(text)


def is_cidr(text: str, version: int) -> bool:
    """An address with a prefix of at least 8 bits."""
    address, slash, bits = text.partition("/")
    if not (slash and bits.isdigit() and int(bits) > 7):
        return False
    return (is_ipv4(address) and int(bits) <= 32) if version == 4 else (is_ipv6(address) and int(bits) <= 128)


def matches(pattern: str, message: str, flags: int = 0) -> Verify:
    """A format that is one pattern; `{}` in the message stands for the value."""
    compiled = re.compile(f"(?:{pattern})$", flags | re.ASCII)

    def check(text: str) -> None:
        if not compiled.match(text):
            raise FormatError(message.replace("{}", text))

    return check


def holds(test: Callable[[str], bool], message: str) -> Verify:
    """A format that is one test; `{}` in the message stands for the value."""

    def check(text: str) -> None:
        if not test(text):
            raise FormatError(message.replace("{}", text))

    return check


def _vlans(text: str) -> None:
    found = re.match(r"(\d+)(?:-(\d+))?$", text)
    if not found:
        raise FormatError(f"invalid VLAN configuration '{text}'")
    low, high = int(found[1]), int(found[2] or found[1])
    for tag in (low, high):
        if not 2 <= tag <= 4094:
            raise FormatError(f"invalid VLAN tag '{tag}'")
    if found[2] and low >= high:
        raise FormatError(f"VLAN range must go from lower to higher tag '{text}'")


def _pair(kind: str) -> Verify:
    def check(text: str) -> None:
        source, colon, target = text.partition(":")
        if text == "1":
            return
        for name in (source, target) if colon else (text,):
            try:
                verify(kind, name)
            except FormatError as error:
                raise FormatError(f"entry '{text}' contains invalid ID - {error}\n") from error

    return check


def _user(text: str) -> None:
    if len(text) < 3:
        raise FormatError(f"user name '{text}' is too short")
    if len(text) > 64:
        raise FormatError(f"user name '{text}' is too long ({len(text)} > 64)")
    if not re.match(rf"{USER_REALM}$", text):
        raise FormatError(f"value '{text}' does not look like a valid user name")


def _privilege(text: str) -> None:
    if text not in PRIVILEGES:
        raise FormatError(f"invalid privilege '{text}'\n")


def _mount_string(text: str) -> None:
    if re.search(r"/\.\.?/|/\.\.?$|^\.\./", text):
        raise FormatError(f"{text} contains illegal character sequences")


def _timezone(text: str) -> None:
    known = re.match(r"(UTC|host|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z0-9_+-]*){1,2})$", text)
    if not known:
        raise FormatError(f"invalid time zone '{text}'")


def _nameserver(text: str) -> None:
    address, _, interface = text.partition("%")
    if not (is_ip(address) if not interface else is_ipv6(address) and address.lower().startswith("fe80")):
        raise FormatError("value does not look like a valid IP address")


def _calendar(text: str) -> None:
    if not calendar.valid(text):
        raise FormatError(f"invalid calendar event '{text}'")


STORAGE_ID = "[a-z][a-z0-9\\-_.]*[a-z0-9]"
ANY: Verify = lambda text: None  # noqa: E731

FORMATS: dict[str, Verify] = {
    # numbers and names
    "string": ANY,
    "urlencoded": matches(r"[-%a-zA-Z0-9_.!~*'()]*", "invalid urlencoded string: {}"),
    "pve-configid": matches(r"[a-z][a-z0-9_-]+", "invalid configuration ID '{}'", re.I),
    "pve-vmid": matches(r"[1-9][0-9]{2,8}", "value does not look like a valid VM ID"),
    "pve-node": matches(DNS_LABEL, "value does not look like a valid node name"),
    "pve-storage-id": matches(STORAGE_ID, "storage ID '{}' contains illegal characters", re.I),
    "pve-bridge-id": matches(r"[-_.\w]+", "invalid bridge ID '{}'"),
    "pve-poolid": matches(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}", "value '{}' does not look like a valid pool name"),
    "pve-tag": matches(TAG, "invalid characters in tag"),
    "pve-iface": matches(r"[a-z][a-z0-9_]{1,20}([:.]\d+)?", "invalid network interface name '{}'", re.I),
    "pve-vlan-id-or-range": _vlans,
    "pve-startup-order": holds(lambda text: parse_startup(text) is not None, "unable to parse startup options"),
    "pve-task-status-type": matches("ok|error|warning|unknown", "invalid status '{}'", re.I),
    "disk-size": holds(lambda text: parse_size(text) is not None, "value does not look like a valid disk size: {}"),
    "pve-cpuset": matches(r"\d+(-\d+)?(,\d+(-\d+)?)*", "unable to parse cpu-set"),
    "pve-hotplug-features": holds(
        lambda text: (
            text in ("0", "1") or set(split_list(text)) <= {"network", "disk", "cpu", "memory", "usb", "cloudinit"}
        ),
        "unable to parse hotplug option",
    ),
    "pve-ct-timezone": _timezone,
    "pve-calendar-event": _calendar,
    "pve-day-of-week": matches("mon|tue|wed|thu|fri|sat|sun", "invalid day '{}'"),
    "pve-replication-job-id": matches(r"[1-9][0-9]{2,8}-\d{1,9}", "invalid replication job id '{}'"),
    "mac-prefix": matches(
        r"[a-f0-9][02468ace](?::[a-f0-9]{2}){0,2}:?", "value is not a valid unicast MAC address prefix", re.I
    ),
    # addresses
    "mac-addr": matches(
        "[a-f0-9][02468ace](?::[a-f0-9]{2}){5}", "value does not look like a valid unicast MAC address", re.I
    ),
    "ipv4": holds(is_ipv4, "value does not look like a valid IPv4 address"),
    "ipv6": holds(is_ipv6, "value does not look like a valid IPv6 address"),
    "ip": holds(is_ip, "value does not look like a valid IP address"),
    "ipv4mask": holds(
        lambda text: is_ipv4(text) and "01" not in "".join(f"{int(part):08b}" for part in text.split(".")),
        "value does not look like a valid IP netmask",
    ),
    "CIDRv4": holds(lambda text: is_cidr(text, 4), "value does not look like a valid IPv4 CIDR network"),
    "CIDRv6": holds(lambda text: is_cidr(text, 6), "value does not look like a valid IPv6 CIDR network"),
    "CIDR": holds(lambda text: is_cidr(text, 4) or is_cidr(text, 6), "value does not look like a valid CIDR network"),
    "IPorCIDR": holds(
        lambda text: is_ip(text) or is_cidr(text, 4) or is_cidr(text, 6),
        "value does not look like a valid IP address or CIDR network",
    ),
    "IPorCIDRorAlias": holds(
        lambda text: (
            is_ip(text) or is_cidr(text, 4) or is_cidr(text, 6) or bool(re.match(rf"{firewall.SCOPED_ALIAS}$", text))
        ),
        "value does not look like a valid IP address or CIDR network",
    ),
    "pve-ipv4-config": holds(
        lambda text: text in ("dhcp", "manual") or is_cidr(text, 4),
        "value does not look like a valid ipv4 network configuration",
    ),
    "pve-ipv6-config": holds(
        lambda text: text in ("auto", "dhcp", "manual") or is_cidr(text, 6),
        "value does not look like a valid ipv6 network configuration",
    ),
    "dns-name": matches(rf"(?:{DNS_LABEL}\.)*{DNS_LABEL}", "value does not look like a valid DNS name"),
    "address": holds(
        lambda text: is_ip(text) or bool(re.match(rf"(?:{DNS_LABEL}\.)*{DNS_LABEL}$", text)),
        "value does not look like a valid address: {}",
    ),
    "lxc-ip-with-ll-iface": _nameserver,
    "email": matches(EMAIL, "value does not look like a valid email address"),
    "email-or-username": matches(
        f"{EMAIL}|{EMAIL_USER}", "value does not look like a valid email address or user name"
    ),
    # access
    "pve-userid": _user,
    "pve-realm": matches(r"[A-Za-z][A-Za-z0-9.\-_]+", "value does not look like a valid realm"),
    "pve-groupid": matches(r"[A-Za-z0-9.\-_]+", "group name '{}' contains invalid characters"),
    "pve-roleid": matches(r"[A-Za-z0-9.\-_]+", "role name '{}' contains invalid characters"),
    "pve-priv": _privilege,
    "pve-tokenid": matches(
        rf"{USER_REALM}![A-Za-z][A-Za-z0-9.\-_]+",
        "value '{{}}' does not look like a valid token ID".replace("{{}}", "{}"),
    ),
    "ldap-simple-attr": matches("[a-zA-Z0-9]+", "value '{}' does not look like a simple ldap attribute name"),
    # storage
    "pve-volume-id": matches(VOLUME_ID, "unable to parse volume ID '{}'\n"),
    "pve-volume-id-or-qm-path": matches(f"none|cdrom|/.*|{VOLUME_ID}", "unable to parse volume ID '{}'\n", re.S),
    "pve-volume-id-or-absolute-path": matches(f"/.*|{VOLUME_ID}", "unable to parse volume ID '{}'\n", re.S),
    "pve-lxc-mp-string": _mount_string,
    "pve-lxc-dev-string": holds(
        lambda text: text.startswith("/dev/") and not re.search(r"/\.\.?(?:/|$)", text), "{} is not a valid device path"
    ),
    "pve-storage-path": matches(r"/[-/a-zA-Z0-9_.@]+", "value does not look like a valid absolute path"),
    "pve-storage-server": matches(
        r"[A-Za-z0-9\-.]+|[0-9a-fA-F:.]+", "value does not look like a valid server name or IP address"
    ),
    "pve-storage-options": matches(r"\S+", "invalid options '{}'"),
    "pve-storage-vgname": matches(
        r"[a-z0-9][a-z0-9\-_.]*[a-z0-9]", "lvm volume group name '{}' contains illegal characters", re.I
    ),
    "pve-storage-content": matches(
        "images|rootdir|vztmpl|iso|backup|snippets|import|none", "invalid content type '{}'"
    ),
    "storage-pair": _pair("pve-storage-id"),
    "bridge-pair": _pair("pve-bridge-id"),
    # ha, firewall
    "pve-ha-resource-id": matches(r"[a-z]+:\S+", "value does not look like a valid ha resource id"),
    "pve-ha-resource-or-vm-id": matches(r"[a-z]+:\S+|\d+", "value does not look like a valid ha resource id"),
    "pve-ha-node": matches(rf"{DNS_LABEL}(:\d+)?", "value does not look like a valid ha group node"),
    "pve-ha-group-node": matches(rf"{DNS_LABEL}(:\d+)?", "value does not look like a valid ha group node"),
    "pve-fw-addr-spec": firewall.addresses,
    "pve-fw-sport-spec": firewall.source_ports,
    "pve-fw-dport-spec": firewall.ports,
    "pve-fw-protocol-spec": firewall.protocol,
    "pve-fw-icmp-type-spec": firewall.icmp_type,
    "pve-fw-conntrack-helper": firewall.conntrack_helper,
    # boot
    "pve-qm-bootdisk": matches(r"(ide|sata|scsi|virtio|efidisk|tpmstate)\d+", "invalid boot disk '{}'"),
}
