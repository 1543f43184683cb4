"""The declared objects: what one YAML document becomes."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from innkeeper.model.base import VMID, Name, Plain, Value
from innkeeper.model.diagnostics import Location
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.images import Image
from innkeeper.model.inside import Check, Configure

API_VERSION = "innkeeper.dev/v1alpha1"
ADOPT = "innkeeper.dev/adopt"
GuestKind = Literal["Container", "VirtualMachine"]


Endpoint = Annotated[
    str,
    StringConstraints(pattern=r"^https://[^/\s?#@]+/?$"),
    Field(description="an https URL without path and user, such as https://pve1.example.org:8006"),
]
Fingerprint = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$"),
    Field(description="a SHA-256 fingerprint: 32 bytes in hex, separated by colons"),
]
TokenId = Annotated[
    str,
    StringConstraints(pattern=r"^[^\s!=]+@[^\s!=]+![^\s!=]+$"),
    Field(description="a token as user@realm!name"),
]
UserName = Annotated[
    str, StringConstraints(pattern=r"^[^\s!]+@[^\s!]+$"), Field(description="a user with its realm: root@pam")
]
NodeAddress = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?|[0-9A-Fa-f:]+|\[[0-9A-Fa-f:]+\](:\d{1,5})?)$"),
    Field(description="a name or an address, or one with a port such as 192.0.2.5:2222"),
]


class Metadata(Value):
    name: Name
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class SecretSource(Value):
    """Where a secret is read from at run time; its value never stands in a manifest.

    `key` names a value in a file that is a JSON object: `proxmox.password`.
    """

    env: str | None = None
    file: str | None = None
    key: Annotated[str, StringConstraints(pattern=r"^[^.\s]+(\.[^.\s]+)*$")] | None = None

    @model_validator(mode="after")
    def _one(self) -> "SecretSource":
        if (self.env is None) == (self.file is None):
            raise ValueError("name exactly one of env (an environment variable) and file (a path)")
        if self.key is not None and self.file is None:
            raise ValueError("key goes with file: it names a value in it")
        return self

    def within(self, text: str) -> str:
        """The secret in the text of its file, without blanks around it; empty where it is not in it."""
        if self.key is None:
            return text.strip()
        try:
            found: object = json.loads(text)
        except (ValueError, RecursionError):
            return ""
        for part in self.key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return found.strip() if isinstance(found, str) else ""


class Tls(Value):
    ca_file: str | None = None
    fingerprint: Fingerprint | None = None
    insecure: bool = False
    client_certificate_file: str | None = None
    client_key_file: str | None = None
    """What a proxy before Proxmox may ask for, beside the credentials."""

    @model_validator(mode="after")
    def _one(self) -> "Tls":
        if sum((self.ca_file is not None, self.fingerprint is not None, self.insecure)) > 1:
            raise ValueError("name only one of caFile, fingerprint and insecure")
        if self.client_key_file is not None and self.client_certificate_file is None:
            raise ValueError("clientKeyFile goes with clientCertificateFile")
        return self


class Credentials(Value):
    """An API token, or a user with a password (a ticket), or a file with one line `user@realm!token=secret`."""

    token_id: TokenId | None = Field(default=None, alias="tokenID")
    token_secret: SecretSource | None = None
    username: UserName | None = None
    password: SecretSource | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Credentials":
        token, user = self.token_id or self.token_secret, self.username or self.password
        if sum(bool(way) for way in (token, user, self.file)) != 1:
            raise ValueError("name one way in: tokenID with tokenSecret, username with password, or file")
        if token and not (self.token_id and self.token_secret):
            raise ValueError("tokenID and tokenSecret go together")
        if user and not (self.username and self.password):
            raise ValueError("username and password go together")
        return self


class ClusterDefaults(Value):
    storage: Plain | None = None
    bridge: Plain | None = None
    template: Plain | None = None
    node: Plain | None = None


class VmidRange(Value):
    """The pool that left-out vmids are taken from, both ends included."""

    first: VMID = Field(default=10_000, alias="from")
    last: VMID = Field(default=99_999, alias="to")

    @model_validator(mode="after")
    def _ordered(self) -> "VmidRange":
        if self.first > self.last:
            raise ValueError(f"from ({self.first}) is above to ({self.last})")
        return self


class NodeSsh(Value):
    """SSH to the nodes: `pct exec` for containers without a network and, with `jump`, the way to guests' addresses.

    `hosts` gives a node's address, with its port where it has one of its own; a node that is not named there is reached
    at the only endpoint's host, else by its name. `keyFile` left out is the key that Innkeeper holds for the cluster;
    `knownHosts` left out records each node's key at first sight.
    """

    user: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_.-]*$")] = "root"
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    key_file: str | None = None
    known_hosts: str | None = None
    hosts: dict[Plain, NodeAddress] = {}
    jump: bool = False


class ClusterSpec(Value):
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1)]
    tls: Tls = Tls()
    credentials: Credentials
    defaults: ClusterDefaults = ClusterDefaults()
    vmids: VmidRange = VmidRange()
    ssh: NodeSsh | None = None


class AllowedRange(Value):
    """Limits of one field: quantities or numbers for `min` and `max`, or the list `oneOf`."""

    min: int | float | str | None = None
    max: int | float | str | None = None
    one_of: tuple[str | int | float | bool, ...] | None = None


class ProfileSpec(Value):
    """`defaults` is any part of a guest's spec; `allowed` maps a field (`cpu.cores`, `rootDisk.size`) to its limits.

    `defaultPackages` go to the role base, `defaultWebServer` to the role web. The last three are for whoever offers the
    profile to people: what may be asked for, and what is done once a guest is there.
    """

    description: str | None = None
    supported_kinds: tuple[GuestKind, ...] = ("Container", "VirtualMachine")
    defaults: dict[str, object] = {}
    allowed: dict[str, AllowedRange] = {}
    configure: Configure | None = None
    health: tuple[Check, ...] | None = None
    default_packages: tuple[
        Annotated[
            str,
            StringConstraints(pattern=r"^[a-z0-9][a-z0-9+.-]+$"),
            Field(description="the name of a Debian package"),
        ],
        ...,
    ] = ()
    default_web_server: Literal["nginx", "apache"] | None = None
    allow_public_exposure: bool = False
    allow_domain: bool = False
    post_create_actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """The identity of an object in a source: `Container/web`."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object was read from.

    `locate` gives the place of a dotted path (`spec.network.0.ip`), or of its nearest parent that stands in the file.
    It is asked only where something is to be said, so that ten thousand guests do not carry their places with them.
    """

    location: Location
    locate: Callable[[str], Location | None] | None = field(default=None, repr=False, compare=False)
    base: str | None = None
    """The directory that the object's relative paths begin at, where it is not the file's own."""

    @property
    def directory(self) -> str:
        """The directory that the object's relative paths begin at; the current one for the standard input."""
        if self.base is not None:
            return self.base
        head, slash, _ = self.location.file.rpartition("/")
        return head or slash or "."

    def at(self, path: str) -> Location:
        """The place of a field, else of its nearest known parent."""
        return (self.locate(path) if self.locate else None) or self.location


@dataclass(frozen=True, slots=True)
class Cluster:
    name: str
    spec: ClusterSpec
    origin: Origin


@dataclass(frozen=True, slots=True)
class Profile:
    name: str
    spec: ProfileSpec
    origin: Origin


@dataclass(frozen=True, slots=True)
class Guest:
    """A declared Container or VirtualMachine; its profile's defaults are filled in, the cluster's are not.

    `roles` are the directories of `spec.configure.roles`, in their order; `files` the texts of the files that their
    variables refer to, by the paths that stand there; `images` those that the spec's volumes are of.
    """

    ref: Ref
    spec: ContainerSpec | VirtualMachineSpec
    origin: Origin
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    roles: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    images: tuple[Image, ...] = ()

    @property
    def adopt(self) -> bool:
        return (ADOPT, "true") in self.annotations


@dataclass(frozen=True, slots=True)
class Declared:
    """Everything that one source declares."""

    clusters: tuple[Cluster, ...] = ()
    profiles: tuple[Profile, ...] = ()
    guests: tuple[Guest, ...] = ()
