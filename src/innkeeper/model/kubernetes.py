"""What our own kinds say as objects of Kubernetes, where that differs from a file: their secrets, and their status.

A file names environment variables and files of the machine that reads it. Who writes an object must learn nothing of
the operator's machine, so an object names Secrets of its own namespace, and public certificates stand in it as text.
"""

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from innkeeper.model.base import Plain, Value
from innkeeper.model.objects import ClusterDefaults, Endpoint, Fingerprint, NodeAddress, TokenId, UserName, VmidRange
from innkeeper.model.status import Health, Sync
from innkeeper.model.vitistack import FromSecret, StatusCondition

_Pem = Annotated[str, StringConstraints(pattern="^\\s*-----BEGIN "), Field(description="certificates in PEM form")]
_Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class ClusterTls(Value):
    """Whom to believe: one of caCertificate, fingerprint and insecure; and what a proxy before Proxmox may ask for."""

    ca_certificate: _Pem | None = None
    fingerprint: Fingerprint | None = None
    insecure: bool = False
    client_certificate: _Pem | None = None
    client_key: FromSecret | None = None

    @model_validator(mode="after")
    def _one(self) -> "ClusterTls":
        if sum((self.ca_certificate is not None, self.fingerprint is not None, self.insecure)) > 1:
            raise ValueError("name only one of caCertificate, fingerprint and insecure")
        if (self.client_key is None) != (self.client_certificate is None):
            raise ValueError("clientCertificate and clientKey go together")
        return self


class ClusterCredentials(Value):
    """An API token, or a user with a password; the secret is a key of a Secret."""

    token_id: TokenId | None = Field(default=None, alias="tokenID")
    token_secret: FromSecret | None = None
    username: UserName | None = None
    password: FromSecret | None = None

    @model_validator(mode="after")
    def _one(self) -> "ClusterCredentials":
        token, user = (self.token_id, self.token_secret), (self.username, self.password)
        if not (all(token) and not any(user)) and not (all(user) and not any(token)):
            raise ValueError("name tokenID with tokenSecret, or username with password")
        return self


class ClusterSsh(Value):
    """As `ssh` of a file; `key` left out is the key that the operator holds for the cluster."""

    user: Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_.-]*$")] = "root"
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    key: FromSecret | None = None
    known_hosts: Annotated[str, StringConstraints(min_length=1), Field(description="lines for known_hosts")] | None = (
        None
    )
    hosts: dict[Plain, NodeAddress] = {}
    jump: bool = False


class ClusterObjectSpec(Value):
    """A way to a Proxmox cluster, as an object."""

    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1)]
    tls: ClusterTls = ClusterTls()
    credentials: ClusterCredentials
    defaults: ClusterDefaults = ClusterDefaults()
    vmids: VmidRange = VmidRange()
    ssh: ClusterSsh | None = None


class GuestObjectStatus(Value):
    """The two axes of a Container or VirtualMachine, and where it is."""

    sync: Sync | None = None
    health: Health | None = None
    vmid: int | None = None
    node: str | None = None
    ip_addresses: tuple[str, ...] | None = None
    last_updated: _Moment | None = None
    conditions: tuple[StatusCondition, ...] | None = None


class ApplicationGuest(Value):
    """One environment's guest: the Container of this name."""

    name: str
    environment: str | None = None
    sync: Sync | None = None
    health: Health | None = None
    vmid: int | None = None
    node: str | None = None
    reason: Annotated[str, Field(description="the reason of its condition Ready")] | None = None


class ApplicationStatus(Value):
    """`ready` counts: `2/3`. Sync and health are those of the guest that is worst off."""

    ready: str | None = None
    sync: Sync | None = None
    health: Health | None = None
    guests: tuple[ApplicationGuest, ...] | None = None
    last_updated: _Moment | None = None
    conditions: tuple[StatusCondition, ...] | None = None
