"""The way to one cluster, held open: opened anew where its object or a Secret changed, not tried when refused."""

import asyncio

from innkeeper.engine.errors import Conflict, EngineError, NotLetIn, Stalled, Uncertain, Waiting
from innkeeper.operator.access import Access, opened
from innkeeper.operator.board import Board
from innkeeper.operator.metrics import Metrics
from innkeeper.operator.objects import PROXMOX_CLUSTERS, Key
from innkeeper.operator.secrets import SecretMissing, Secrets
from innkeeper.operator.ways import Way, way


class NoCluster(SecretMissing):
    """There is no object that leads to this cluster."""


_REASONS: tuple[tuple[type[EngineError], str], ...] = (
    (NotLetIn, "AuthenticationFailed"),
    (NoCluster, "ClusterNotFound"),
    (SecretMissing, "SecretNotFound"),
    (Stalled, "ClusterRefused"),
    (Waiting, "ClusterUnreachable"),
    (Uncertain, "ClusterUnreachable"),
    (Conflict, "ClusterUnreachable"),
)


def reason_of(error: EngineError) -> str:
    """The reason of `Ready=False`, never empty."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "ClusterUnreachable")


class Connection:
    """One cluster's; `access` is the one in use."""

    def __init__(self, key: Key, board: Board, secrets: Secrets, metrics: Metrics) -> None:
        self.access: Access | None = None
        self._key = key
        self._board = board
        self._secrets = secrets
        self._metrics = metrics
        self._refused: tuple[str, EngineError] | None = None
        """The digest of credentials that were refused, and how."""
        self._old: list[Access] = []
        self._turn = asyncio.Lock()

    async def connected(self) -> Access:
        """The access in use."""
        async with self._turn:
            if self.access is not None and self._refused is None:
                return self.access
            return await self._renew()

    async def renewed(self) -> tuple[Access, bool]:
        """The access as the object and its Secrets are now, and whether it is another one than before."""
        async with self._turn:
            before = self.access
            access = await self._renew()
            return access, access is not before

    def refuse(self, error: EngineError) -> None:
        """These credentials are not let in: nothing is asked with them any more."""
        if isinstance(error, NotLetIn) and self.access is not None:
            self._refused = self._refused or (self.access.digest, error)

    async def close_old(self) -> None:
        """Nobody works over former ones any more."""
        while self._old:
            await self._old.pop().close()

    async def close(self) -> None:
        await self.close_old()
        if self.access is not None:
            await self.access.close()

    async def _renew(self) -> Access:
        found = await self._way()
        if self._refused is not None:
            if self._refused[0] == found.digest:
                raise self._refused[1]
            self._refused = None
        if self.access is None or self.access.digest != found.digest:
            if self.access is not None:
                self._old.append(self.access)
            self.access = None
            self.access = opened(found)
            self.access.hypervisor.session.heard = self._metrics.request
        return self.access

    async def _way(self) -> Way:
        item = self._board.get(self._key)
        if item is not None:
            return await way(self._secrets, item)
        if self._key.plural == PROXMOX_CLUSTERS:
            raise NoCluster(f"{self._key.told} does not exist", "create it, or name another in the label")
        what = f"neither a Cluster nor a ProxmoxCluster {self._key.namespace}/{self._key.name} exists"
        raise NoCluster(what, "create one, or name another in spec.cluster")
