"""Address records by RFC 2136 updates. Beside each name of ours a TXT record says whose it is; no other is touched.

The zone itself is asked what there is (a transfer, signed like the updates), so that nothing needs to be remembered.
"""

import asyncio
import binascii
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.node
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone
from pydantic import SecretStr

from innkeeper.control.ports import Service
from innkeeper.engine.errors import EngineError, Stalled, Waiting
from innkeeper.model.server import DnsPublisher
from innkeeper.publish.claims import complain, settled

_MARKER = "_innkeeper"
_SIGN = "innkeeper "
_SECONDS = 15.0
_ADDRESSES = ("A", "AAAA")
_MOVED = (dns.rcode.YXDOMAIN, dns.rcode.YXRRSET, dns.rcode.NXRRSET, dns.rcode.NXDOMAIN)


@dataclass(frozen=True, slots=True)
class _Record:
    owner: str
    """Empty: not ours."""
    addresses: frozenset[str]


class Names:
    """Implements `innkeeper.control.ports.Publisher`. Domains outside of the zone are not its matter."""

    def __init__(self, spec: DnsPublisher, secret: Callable[[], SecretStr]) -> None:
        self.name = spec.name
        self._spec = spec
        self._secret = secret
        self._zone = dns.name.from_text(spec.zone)

    async def publish(self, services: Sequence[Service]) -> tuple[str, ...]:
        key = self._key()
        server = await self._address()
        present = await self._transfer(server, key)
        inside = [item for item in services if item.expose is not None and self._is_inside(item.expose.domain)]
        told, problems = settled(inside, {domain: record.owner for domain, record in present.items()})
        wanted = {
            item.domain: _Record(item.service.owner, frozenset({self._spec.address or item.service.address}))
            for item in told
        }
        ours = {domain: record for domain, record in present.items() if record.owner}
        changed = sorted(domain for domain in ours.keys() | wanted.keys() if ours.get(domain) != wanted.get(domain))
        for domain in changed:
            await self._send(server, self._update(key, domain, ours.get(domain), wanted.get(domain)))
        complain(f"dns {self.name}", problems)
        return tuple(_line(domain, wanted) for domain in changed)

    def _is_inside(self, domain: str) -> bool:
        return dns.name.from_text(domain).is_subdomain(self._zone)

    def _key(self) -> dns.tsig.Key:
        try:
            return dns.tsig.Key(self._spec.key_name, self._secret().get_secret_value(), f"{self._spec.algorithm}.")
        except (binascii.Error, ValueError):
            pass
        raise Stalled(f"dns {self.name}: the key's secret is not base64", "copy it from the name server's key")

    async def _address(self) -> str:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self._spec.server, self._spec.port, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise Waiting(f"dns {self.name}: {self._spec.server}: {error.strerror}", "check its name", 30.0) from None
        return str(found[0][4][0])

    async def _transfer(self, server: str, key: dns.tsig.Key) -> dict[str, _Record]:
        zone = dns.zone.Zone(self._zone, relativize=False)
        query, _ = dns.xfr.make_query(zone, keyring=key)
        problem: EngineError
        try:
            await dns.asyncquery.inbound_xfr(server, zone, query, port=self._spec.port, lifetime=_SECONDS)
            return _records(zone)
        except dns.xfr.TransferError as error:
            problem = self._refused(error.rcode, "the zone's transfer")
        except (dns.exception.DNSException, OSError, EOFError) as error:
            problem = self._silent(error)
        raise problem

    def _update(
        self, key: dns.tsig.Key, domain: str, before: _Record | None, after: _Record | None
    ) -> dns.update.UpdateMessage:
        """Only if nobody changed the name meanwhile (the prerequisites of RFC 2136)."""
        message = dns.update.UpdateMessage(self._zone, keyring=key)
        name = dns.name.from_text(domain)
        marker = dns.name.from_text(f"{_MARKER}.{domain}")
        if before is None:
            message.absent(name)
            message.absent(marker)
        else:
            message.present(marker, "TXT", _quoted(before.owner))
        for kind in _ADDRESSES:
            message.delete(name, kind)
        message.delete(marker, "TXT")
        if after is not None:
            for address in sorted(after.addresses):
                message.add(name, self._spec.ttl, "AAAA" if ":" in address else "A", address)
            message.add(marker, self._spec.ttl, "TXT", _quoted(after.owner))
        return message

    async def _send(self, server: str, message: dns.update.UpdateMessage) -> None:
        try:
            answer = await dns.asyncquery.tcp(message, server, timeout=_SECONDS, port=self._spec.port)
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise self._silent(error) from None
        if answer.rcode() != dns.rcode.NOERROR:
            raise self._refused(answer.rcode(), "the update")

    def _refused(self, code: dns.rcode.Rcode | int | None, what: str) -> EngineError:
        word = dns.rcode.to_text(dns.rcode.Rcode(code)) if code is not None else "no reason"
        said = f"dns {self.name}: {self._spec.server} refuses {what} of {self._spec.zone} ({word})"
        if code in _MOVED:
            return Waiting(said, "somebody changed the name meanwhile; it is looked at again", 5.0)
        if code == dns.rcode.SERVFAIL:
            return Waiting(said, "the name server has trouble of its own", 30.0)
        return Stalled(said, f"allow transfers and updates of the zone to the key {self._spec.key_name}")

    def _silent(self, error: Exception) -> EngineError:
        where = f"dns {self.name}: {self._spec.server} port {self._spec.port}"
        if isinstance(error, dns.tsig.PeerError | dns.tsig.BadSignature | dns.tsig.BadTime):
            return Stalled(f"{where}: the key is refused ({type(error).__name__})", "check keyName, keySecret, clocks")
        return Waiting(f"{where} does not answer ({type(error).__name__})", "check that it is up", 30.0)


def _records(zone: dns.zone.Zone) -> dict[str, _Record]:
    """Every name that has any record; names with a marker of ours are ours."""
    found: dict[str, _Record] = {}
    owners: dict[str, str] = {}
    for name, node in zone.nodes.items():
        text = str(name).rstrip(".").lower()
        if text.startswith(f"{_MARKER}."):
            owners[text.removeprefix(f"{_MARKER}.")] = _owner(node)
        else:
            addresses = (str(item) for kind in _ADDRESSES for item in _items(node, kind))
            found[text] = _Record("", frozenset(addresses))
    for domain, owner in owners.items():
        found[domain] = _Record(owner, found[domain].addresses if domain in found else frozenset())
    return found


def _items(node: dns.node.Node, kind: str) -> Iterable[object]:
    return node.get_rdataset(dns.rdataclass.IN, dns.rdatatype.from_text(kind)) or ()


def _owner(node: dns.node.Node) -> str:
    for item in _items(node, "TXT"):
        text = str(item).strip('"')
        if text.startswith(_SIGN):
            return text.removeprefix(_SIGN)
    return ""


def _quoted(owner: str) -> str:
    return f'"{_SIGN}{owner}"'


def _line(domain: str, wanted: Mapping[str, _Record]) -> str:
    if domain not in wanted:
        return f"{domain} has no address any more"
    return f"{domain} leads to {', '.join(sorted(wanted[domain].addresses))}"
