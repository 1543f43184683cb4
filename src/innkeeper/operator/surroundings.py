"""What is told of a cluster itself and of its nodes, beside its guests."""

import contextlib

from innkeeper.engine.errors import EngineError
from innkeeper.model.observed import ClusterView
from innkeeper.model.status import Condition
from innkeeper.operator import reports
from innkeeper.operator.board import Board
from innkeeper.operator.capacity import cluster_fields, node_fields
from innkeeper.operator.connection import reason_of
from innkeeper.operator.metrics import Metrics
from innkeeper.operator.objects import Key, cluster_word
from innkeeper.operator.writer import Writer, now

_GOOD = Condition("Ready", "True", "Connected", "Proxmox answers")


class Surroundings:
    """One cluster's object, and the ProxmoxNodes that name it."""

    def __init__(self, key: Key, board: Board, writer: Writer, metrics: Metrics) -> None:
        self._key = key
        self._board = board
        self._writer = writer
        self._connection = metrics.connection.labels(cluster_word(key))
        self._nodes = metrics.nodes.labels(cluster_word(key))

    async def told(self, error: EngineError | None) -> None:
        """Whether it answers, and why not."""
        self._connection.set(0 if error else 1)
        item = self._board.get(self._key)
        if item is None:
            return
        told = reports.ready(reason_of(error), str(error)) if error else _GOOD
        with contextlib.suppress(EngineError):
            await self._writer.tell_of(item, {"ready": error is None, "lastHealthCheck": now()}, told)

    async def seen(self, view: ClusterView) -> None:
        """What a look for guests also showed: the cluster's version and nodes, each ProxmoxNode's resources."""
        self._nodes.set(sum(node.online for node in view.nodes.values()))
        with contextlib.suppress(EngineError):
            if (item := self._board.get(self._key)) is not None:
                await self._writer.tell_of(item, {**item.status, **cluster_fields(view)}, _GOOD)
            for node in self._board.nodes(self._key):
                fields, told = node_fields(node, view)
                await self._writer.tell_of(node, fields, told)
