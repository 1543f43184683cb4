"""The spec of Application: one project in several environments, each of which is a container."""

from typing import Annotated

from pydantic import Field, StringConstraints

from innkeeper.model.base import Name, Value
from innkeeper.model.guests import Address4, ContainerSpec, Gateway4
from innkeeper.model.inside import Port, SecretRef

PROJECT = "innkeeper.dev/project"
ENVIRONMENT = "innkeeper.dev/environment"
"""The labels that a guest made from an Application carries."""

Branch = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/+@-]*$"),
    Field(description="the name of a branch such as main"),
]
Variable = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    Field(description="an environment variable: letters, digits, _"),
]


class SecretValue(Value):
    """A secret in place of a value."""

    secret_ref: SecretRef


EnvironmentVariables = dict[Variable, str | int | float | bool | SecretValue]


class Repository(Value):
    """What is deployed; `key` is a private SSH key, `knownHosts` lines about its server's host key."""

    url: Annotated[str, StringConstraints(min_length=1)]
    key: SecretValue | None = None
    known_hosts: str | None = None


class Ports(Value):
    """`backend` and `frontend` of a Node.js application (role app_setup), `app` of a Python one (python_app)."""

    backend: Port | None = None
    frontend: Port | None = None
    app: Port | None = None


class Environment(ContainerSpec):
    """One environment: a container, in the words of Container, with what differs from the application's."""

    name: Name | None = None
    ip: Address4 | None = None
    gateway: Gateway4 | None = None
    branch: Branch | None = None
    env: EnvironmentVariables = {}
    ports: Ports | None = None


class ApplicationSpec(ContainerSpec):
    """What all environments share, in the words of Container; each field may be given again in an environment."""

    repository: Repository | None = None
    branch: Branch | None = None
    env: EnvironmentVariables = {}
    ports: Ports | None = None
    environments: Annotated[dict[Name, Environment], Field(min_length=1)]
