"""Secrets of Kubernetes: read by name in the namespace of the object that names them, held in memory, never listed.

One Secret is nobody's to name: the operator's own, which holds its keys.
"""

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path

from innkeeper.configure.secrets.references import references
from innkeeper.configure.secrets.stores import Missing
from innkeeper.engine.errors import Stalled
from innkeeper.model.inside import SecretRef, SecretStore
from innkeeper.model.objects import Guest
from innkeeper.operator.kubernetes import Gone, Kubernetes

Place = tuple[str, str]
"""Namespace and name of a Secret."""


class SecretMissing(Stalled):
    """A Secret, or a key of it, is not there."""


class Secrets:
    """What was read last. `own` is the operator's Secret."""

    def __init__(self, kubernetes: Kubernetes, own: Place) -> None:
        self._kubernetes = kubernetes
        self._own = own
        self._known: dict[Place, Mapping[str, str] | None] = {}

    async def value(self, namespace: str, name: str, key: str) -> str:
        """One key as it is now, without blanks around it. SecretMissing where it is not there."""
        await self.read([(namespace, name)])
        return self._one(namespace, name, key).strip()

    async def read(self, places: Iterable[Place]) -> bool:
        """Read these; whether any of them is not as it was when it was read last."""
        changed = False
        for place in sorted(set(places)):
            found = await self._read(*place)
            changed |= self._known.get(place) != found
            self._known[place] = found
        return changed

    async def _read(self, namespace: str, name: str) -> Mapping[str, str] | None:
        if (namespace, name) == self._own:
            return None
        try:
            secret = await self._kubernetes.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        except Gone:
            return None
        return dict(secret.get("data") or {})

    def get(self, ref: SecretRef, stores: Mapping[str, SecretStore], directory: Path) -> str:
        """See SecretReader: `secretRef` of an object, whose directory begins with its namespace."""
        try:
            return self._one(directory.parts[0], ref.name, ref.key).rstrip("\n")
        except SecretMissing as error:
            raise Missing(error.message, error.advice) from None

    def _one(self, namespace: str, name: str, key: str) -> str:
        if (namespace, name) == self._own:
            raise SecretMissing(f"Secret {namespace}/{name} is the operator's own", "name another")
        found = self._known.get((namespace, name))
        if found is None:
            raise SecretMissing(f"Secret {namespace}/{name} does not exist", f"create it with the key {key}")
        if not found.get(key):
            raise SecretMissing(f"Secret {namespace}/{name} has no key {key}", "add the key")
        try:
            return base64.b64decode(found[key]).decode()
        except ValueError:
            raise SecretMissing(f"Secret {namespace}/{name}: {key} is not text", "put only the secret there") from None


def named_by(guest: Guest, namespace: str) -> set[Place]:
    """The Secrets that the variables of a guest's roles name."""
    calls = guest.spec.configure.roles if guest.spec.configure is not None else ()
    return {(namespace, ref.name) for call in calls for _, ref in references(dict(call.vars))}
