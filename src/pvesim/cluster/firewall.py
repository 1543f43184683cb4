"""Firewall configs: options, rules, aliases, IP sets and security groups of the cluster, of nodes and of guests.

PVE::Firewall (verify_rule, copy_rule_data, copy_list_with_digest). A config is a plain dict, so that it is saved as it
is: `options`, `rules`, `aliases` (by lower-case name), `ipset`, `ipset_comments`, and for the cluster also `groups`,
`group_comments`, `nodes` (the configs of the nodes).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pvesim.errors import ApiError, param_error

Conf = dict[str, Any]
RULE_KEYS = (
    *("type", "action", "macro", "iface", "source", "dest", "proto", "enable", "comment", "sport", "dport", "log"),
    "icmp-type",
)
MODIFIED = "detected modified configuration - file changed by other user? Try again."
DIRECTIONS = {
    "cluster": ("in", "out", "forward", "group"),
    "host": ("in", "out", "forward", "group"),
    "guest": ("in", "out", "group"),
    "group": ("in", "out", "forward"),
}
WITH_PORTS = frozenset({"tcp", "6", "udp", "17", "udplite", "136", "sctp", "132", "dccp", "33"})
ICMP = frozenset({"icmp", "icmpv6", "ipv6-icmp"})
_NAME = r"[A-Za-z][A-Za-z0-9\-_]+"
MACROS = tuple(
    re.findall(
        r"\w+",
        """
        Amanda Auth BGP BitTorrent BitTorrent32 CVS Ceph Citrix DAAP DCC DHCPfwd DHCPv6 DNS Distcc FTP Finger GNUnet GRE
        Git HKP HTTP HTTPS ICPV2 ICQ IMAP IMAPS IPIP IPsec IPsecah IPsecnat IRC Jetdirect L2TP LDAP LDAPS MDNS MSNP
        MSSQL Mail MongoDB Munin MySQL NNTP NNTPS NTP NeighborDiscovery OSPF OpenVPN PBS PCA PMG POP3 POP3S PPtP Ping
        PostgreSQL Printer RDP RIP RNDC Razor Rdate Rsync SANE SMB SMBswat SMTP SMTPS SNMP SPAMD SPICEproxy SSH SVN
        SixXS Squid Submission Syslog TFTP Telnet Telnets Time Trcrt VNC VNCL Web Webcache Webmin Whois
        """,
    )
)
_MACRO_BY_LOWER = {name.lower(): name for name in MACROS}


def digest_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """SHA-1 over `key:value` of every entry in order (copy_list_with_digest)."""
    text = "".join(f"{key}:{entry[key]}\n" for entry in entries for key in sorted(entry) if entry[key] is not None)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def with_digest(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copies of the entries, each with the digest of them all."""
    rows = [{key: value for key, value in entry.items() if value is not None} for entry in entries]
    digest = digest_of(rows)
    return [row | {"digest": digest} for row in rows]


def assert_digest(entries: Iterable[Mapping[str, Any]], given: str | None) -> None:
    """ApiError 500 where the caller has seen another state."""
    if given and given != digest_of(entries):
        raise ApiError(500, MODIFIED)


def part(conf: Conf, name: str, empty: Any) -> Any:
    """A part of the config, made when it is not there."""
    return conf.setdefault(name, empty)


def address(text: str) -> tuple[str, int]:
    """`10.0.0.1/32` → `10.0.0.1`, 4; 400 `cidr` is the schema's."""
    plain = re.sub(r"/(?:32|128)$", "", text) if "." in text or text.endswith("/128") else text
    return plain, 6 if ":" in plain else 4


def update_rule(rule: dict[str, Any], params: Mapping[str, Any]) -> None:
    """Take over what was given; an empty text or `-` removes a setting."""
    for key in RULE_KEYS:
        value = params.get(key)
        if value is None:
            continue
        if value in ("", "-"):
            rule.pop(key, None)
        else:
            rule[key] = value


def delete_keys(rule: dict[str, Any], names: str) -> None:
    for name in filter(None, re.split(r"[,; ]+", names)):
        if name not in RULE_KEYS:
            raise param_error(delete=f"no such property ('{name}')")
        if name in ("type", "action"):
            raise param_error(delete=f"unable to delete required property '{name}'")
        rule.pop(name, None)


def verify_rule(rule: dict[str, Any], env: str, cluster: Conf, own: Conf | None) -> None:
    """Refuse what does not fit together (400), note the IP version that follows from the addresses."""
    _verify_kind(rule, env)
    versions = {version for key in ("source", "dest") if (version := _verify_address(rule, key, cluster, own))}
    proto = str(rule.get("proto") or "")
    if proto:
        versions |= {4} if proto == "icmp" else {6} if proto in ICMP else set()
    if len(versions) > 1:
        raise param_error(dest="detected mixed ipv4/ipv6 addresses in rule")
    _verify_ports(rule, proto)
    rule.pop("ipversion", None)
    if versions:
        rule["ipversion"] = versions.pop()


def unfit(rule: Mapping[str, Any], env: str, cluster: Conf, own: Conf | None) -> dict[str, Any]:
    """`errors` of a rule that names what is there no more; a listed rule has them, its digest does not."""
    try:
        verify_rule(dict(rule), env, cluster, own)
    except ApiError as error:
        return {"errors": error.errors}
    return {}


def _verify_kind(rule: dict[str, Any], env: str) -> None:
    kind, action = str(rule.get("type") or ""), str(rule.get("action") or "")
    if not kind:
        raise param_error(type="missing property")
    if not action:
        raise param_error(action="missing property")
    if kind not in DIRECTIONS[env]:
        text = "security groups not allowed" if kind == "group" else f"rule type '{kind}' not allowed"
        raise param_error(type=text)
    if kind != "group" and action not in ("ACCEPT", "DROP", "REJECT"):
        raise param_error(action=f"unknown action '{action}'")
    if kind == "forward" and action == "REJECT":
        raise param_error(action="action REJECT not allowed for forward rules")
    if iface := rule.get("iface"):
        if env == "group":
            raise param_error(type="parameter -i not allowed for this rule type")
        if env == "guest" and not re.fullmatch(r"net\d+", str(iface)):
            raise param_error(iface="value does not match the regex pattern 'net\\d+'")
    if macro := rule.get("macro"):
        if str(macro).lower() not in _MACRO_BY_LOWER:
            raise param_error(macro=f"unknown macro '{macro}'")
        rule["macro"] = _MACRO_BY_LOWER[str(macro).lower()]


def _verify_address(rule: dict[str, Any], key: str, cluster: Conf, own: Conf | None) -> int | None:
    text = str(rule.get(key) or "")
    if not text:
        return None
    if text.startswith("+"):
        _verify_set(text[1:], key, cluster, own)
        return None
    scope, slash, name = text.partition("/")
    if re.fullmatch(_NAME, text) or (slash and scope in ("dc", "guest", "sdn")):
        return _verify_alias(name if slash else text, scope if slash else "", key, cluster, own)
    versions = set()
    for one in filter(None, text.split(",")):
        first, dash, last = one.partition("-")
        try:
            ends = [ipaddress.ip_network(end, strict=False).version for end in ([first, last] if dash else [one])]
        except ValueError:
            raise param_error(**{key: f"invalid address '{one}'"}) from None
        versions |= set(ends)
    if len(versions) > 1:
        raise param_error(**{key: "detected mixed ipv4/ipv6 addresses in address list"})
    return versions.pop() if versions else None


def _verify_set(name: str, key: str, cluster: Conf, own: Conf | None) -> None:
    scope, slash, rest = name.partition("/")
    wanted = rest if slash else name
    if slash and scope == "sdn":
        return
    held = [conf for conf, label in ((cluster, "dc"), (own, "guest")) if conf is not None and scope in (label, name)]
    if not re.fullmatch(_NAME, wanted):
        raise param_error(**{key: f"invalid ipset name '+{name}'"})
    if not any(wanted in conf.get("ipset", {}) for conf in held):
        raise param_error(**{key: f"no such ipset '{name}'"})


def _verify_alias(name: str, scope: str, key: str, cluster: Conf, own: Conf | None) -> int | None:
    if scope == "sdn":
        return None
    for conf, label in ((own, "guest"), (cluster, "dc")):
        if conf is not None and scope in ("", label) and (entry := conf.get("aliases", {}).get(name.lower())):
            return int(entry["ipversion"])
    raise param_error(**{key: f"no such alias '{name}'"})


def _verify_ports(rule: dict[str, Any], proto: str) -> None:
    for key in ("dport", "sport"):
        if not rule.get(key):
            continue
        if not proto:
            raise param_error(proto=f"missing property - '{key}' requires this property")
        if proto not in WITH_PORTS and not (key == "dport" and proto in ("icmp", "icmpv6")):
            raise param_error(**{key: f"protocol '{proto}' does not support ports"})
    if rule.get("icmp-type"):
        if proto not in ICMP:
            raise param_error(proto="missing property - 'icmp-type' requires this property")
        if rule.get("dport"):
            raise param_error(**{"icmp-type": "'icmp-type' cannot be specified together with 'dport'"})


def moved(rules: list[dict[str, Any]], at: int, to: int) -> list[dict[str, Any]]:
    """The rules with the one `at` put before the one `to`, or at the end."""
    found: list[dict[str, Any]] = []
    for index, rule in enumerate(rules):
        if index == at:
            continue
        if index == to:
            found.append(rules[at])
        found.append(rule)
    return [*found, rules[at]] if to >= len(rules) else found


def refs(cluster: Conf, own: Conf | None, only: str | None) -> list[dict[str, Any]]:
    """The names that rules may use in source and dest."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for conf, scope in ((cluster, "dc"), (own, "guest")):
        if conf is None:
            continue
        for name in sorted(conf.get("ipset", {})) if only in (None, "ipset") else ():
            row = {"type": "ipset", "name": name, "ref": f"+{scope}/{name}", "scope": scope}
            found["ipset", name] = row | _comment(conf.get("ipset_comments", {}).get(name))
        for name, entry in sorted(conf.get("aliases", {}).items()) if only in (None, "alias") else ():
            row = {"type": "alias", "name": name, "ref": f"{scope}/{name}", "scope": scope}
            found["alias", name] = row | _comment(entry.get("comment"))
    return list(found.values())


def _comment(text: Any) -> dict[str, Any]:
    return {"comment": text} if text else {}
