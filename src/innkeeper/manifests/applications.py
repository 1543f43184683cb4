"""An Application taken apart: a container for each environment, with the roles that deploy it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from innkeeper.manifests.drafts import Draft, without_empty
from innkeeper.manifests.layers import Layer, Raw, merged
from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described, validate
from innkeeper.model.applications import ENVIRONMENT, PROJECT, ApplicationSpec
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Metadata, Ref

_OWN = frozenset({"repository", "branch", "env", "ports", "environments", "name", "ip", "gateway"})
"""Fields that a Container does not have."""
_ONE_GUEST_ONLY = ("vmid", "hostname")
_DEFAULT_ROLES = ("base", "base_os", "app_setup")
_PORTS = {
    "app_setup": {"backend": ("app_setup_backend_port", 3001), "frontend": ("app_setup_frontend_port", 3000)},
    "python_app": {"app": ("python_app_port", 8000)},
}
"""Roles that deploy an application: the ports that each has, by the variable that takes it, with its default."""


@dataclass(frozen=True, slots=True)
class Expanded:
    """One container of an application: its name, and the layers of its spec, the topmost first."""

    ref: Ref
    metadata: Metadata
    place: Location
    layers: tuple[Layer, ...]
    deployment: Mapping[str, object]
    """What the application says to the role that deploys it, by the variables' names without their prefix."""
    ports: Raw

    def deployed(self, named: tuple[Raw, ...]) -> Layer:
        """The roles (`named` ones, else the usual ones) with what the application itself says to them."""
        names = [str(call["role"]) for call in named] or list(_DEFAULT_ROLES)
        variables: dict[str, dict[str, object]] = {}
        opened: list[str] = []
        for role in (name for name in names if name in _PORTS):
            given = {variable: self.ports.get(port, default) for port, (variable, default) in _PORTS[role].items()}
            opened += map(str, given.values())
            variables[role] = given | {f"{role}_{name}": value for name, value in self.deployment.items()}
        if opened:
            variables["base_os"] = {"base_os_ports": tuple(opened)}
        calls = tuple({"role": name, "vars": variables.get(name, {})} for name in names)
        return Layer({"configure": {"roles": calls}}, self.layers[0].passage)


def expand(found: Draft) -> Iterator[Expanded | Diagnostic]:
    """The containers, and what is wrong. Where the Application itself is faulty, only that."""
    raw = without_empty(found.spec)
    spec = validate(ApplicationSpec, raw, "spec", found.origin)
    if isinstance(spec, tuple):
        yield from spec
        return
    for name in _ONE_GUEST_ONLY:
        if name in found.spec:
            advice = "Name it in each of the environments."
            yield finding("UnknownField", found.origin, f"spec.{name}", "no two guests can share this", advice)
    environments = found.spec["environments"]
    assert isinstance(environments, Mapping)
    for name, own in environments.items():
        yield _environment(found, name, own or {})


def _environment(found: Draft, name: str, own: Raw) -> Expanded | Diagnostic:
    project, place = found.ref.name, f"spec.environments.{name}"
    guest = own.get("name") or f"{project}-{name}"
    if not isinstance(guest, str) or len(guest) > 63:
        advice = "Give the environment a short name of its own: name."
        return finding("BadName", found.origin, place, f"{described(guest)} is longer than 63 characters", advice)
    above = Layer(_plain(own) | _network(own, found.spec), found.passage, place, _moved(place))
    below = Layer(_plain(found.spec), found.passage)
    labels = {**found.metadata.labels, PROJECT: project, ENVIRONMENT: name}
    metadata = found.metadata.model_copy(update={"name": guest, "labels": labels})
    ports = merged(_map(found.spec, "ports"), _map(own, "ports"))
    deployment = _deployment(found.spec, own, project, name)
    return Expanded(Ref("Container", guest), metadata, found.origin.at(place), (above, below), deployment, ports)


def _plain(raw: Raw) -> dict[str, object]:
    return {key: value for key, value in raw.items() if key not in _OWN}


def _moved(place: str) -> tuple[tuple[str, str], ...]:
    return (("network.0.ip", f"{place}.ip"), ("network.0.gateway", f"{place}.gateway"))


def _network(own: Raw, shared: Raw) -> dict[str, object]:
    """`ip` and `gateway` of an environment are its first interface's."""
    given = {key: own[key] for key in ("ip", "gateway") if own.get(key) is not None}
    nics = own.get("network") or shared.get("network") or ()
    if not given or not isinstance(nics, tuple):
        return {}
    first = nics[0] if nics and isinstance(nics[0], Mapping) else {}
    return {"network": ({**first, **given}, *nics[1:])}


def _deployment(shared: Raw, own: Raw, project: str, environment: str) -> dict[str, object]:
    repository = _map(shared, "repository")
    branch = own.get("branch") or shared.get("branch")
    values = {
        "name": project,
        "environment": environment,
        "repository": repository.get("url"),
        "key": repository.get("key"),
        "known_hosts": repository.get("knownHosts"),
        "branch": branch,
        "env": merged(_map(shared, "env"), _map(own, "env")),
    }
    return {name: value for name, value in values.items() if value}


def _map(raw: Raw, key: str) -> Raw:
    value = raw.get(key)
    return value if isinstance(value, Mapping) else {}
