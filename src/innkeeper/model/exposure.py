"""What the network must know of a guest: the name that it is reached by, and whether it is measured."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from innkeeper.model.base import Value
from innkeeper.model.inside import Port

MONITORING = "monitoring"
"""The tag of a guest that is measured."""
EXPORTER = "node_exporter"
"""The role that measures it, and the port that role answers at."""
EXPORTER_PORT = 9100

Domain = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+$", max_length=253
    ),
    Field(description="a domain name in lower case, such as www.example.org"),
]


class Expose(Value):
    """A service that others reach by `domain`; the address behind it is always the one that the guest really has.

    Services that are not `public` are reached from private networks only; `auth` asks the proxy's sign-in first;
    `headers` adds the usual security headers.
    """

    domain: Domain
    port: Port = 80
    scheme: Literal["http", "https"] = "http"
    public: bool = False
    auth: bool = False
    headers: bool = True
