"""Publishers as the server's manifest names them."""

from collections.abc import Callable, Iterable

from pydantic import SecretStr

from innkeeper.control.ports import Publisher, Repository
from innkeeper.model.objects import SecretSource
from innkeeper.model.server import (
    CaddyPublisher,
    DefinitionsPublisher,
    DnsPublisher,
    HostsPublisher,
    PrometheusPublisher,
    Publish,
)
from innkeeper.publish.caddy import Caddy
from innkeeper.publish.definitions import Definitions
from innkeeper.publish.hosts import Hosts
from innkeeper.publish.names import Names
from innkeeper.publish.targets import Targets


def publishers(
    specs: Iterable[Publish],
    repository: Callable[[DefinitionsPublisher], Repository],
    secret: Callable[[SecretSource, str], SecretStr],
) -> tuple[Publisher, ...]:
    """`repository` opens the one that definitions are committed to; `secret` reads a secret at every use."""

    def one(spec: Publish) -> Publisher:
        match spec:
            case DefinitionsPublisher():
                return Definitions(spec, repository(spec))
            case CaddyPublisher():
                return Caddy(spec)
            case PrometheusPublisher():
                return Targets(spec)
            case DnsPublisher():
                return Names(spec, lambda: secret(spec.key_secret, f"publish {spec.name}: keySecret"))
            case HostsPublisher():
                return Hosts(spec)

    return tuple(one(spec) for spec in specs)
