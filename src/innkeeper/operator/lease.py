"""One leader among several replicas, by a Lease of `coordination.k8s.io`.

The rule is client-go's: whoever sees the Lease unchanged for its whole duration, by its own clock, may take it; a
leader that could not renew for two thirds of it stops working before anybody else can begin.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

from innkeeper.engine.errors import Conflict, EngineError
from innkeeper.operator.kubernetes import Gone, Kubernetes

_logger = logging.getLogger("innkeeper.operator")


class Lease:
    """`identity` names this replica; `duration` in seconds."""

    def __init__(self, kubernetes: Kubernetes, namespace: str, identity: str, duration: float = 15.0) -> None:
        self.identity = identity
        self._kubernetes = kubernetes
        self._list = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._list}/innkeeper-operator"
        self._duration = duration
        self._seen: tuple[object, object] = (None, None)
        self._seen_at = 0.0
        self._body: dict[str, Any] = {}

    async def acquire(self) -> None:
        """Returns once this replica leads."""
        told = ""
        while True:
            try:
                if await self._try():
                    _logger.info("leading identity=%s", self.identity)
                    return
                told = ""
            except EngineError as error:
                if str(error) != told:
                    _logger.warning("lease cannot be taken error=%s", error)
                told = str(error)
            await asyncio.sleep(self._duration / 8)

    async def hold(self) -> None:
        """Renews; returns when the lease is lost, or may be."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while loop.time() - renewed < self._duration * 2 / 3:
            await asyncio.sleep(self._duration / 6)
            begun = loop.time()
            try:
                async with asyncio.timeout(self._duration / 3):
                    if not await self._try():
                        break
                renewed = begun
            except (EngineError, TimeoutError) as error:
                _logger.warning("lease not renewed error=%s", error)
        _logger.warning("lease lost identity=%s", self.identity)

    async def release(self) -> None:
        """Let another replica take over at once; nothing where another one has."""
        try:
            if (self._body.get("spec") or {}).get("holderIdentity") == self.identity:
                await self._write(self._body, holder="")
        except EngineError as error:
            _logger.warning("lease not released error=%s", error)

    async def _try(self) -> bool:
        """Take or renew; whether the lease is ours now."""
        now = asyncio.get_running_loop().time()
        try:
            body = await self._kubernetes.get(self._path)
        except Gone:
            body = {}
        spec = body.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        seen = (holder, spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        if holder not in ("", self.identity) and now - self._seen_at < self._duration:
            return False
        try:
            await self._write(body, holder=self.identity)
        except Conflict:
            return False
        return True

    async def _write(self, body: dict[str, Any], holder: str) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = body.get("spec") or {}
        new = old.get("holderIdentity") != holder
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "acquireTime": moment if new else old.get("acquireTime", moment),
            "renewTime": moment,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (1 if new and holder else 0),
        }
        if body:
            self._body = await self._kubernetes.replace(self._path, {**body, "spec": spec})
        else:
            meta = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "innkeeper-operator"}}
            self._body = await self._kubernetes.create(self._list, {**meta, "spec": spec})
