"""From a ProxmoxCluster or a Cluster to the way to Proxmox that it describes, with the secrets that it names."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from innkeeper.engine.errors import Stalled
from innkeeper.model.kubernetes import ClusterObjectSpec
from innkeeper.model.vitistack import ASSIGNED, FromSecret, ProxmoxClusterSpec
from innkeeper.operator.objects import PROXMOX_CLUSTERS, Object, cluster_word
from innkeeper.operator.placing import Allowed
from innkeeper.operator.secrets import Secrets

Spec = TypeVar("Spec", bound=BaseModel)
_CA, _CERTIFICATE, _KEY, _SSH_KEY, _KNOWN_HOSTS = "ca.pem", "client.pem", "client.key", "ssh.key", "known_hosts"


@dataclass(frozen=True, slots=True, repr=False)
class Way:
    """What is needed to open an Access; comparing `digest` tells whether anything changed.

    `spec` is a Cluster's as in a file. It names `files` (by name, with their text) of a directory that is still to be
    made, and `secrets` as environment variables.
    """

    name: str
    told: str
    spec: Mapping[str, Any]
    secrets: Mapping[str, str]
    digest: str
    files: Mapping[str, str] = field(default_factory=dict)
    allowed: Allowed = field(default_factory=Allowed)


async def way(secrets: Secrets, item: Object) -> Way:
    """Read the object and its Secrets. Stalled for a spec that is wrong, SecretMissing for a missing Secret."""
    if item.key.plural == PROXMOX_CLUSTERS:
        return await _published(secrets, item)
    return await _native(secrets, item)


async def _published(secrets: Secrets, item: Object) -> Way:
    spec = _valid(ProxmoxClusterSpec, item)
    values = {
        name: source if isinstance(source, str) else await _value(secrets, item, source)
        for name, source in spec.credentials
        if source is not None
    }
    credentials: dict[str, Any] = (
        {"tokenID": _token(values), "tokenSecret": {"env": "token_secret"}}
        if "token_id" in values
        else {"username": _with_realm(values["username"]), "password": {"env": "password"}}
    )
    tls: dict[str, Any] = {"insecure": True} if spec.insecure_skip_tls_verify else {}
    files: dict[str, str] = {}
    if spec.ca_certificate and not spec.insecure_skip_tls_verify:
        tls["caFile"], files[_CA] = _CA, spec.ca_certificate
    if spec.client_certificate:
        tls["clientCertificateFile"], files[_CERTIFICATE] = _CERTIFICATE, spec.client_certificate
    if spec.client_certificate and spec.client_key:
        tls["clientKeyFile"], files[_KEY] = _KEY, spec.client_key
    defaults = {
        name: allowed[0] for name, allowed in (("storage", spec.storages), ("bridge", spec.networks)) if allowed
    }
    endpoint = spec.endpoint.removesuffix("/").removesuffix("/api2/json")
    body = {"endpoints": [endpoint], "credentials": credentials, "tls": tls, "defaults": defaults}
    body["vmids"] = dict(zip(("from", "to"), ASSIGNED, strict=True))
    allowed = Allowed(frozenset(spec.nodes), frozenset(spec.storages), frozenset(spec.networks))
    return _way(item, body, values, files, allowed)


async def _native(secrets: Secrets, item: Object) -> Way:
    spec = _valid(ClusterObjectSpec, item)
    body: dict[str, Any] = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    given, files, values = spec.credentials, dict[str, str](), dict[str, str]()
    for name, source in (("tokenSecret", given.token_secret), ("password", given.password)):
        if source is not None:
            values[name] = await _value(secrets, item, source)
            body["credentials"][name] = {"env": name}
    tls = {key: value for key, value in body.get("tls", {}).items() if key in ("fingerprint", "insecure")}
    if spec.tls.ca_certificate is not None:
        tls["caFile"], files[_CA] = _CA, spec.tls.ca_certificate
    if spec.tls.client_certificate is not None and spec.tls.client_key is not None:
        tls |= {"clientCertificateFile": _CERTIFICATE, "clientKeyFile": _KEY}
        files |= {_CERTIFICATE: spec.tls.client_certificate, _KEY: await _value(secrets, item, spec.tls.client_key)}
    body["tls"] = tls
    if spec.ssh is not None:
        ssh = {key: value for key, value in body["ssh"].items() if key not in ("key", "knownHosts")}
        if spec.ssh.key is not None:
            ssh["keyFile"], files[_SSH_KEY] = _SSH_KEY, await _value(secrets, item, spec.ssh.key) + "\n"
        if spec.ssh.known_hosts is not None:
            ssh["knownHosts"], files[_KNOWN_HOSTS] = _KNOWN_HOSTS, spec.ssh.known_hosts.rstrip("\n") + "\n"
        body["ssh"] = ssh
    return _way(item, body, values, files, Allowed())


def _way(
    item: Object, body: Mapping[str, Any], values: Mapping[str, str], files: Mapping[str, str], allowed: Allowed
) -> Way:
    whole = json.dumps([item.spec, values, files], sort_keys=True)
    digest = hashlib.sha256(whole.encode()).hexdigest()
    return Way(cluster_word(item.key), item.key.told, body, values, digest, files, allowed)


def _valid(model: type[Spec], item: Object) -> Spec:
    try:
        return model.model_validate_json(json.dumps(item.spec))
    except ValidationError as error:
        said = "; ".join(
            f"spec.{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors(include_input=False)
        )
        raise Stalled(f"{item.key.told}: {said}") from None


async def _value(secrets: Secrets, item: Object, source: FromSecret) -> str:
    return await secrets.value(item.key.namespace, source.secret_ref.name, source.secret_ref.key)


def _token(values: Mapping[str, str]) -> str:
    """`user@realm!name`, whole or in two parts."""
    token = values["token_id"]
    return token if "!" in token or "username" not in values else f"{_with_realm(values['username'])}!{token}"


def _with_realm(username: str) -> str:
    return username if "@" in username else f"{username}@pam"
