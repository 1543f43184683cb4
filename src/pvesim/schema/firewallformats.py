"""The firewall's own formats: addresses, ports, protocols, ICMP types (PVE::Firewall)."""

from __future__ import annotations

import ipaddress
import re

from pvesim.schema.types import FormatError

MAX_NAME = 64  # of an alias and of an IP set
MAX_PORTS = 15
ALIAS = r"[A-Za-z][A-Za-z0-9\-_]+"
SCOPED_ALIAS = rf"(?:(?:dc|guest|sdn)/)?{ALIAS}"
_PROTOCOL_NAMES = """ip icmp igmp ggp ipencap st tcp egp igp pup udp hmp xns-idp rdp iso-tp4 dccp xtp ddp idpr-cmtp ipv6
ipv6-route ipv6-frag idrp rsvp gre esp ah skip ipv6-icmp icmpv6 ipv6-nonxt ipv6-opts rspf vmtp eigrp ospf ax.25 ipip
etherip encap pim ipcomp vrrp l2tp isis sctp fc mobility-header udplite mpls-in-ip manet hip shim6 wesp rohc"""
PROTOCOLS = frozenset(_PROTOCOL_NAMES.split())
_SERVICE_NAMES = """tcpmux echo discard systat daytime netstat qotd chargen ftp-data ftp ssh telnet smtp time whois
tacacs domain bootps bootpc tftp gopher finger http kerberos iso-tsap acr-nema pop3 sunrpc auth nntp ntp netbios-ns
netbios-dgm netbios-ssn imap2 snmp snmp-trap cmip-man mailq xdmcp bgp smux irc z3950 ipx ldap https microsoft-ds
kpasswd saft isakmp rtsp asf-rmcp exec login shell printer talk ntalk route biff who syslog uucp klogin kshell
afpovertcp nntps submission submissions ldaps silc kerberos-adm domain-s rsync ftps-data ftps telnets imaps pop3s
socks openvpn ms-sql-s ms-sql-m nfs mysql svn postgresql sip sip-tls xmpp-client xmpp-server amqp amqps radius
radius-acct redis http-alt webmin git nut tproxy mdns iscsi-target rdp ms-wbt-server"""
SERVICES = frozenset(_SERVICE_NAMES.split())
_ICMP_NAMES = """any echo-reply destination-unreachable network-unreachable host-unreachable protocol-unreachable
port-unreachable fragmentation-needed source-route-failed network-unknown host-unknown network-prohibited
host-prohibited TOS-network-unreachable TOS-host-unreachable communication-prohibited host-precedence-violation
precedence-cutoff source-quench redirect network-redirect host-redirect TOS-network-redirect TOS-host-redirect
echo-request router-advertisement router-solicitation time-exceeded ttl-zero-during-transit
ttl-zero-during-reassembly parameter-problem ip-header-bad required-option-missing timestamp-request timestamp-reply
address-mask-request address-mask-reply no-route beyond-scope address-unreachable failed-policy reject-route
packet-too-big bad-header unknown-header-type unknown-option neighbor-solicitation neighbour-solicitation
neighbor-advertisement neighbour-advertisement"""
ICMP_TYPES = frozenset(_ICMP_NAMES.split())
HELPERS = frozenset({"amanda", "ftp", "irc", "netbios-ns", "pptp", "sane", "sip", "snmp", "tftp"})


def addresses(text: str) -> None:
    """One IP set or alias, or addresses, networks, or one range, of one IP version (parse_address_list)."""
    if re.match(r"\+\S+$", text):
        if len(text) > MAX_NAME + 1:
            raise FormatError("ipset name too long")
        return
    if re.match(rf"{SCOPED_ALIAS}$", text):
        if len(text) > MAX_NAME:
            raise FormatError("alias name too long")
        return
    items = _items(text)
    versions = {_version(item) for item in items}
    if len(versions) > 1:
        raise FormatError(f"detected mixed ipv4/ipv6 addresses in address list '{text}'")
    if len(items) > 1 and any("-" in item for item in items):
        raise FormatError("you can't use a range in a list")


def source_ports(text: str) -> None:
    """Numbers, ranges and service names, fifteen numbers at most (parse_port_name_number_or_range)."""
    _ports(text, frozenset())


def ports(text: str) -> None:
    """The same, or one ICMP type."""
    _ports(text, ICMP_TYPES)


def protocol(text: str) -> None:
    if text not in ("", "0") and text not in PROTOCOLS and not (text.isdigit() and int(text) < 256):
        raise FormatError(f"unknown protocol '{text}'")


def icmp_type(text: str) -> None:
    if text and text not in ICMP_TYPES:
        raise FormatError(f"invalid icmp-type value '{text}'")


def conntrack_helper(text: str) -> None:
    if text not in HELPERS:
        raise FormatError(f"invalid conntrack helper '{text}'")


def _items(text: str) -> list[str]:
    items = text.split(",")
    if text and not items[-1]:
        raise FormatError("extraneous commas in list")
    return items


def _version(item: str) -> int:
    try:
        first, dash, last = item.partition("-")
        if dash:
            low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
            if low.version != high.version or int(low) > int(high):
                raise ValueError(item)
            return low.version
        return ipaddress.ip_network(item).version  # host bits below a prefix are refused, as Net::IP does
    except ValueError:
        raise FormatError(f"invalid IP address: {item}") from None


def _ports(text: str, icmp: frozenset[str]) -> None:
    count, is_icmp = 0, False
    for item in _items(text) if text else []:
        found = re.match(r"([0-9]+):([0-9]+)$", item)
        if found:
            count += 2
            for port in found.groups():
                _port(port)
            if int(found[1]) > int(found[2]):
                raise FormatError(
                    f"backwards range '{found[1]}:{found[2]}' not allowed, did you mean '{found[2]}:{found[1]}'?"
                )
        elif item.isdigit():
            count += 1
            _port(item)
        elif item in icmp:
            is_icmp = True
        elif item not in SERVICES:
            raise FormatError(f"invalid port '{item}'")
    if is_icmp and count:
        raise FormatError("ICMP ports not allowed in port range")
    if count > MAX_PORTS:
        raise FormatError("too many entries in port list (> 15 numbers)")


def _port(text: str) -> None:
    if int(text) > 65535:
        raise FormatError(f"invalid port '{text}'")
