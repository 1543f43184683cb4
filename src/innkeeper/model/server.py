"""How one control plane runs: who signs in, who hears of trouble, who is told of services, what is kept."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from innkeeper.model.base import VMID, HostName, Name, Value
from innkeeper.model.objects import Origin, SecretSource, Tls
from innkeeper.model.sources import Duration, GitCredentials, GitUrl

Url = Annotated[
    str,
    StringConstraints(pattern=r"^https?://[^\s@/]+(/[^\s]*)?$"),
    Field(description="an http or https URL without a user"),
]
Below = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9._][A-Za-z0-9._/-]*$"),
    Field(description="a path inside the repository that is written below"),
]
NoticeKind = Literal["failure", "drift", "recovery", "approval"]
NOTICES: tuple[NoticeKind, ...] = ("failure", "drift", "recovery", "approval")


class OidcRoles(Value):
    """Which values of a claim make a role; whoever has none gets `default`, or is refused where that is left out."""

    claim: str = "groups"
    admin: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    viewer: tuple[str, ...] = ()
    default: Literal["viewer", "operator"] | None = None


class Oidc(Value):
    """An OpenID Connect provider; discovery, keys and addresses come from its issuer."""

    name: Name
    issuer: Url
    client_id: str = Field(alias="clientID")
    client_secret: SecretSource
    scopes: tuple[str, ...] = ("openid", "profile", "email", "groups")
    roles: OidcRoles = OidcRoles()
    tls: Tls = Tls()


class SignIn(Value):
    """`local: false` leaves only the providers (and the one-time link of the first start)."""

    local: bool = True
    oidc: tuple[Oidc, ...] = ()
    session: Duration = "12h"


class WebhookNotifier(Value):
    """`url` is a secret: whoever knows it can post. `secret` signs the body.

    The signature is HMAC-SHA256 in hex, in the header `X-Innkeeper-Signature-256`.
    """

    type: Literal["webhook"]
    name: Name
    shape: Literal["generic", "slack", "matrix"] = "generic"
    url: SecretSource
    secret: SecretSource | None = None
    events: tuple[NoticeKind, ...] = NOTICES
    allow_private: bool = False
    """Whether the address may be a private or local one; refused else, so that nobody can reach into the network."""


class MailNotifier(Value):
    type: Literal["mail"]
    name: Name
    host: HostName
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    username: str | None = None
    password: SecretSource | None = None
    sender: Annotated[str, StringConstraints(pattern=r"^[^\s@<>]+@[^\s@<>]+$")] = Field(alias="from")
    to: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[^\s@<>]+@[^\s@<>]+$")], ...], Field(min_length=1)]
    events: tuple[NoticeKind, ...] = NOTICES


class DefinitionsPublisher(Value):
    """One YAML file per service, committed below `path` of a git repository."""

    type: Literal["definitions"]
    name: Name
    url: GitUrl
    branch: str = "main"
    path: Below = "services"
    credentials: GitCredentials | None = None


class CaddyPublisher(Value):
    """One site per service in `directory` (imported by the Caddyfile), and a reload through the admin API."""

    type: Literal["caddy"]
    name: Name
    directory: Annotated[str, StringConstraints(pattern=r"^/")]
    caddyfile: Annotated[str, StringConstraints(pattern=r"^/")] | None = None
    """The main Caddyfile, which imports `directory`; named, it is loaded by `admin` after every change."""
    admin: Url | None = None
    forward_auth: Url | None = None
    """Where services with `auth` send their requests to be checked first."""
    internal: tuple[
        Annotated[
            str,
            StringConstraints(pattern=r"^(private_ranges|[0-9A-Fa-f.:]+(/\d{1,3})?)$"),
            Field(description="private_ranges, or a network such as 10.0.0.0/8"),
        ],
        ...,
    ] = ("private_ranges",)
    """Who may reach services that are not public."""
    tls: Literal["auto", "internal", "off"] = "auto"


class PrometheusPublisher(Value):
    """A file of targets for `file_sd_configs`."""

    type: Literal["prometheus"]
    name: Name
    file: Annotated[str, StringConstraints(pattern=r"^/.*\.(json|ya?ml)$")]


class DnsPublisher(Value):
    """Address records by RFC 2136 updates, signed with TSIG."""

    type: Literal["dns"]
    name: Name
    server: HostName
    port: Annotated[int, Field(ge=1, le=65535)] = 53
    zone: HostName
    ttl: Annotated[int, Field(ge=1, le=604_800)] = 300
    key_name: str
    key_secret: SecretSource
    algorithm: Literal["hmac-sha256", "hmac-sha384", "hmac-sha512"] = "hmac-sha256"
    target: Literal["guest", "proxy"] = "guest"
    """`guest`: names lead to the guest itself; `proxy`: to `address`, where the reverse proxy listens."""
    address: str | None = None

    @model_validator(mode="after")
    def _address(self) -> "DnsPublisher":
        if (self.target == "proxy") != (self.address is not None):
            raise ValueError("target: proxy goes with address, the proxy's own")
        return self


class HostsPublisher(Value):
    """Names and addresses in a file: `hosts` lines, or records of a zone file that another one includes."""

    type: Literal["hosts", "zone"]
    name: Name
    file: Annotated[str, StringConstraints(pattern=r"^/")]
    zone: HostName | None = None


Publish = Annotated[
    DefinitionsPublisher | CaddyPublisher | PrometheusPublisher | DnsPublisher | HostsPublisher,
    Field(discriminator="type"),
]
Notify = Annotated[WebhookNotifier | MailNotifier, Field(discriminator="type")]


class Retention(Value):
    """Ended jobs older than `jobs` are forgotten, but never the newest `keep`."""

    jobs: Duration = "90d"
    keep: Annotated[int, Field(ge=1)] = 1000


class OwnGuest(Value):
    """The guest that this server runs in."""

    cluster: Name
    vmid: VMID


class ServerSpec(Value):
    """`publicUrl` is how people and forges reach the portal; links, cookies and sign-in lean on it."""

    public_url: Url | None = None
    sign_in: SignIn = SignIn()
    notify: tuple[Notify, ...] = ()
    publish: tuple[Publish, ...] = ()
    retention: Retention = Retention()
    own_guest: OwnGuest | None = None
    """Never deleted, replaced or restarted without a person."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose `X-Forwarded-For` is believed."""


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    spec: ServerSpec
    origin: Origin
