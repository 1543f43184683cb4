"""The published metrics. The gauge of machines is counted when it is asked for, so that it is never wrong."""

import re
from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from innkeeper.operator.board import Board
from innkeeper.operator.objects import MACHINES

_VARIABLE = re.compile(r"(?<=/nodes/)[^/]+|(?<=/)\d+(?=/|$)|(?<=/tasks/)[^/]+")


class Metrics:
    """All metrics of one operator, in a registry of their own."""

    def __init__(self, board: Board) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Machines(board))
        self.reconciliation = Histogram(
            "proxmox_operator_reconciliation_duration_seconds",
            "Seconds from taking an object up to having told how it is",
            ["controller"],
            registry=self.registry,
        )
        self.requests = Counter(
            "proxmox_operator_api_requests_total",
            "Calls to the Proxmox API",
            ["method", "endpoint", "status"],
            registry=self.registry,
        )
        self.errors = Counter(
            "proxmox_operator_errors_total", "Errors by type", ["error_type", "controller"], registry=self.registry
        )
        self.nodes = Gauge(
            "proxmox_cluster_nodes_available", "Nodes that are online", ["cluster"], registry=self.registry
        )
        self.connection = Gauge(
            "proxmox_cluster_connection_status",
            "1 where the cluster can be reached, else 0",
            ["cluster"],
            registry=self.registry,
        )

    def request(self, method: str, path: str, status: int) -> None:
        """Count one call; nodes, vmids and task ids do not become labels."""
        self.requests.labels(method, _VARIABLE.sub("*", path.partition("?")[0]), str(status)).inc()


class _Machines(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "proxmox_operator_machines_total", "Machines by phase and node", labels=["phase", "node"]
        )
        counts = Count(
            (str(item.status.get("phase") or "Pending"), str(item.status.get("node") or ""))
            for item in self._board.of(MACHINES)
        )
        for labels, count in sorted(counts.items()):
            family.add_metric(labels, count)
        yield family
