"""The way to one Proxmox cluster as its ProxmoxCluster describes it: what it allows, and credentials from Secrets.

A secret's value is held in memory and nowhere else. Certificates go to files of a private directory, because the TLS
library reads files.
"""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from innkeeper.engine.errors import Stalled
from innkeeper.model.diagnostics import Location
from innkeeper.model.objects import Cluster, ClusterSpec, Origin
from innkeeper.model.vitistack import FromSecret, ProxmoxClusterSpec
from innkeeper.operator.kubernetes import Gone, Kubernetes
from innkeeper.operator.objects import Object
from innkeeper.operator.placing import Allowed
from innkeeper.proxmox.hypervisor import Proxmox


class Missing(Stalled):
    """A Secret, or a key of it, is not there."""


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """`digest` changes with the credentials and with the object's spec; `folder` holds the certificates."""

    cluster: Cluster
    allowed: Allowed
    digest: str
    hypervisor: Proxmox
    folder: TemporaryDirectory[str]

    async def close(self) -> None:
        await self.hypervisor.close()
        self.folder.cleanup()


@dataclass(frozen=True, slots=True, repr=False)
class Way:
    """What is needed to open an Access; comparing `digest` tells whether anything changed."""

    name: str
    spec: ProxmoxClusterSpec
    secrets: dict[str, str]
    digest: str


async def way(kubernetes: Kubernetes, item: Object) -> Way:
    """Read the object and its Secrets. Stalled for a spec that is wrong, Missing for a Secret that is not there."""
    try:
        spec = ProxmoxClusterSpec.model_validate_json(json.dumps(item.spec))
    except ValidationError as error:
        said = "; ".join(f"spec.{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors())
        raise Stalled(f"ProxmoxCluster {item.key.namespace}/{item.key.name}: {said}") from None
    secrets: dict[str, str] = {}
    for field, source in spec.credentials:
        if isinstance(source, FromSecret):
            secrets[field] = await _value(kubernetes, item.key.namespace, source)
        elif source is not None:
            secrets[field] = source
    body = json.dumps([item.spec, secrets], sort_keys=True)
    name = f"{item.key.namespace}/{item.key.name}"
    return Way(name, spec, secrets, hashlib.sha256(body.encode()).hexdigest())


async def _value(kubernetes: Kubernetes, namespace: str, source: FromSecret) -> str:
    ref = source.secret_ref
    try:
        secret = await kubernetes.get(f"/api/v1/namespaces/{namespace}/secrets/{ref.name}")
    except Gone:
        secret = None
    if secret is None:
        raise Missing(f"Secret {namespace}/{ref.name} does not exist", f"create it with the key {ref.key}")
    data = (secret.get("data") or {}).get(ref.key)
    if data is None:
        raise Missing(f"Secret {namespace}/{ref.name} has no key {ref.key}", "add the key")
    try:
        return base64.b64decode(data).decode().strip()
    except ValueError:
        raise Missing(f"Secret {namespace}/{ref.name}: {ref.key} is not text", "put only the secret there") from None


def opened(found: Way) -> Access:
    """The access that a way describes; no call is made yet."""
    folder = TemporaryDirectory(prefix="innkeeper-")
    spec, secrets = found.spec, found.secrets
    credentials: dict[str, Any] = (
        {"tokenID": _token(secrets), "tokenSecret": {"env": "token_secret"}}
        if "token_id" in secrets
        else {"username": _with_realm(secrets["username"]), "password": {"env": "password"}}
    )
    endpoint = spec.endpoint.removesuffix("/").removesuffix("/api2/json")
    body: dict[str, Any] = {"endpoints": (endpoint,), "credentials": credentials, "tls": _tls(spec, Path(folder.name))}
    defaults = {
        name: allowed[0] for name, allowed in (("storage", spec.storages), ("bridge", spec.networks)) if allowed
    }
    try:
        cluster = Cluster(
            found.name, ClusterSpec.model_validate({**body, "defaults": defaults}), Origin(Location(found.name))
        )
        hypervisor = Proxmox(cluster, Path(folder.name), secrets)
    except ValidationError as error:
        folder.cleanup()
        said = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False)
        )
        raise Stalled(f"ProxmoxCluster {found.name}: {said}") from None
    allowed = Allowed(frozenset(spec.nodes), frozenset(spec.storages), frozenset(spec.networks))
    return Access(cluster, allowed, found.digest, hypervisor, folder)


def _token(secrets: dict[str, str]) -> str:
    """`user@realm!name`, whole or in two parts."""
    token = secrets["token_id"]
    return token if "!" in token or "username" not in secrets else f"{_with_realm(secrets['username'])}!{token}"


def _with_realm(username: str) -> str:
    return username if "@" in username else f"{username}@pam"


def _tls(spec: ProxmoxClusterSpec, folder: Path) -> dict[str, object]:
    tls: dict[str, object] = {}
    if spec.insecure_skip_tls_verify:
        tls["insecure"] = True
    elif spec.ca_certificate:
        tls["caFile"] = _written(folder / "ca.pem", spec.ca_certificate)
    if spec.client_certificate:
        tls["clientCertificateFile"] = _written(folder / "client.pem", spec.client_certificate)
    if spec.client_certificate and spec.client_key:
        tls["clientKeyFile"] = _written(folder / "client.key", spec.client_key)
    return tls


def _written(path: Path, pem: str) -> str:
    """A file that only we can read; PEM, or PEM in base64 as Kubernetes likes to have it."""
    text = pem if "-----BEGIN" in pem else base64.b64decode(pem).decode()
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)
