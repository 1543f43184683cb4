"""What the operator holds to get into guests, in one Secret of its own: it is the same for every replica and restart.

In it are, as in Innkeeper's data directory: an SSH key for each cluster, the host keys of guests since first sight, and
the key that secrets are hashed with. While an operator leads they lie in a private directory, because ssh reads files.
"""

import asyncio
import base64
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from innkeeper.engine.errors import Conflict, EngineError, Stalled
from innkeeper.operator.kubernetes import Gone, Kubernetes

NAME = "innkeeper-operator-keys"
_SLASH = "__"
"""Stands for a slash in the keys of the Secret; no name of Kubernetes holds an underscore."""


class Keyring:
    """The Secret and its directory. What is made is saved before it is used: a key that is lost opens nothing."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, directory: Path) -> None:
        self.directory = directory
        self._kubernetes = kubernetes
        self._list = f"/api/v1/namespaces/{namespace}/secrets"
        self._where = f"Secret {namespace}/{NAME}"
        self._saved: Mapping[str, str] = {}
        self._version = ""
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Have what the Secret holds in the directory; nothing where it was read already."""
        async with self._turn:
            if not self._version:
                await self._load()

    async def save(self) -> None:
        """Write what is new to the Secret. Conflict where another replica wrote meanwhile: then its keys hold."""
        async with self._turn:
            found = await asyncio.to_thread(self._content)
            changed: dict[str, str | None] = {
                name: text for name, text in found.items() if self._saved.get(name) != text
            }
            changed |= {name: None for name in self._saved if name not in found}
            if not changed:
                return
            body = {"metadata": {"resourceVersion": self._version}, "data": changed}
            try:
                answer = await self._kubernetes.patch(f"{self._list}/{NAME}", body)
            except Conflict:
                await self._load()
                raise
            except EngineError as error:
                raise self._refused("written", error) from None
            self._saved, self._version = found, answer["metadata"]["resourceVersion"]

    async def _load(self) -> None:
        try:
            secret = await self._found()
        except EngineError as error:
            raise self._refused("read", error) from None
        self._saved, self._version = dict(secret.get("data") or {}), secret["metadata"]["resourceVersion"]
        await asyncio.to_thread(self._lay, self._saved)

    async def _found(self) -> dict[str, Any]:
        try:
            return await self._kubernetes.get(f"{self._list}/{NAME}")
        except Gone:
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME}, "type": "Opaque"}
            return await self._kubernetes.create(self._list, body)

    def _refused(self, done: str, error: EngineError) -> EngineError:
        if not isinstance(error, Stalled):
            return error
        advice = "apply the operator's own manifests, which hold that Secret, empty, and the right to write it"
        return Stalled(f"{self._where}, which holds the keys to guests, cannot be {done}: {error.message}", advice)

    def _content(self) -> dict[str, str]:
        """The files that are worth keeping, by their keys in the Secret."""
        return {
            _SLASH.join(path.relative_to(self.directory).parts): base64.b64encode(path.read_bytes()).decode()
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and not path.name.startswith(".") and not _is_lock(path)
        }

    def _lay(self, data: Mapping[str, str]) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(mode=0o700)
        for name, text in data.items():
            path = self.directory.joinpath(*name.split(_SLASH))
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(base64.b64decode(text))


def _is_lock(path: Path) -> bool:
    return path.parent.name == "locks" and path.name.startswith("guest-")
