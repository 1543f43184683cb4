"""A real name server takes updates that are signed, and loses no name of others."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest
from pydantic import SecretStr

from innkeeper.engine.errors import Stalled, Waiting
from innkeeper.model.server import DnsPublisher
from innkeeper.publish.names import Names
from tests.innkeeper.publish.services import free_port, program, running, service

SECRET = "c2VjcmV0IG9mIHRoZSBuYW1lIHNlcnZlciwgMzIgYnl0"
ZONE = """$ORIGIN example.org.
$TTL 60
@ SOA ns hostmaster 1 60 60 600 60
@ NS ns
ns A 127.0.0.1
printer A 192.0.2.7
"""


@dataclass(frozen=True)
class Server:
    port: int

    def publisher(self, secret: str = SECRET, **rest: object) -> Names:
        spec = {"type": "dns", "name": "lan", "server": "127.0.0.1", "port": self.port, "zone": "example.org"}
        named = {"keyName": "innkeeper", "keySecret": {"env": "KEY"}, "ttl": 30, **rest}
        return Names(DnsPublisher.model_validate(spec | named), lambda: SecretStr(secret))

    def ask(self, name: str, kind: str = "A") -> list[str]:
        answer = dns.query.udp(dns.message.make_query(name, kind), "127.0.0.1", port=self.port, timeout=5)
        assert answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
        return sorted(str(item) for rrset in answer.answer for item in rrset)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    (tmp_path / "example.org.zone").write_text(ZONE)
    config = tmp_path / "knot.conf"
    config.write_text(
        f"""server:
    rundir: {tmp_path}
    listen: 127.0.0.1@{port}
database:
    storage: {tmp_path}
key:
  - id: innkeeper
    algorithm: hmac-sha256
    secret: {SECRET}
acl:
  - id: ours
    key: innkeeper
    action: [transfer, update]
zone:
  - domain: example.org
    storage: {tmp_path}
    file: example.org.zone
    acl: ours
"""
    )
    command = [program("knotd", "knot"), "-c", str(config)]
    subprocess.run([program("knotc", "knot"), "-c", str(config), "conf-check"], check=True, capture_output=True)
    with running(command, tmp_path / "knot.log", port):
        yield Server(port)


async def test_a_name_comes_changes_and_goes(server: Server) -> None:
    names = server.publisher()
    told = await names.publish([service(address="10.0.0.5", port=80)])
    assert told == ("web.example.org leads to 10.0.0.5",)
    assert server.ask("web.example.org") == ["10.0.0.5"]
    assert server.ask("_innkeeper.web.example.org", "TXT") == ['"innkeeper home/Container/web"']
    assert await names.publish([service(address="10.0.0.5", port=80)]) == ()
    assert await names.publish([service(address="fd00::5", port=80)]) == ("web.example.org leads to fd00::5",)
    assert server.ask("web.example.org") == []
    assert server.ask("web.example.org", "AAAA") == ["fd00::5"]
    assert await names.publish([]) == ("web.example.org has no address any more",)
    assert server.ask("web.example.org", "AAAA") == []
    assert server.ask("_innkeeper.web.example.org", "TXT") == []
    assert server.ask("printer.example.org") == ["192.0.2.7"]


async def test_names_may_lead_to_the_proxy(server: Server) -> None:
    await server.publisher(target="proxy", address="192.0.2.1").publish([service(address="10.0.0.5", port=80)])
    assert server.ask("web.example.org") == ["192.0.2.1"]


async def test_a_name_of_others_is_left_alone(server: Server) -> None:
    with pytest.raises(Stalled, match=r"printer\.example\.org belongs to something that Innkeeper did not write"):
        await server.publisher().publish([service("printer", "10.0.0.5", port=80)])
    assert server.ask("printer.example.org") == ["192.0.2.7"]
    assert server.ask("ns.example.org") == ["127.0.0.1"]


async def test_nobody_takes_a_name_from_who_has_it(server: Server) -> None:
    names = server.publisher()
    rightful = service(source="zoo", address="10.0.0.5", port=80)
    await names.publish([rightful])
    with pytest.raises(Stalled, match=r"belongs to zoo/Container/web"):
        await names.publish([service(source="aaa", address="10.6.6.6", port=80), rightful])
    assert server.ask("web.example.org") == ["10.0.0.5"]


async def test_a_domain_outside_of_the_zone_is_not_its_matter(server: Server) -> None:
    assert await server.publisher().publish([service(address="10.0.0.5", domain="web.example.net")]) == ()


async def test_a_wrong_key_is_refused(server: Server) -> None:
    wrong = "d3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3Jvbmcgd3I="
    with pytest.raises(Stalled) as caught:
        await server.publisher(wrong).publish([service(address="10.0.0.5", port=80)])
    assert wrong not in str(caught.value)
    with pytest.raises(Stalled, match="is not base64"):
        await server.publisher("no base64 at all!").publish([])


async def test_a_server_that_is_away() -> None:
    with pytest.raises(Waiting, match="does not answer"):
        await Server(free_port()).publisher().publish([])
