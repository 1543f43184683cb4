"""`/metrics`: what there is, counted from the store when it is asked for; what happened, heard on the bus.

The first six names are those that operators of Proxmox know already; the rest is about sources, drift, jobs and what
Innkeeper itself asks of each node.
"""

import re
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from innkeeper.control.memory import GuestTally, Store
from innkeeper.control.ports import Bus
from innkeeper.engine.errors import EngineError
from innkeeper.model.jobs import ENDED, Job
from innkeeper.model.plan import Json

_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)
_VARIABLE = re.compile(
    r"(?<=/(?:nodes|tasks|pools)/)[^/]+|(?<=/(?:storage|content)/)[^/]+|(?<=/snapshot/)[^/]+|(?<=/)\d+(?=/|$)"
)
"""What a path of the Proxmox API holds beside its method's name."""
_PHASES: Mapping[str, str] = {
    "Degraded": "Error",
    "Missing": "Pending",
    "Progressing": "Creating",
    "Suspended": "Stopped",
}


Values = Mapping[tuple[str, ...], float]


class Metrics:
    """One server's, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls: dict[tuple[str, str, str], int] = {}
        self.registry.register(_Calls(self._calls))
        self._reconciled = Histogram(
            "proxmox_operator_reconciliation_duration_seconds",
            "Seconds that a job worked, by its type",
            ["controller"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._errors = Counter(
            "proxmox_operator_errors_total", "Jobs that failed", ["error_type", "controller"], registry=self.registry
        )
        self._nodes = Gauge(
            "proxmox_cluster_nodes_available", "Nodes that are online", ["cluster"], registry=self.registry
        )
        self._connected = Gauge(
            "proxmox_cluster_connection_status",
            "1 where the cluster answers, else 0",
            ["cluster"],
            registry=self.registry,
        )
        self._requests = Counter(
            "proxmox_operator_api_requests_total",
            "Answers of the Proxmox API",
            ["method", "endpoint", "status"],
            registry=self.registry,
        )
        self._jobs = Counter(
            "innkeeper_jobs_total", "Jobs that ended", ["type", "state", "source"], registry=self.registry
        )

    def answered(self, method: str, path: str, status: int) -> None:
        """Count one answer, from any thread; names of nodes, guests, tasks and volumes do not become labels."""
        self._requests.labels(method, _VARIABLE.sub("*", path.partition("?")[0]), str(status)).inc()

    async def watch(self, bus: Bus, store: Store) -> None:
        """Until cancelled."""
        async for topic, body in bus.listen("job", "cluster"):
            if topic == "cluster":
                self._cluster(body)
            elif topic == "job" and body.get("state") in ENDED:
                with suppress(EngineError):  # a database that is away now; the log and /readyz tell of it
                    job = await store.job(int(str(body["id"])))
                    if job is not None:
                        self._ended(job, str(body.get("error") or "Failed"))

    def _cluster(self, body: Mapping[str, Json]) -> None:
        name = str(body["name"])
        self._connected.labels(name).set(1 if body.get("connected") else 0)
        self._nodes.labels(name).set(float(str(body.get("nodes") or 0)))
        calls = body.get("calls")
        for node, load in calls.items() if isinstance(calls, dict) else ():
            for kind, count in load.items() if isinstance(load, dict) else ():
                self._calls[(name, node, kind)] = int(str(count))

    def _ended(self, job: Job, error: str) -> None:
        wish = job.request
        self._jobs.labels(wish.type, job.state, wish.source).inc()
        if job.started_at is not None and job.finished_at is not None:
            self._reconciled.labels(wish.type).observe((job.finished_at - job.started_at).total_seconds())
        if job.state == "failed":
            self._errors.labels(error, wish.type).inc()

    async def text(self, store: Store, sources: Iterable[str], now: datetime) -> bytes:
        """In Prometheus' own format."""
        counted = CollectorRegistry()
        counted.register(_Fixed([*_guests(await store.tally()), *await _control(store, sources, now)]))
        return generate_latest(self.registry) + generate_latest(counted)


class _Fixed(Collector):
    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = tuple(found)

    def collect(self) -> Iterable[Metric]:
        return self._found


class _Calls(Collector):
    """Totals that somebody else counts."""

    def __init__(self, calls: Mapping[tuple[str, str, str], int]) -> None:
        self._calls = calls

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(
            "innkeeper_node_api_calls_total",
            "Calls to each node's API by Innkeeper; node empty: the cluster's endpoint itself",
            labels=["cluster", "node", "kind"],
        )
        for labels, count in sorted(self._calls.items()):
            family.add_metric(labels, count)
        yield family


def _guests(tally: Iterable[GuestTally]) -> Iterable[Metric]:
    phases: Tally[tuple[str, ...]] = Tally()
    states: Tally[tuple[str, ...]] = Tally()
    for item in tally:
        phases[(_phase(item), item.node)] += item.count
        states[(item.cluster, item.sync, item.health)] += item.count
    yield _gauge("proxmox_operator_machines_total", "Guests by phase and node", ("phase", "node"), phases)
    yield _gauge("innkeeper_guests", "Guests by sync and health", ("cluster", "sync", "health"), states)


def _phase(item: GuestTally) -> str:
    if item.health in _PHASES:
        return _PHASES[item.health]
    return {"running": "Running", "stopped": "Stopped"}.get(item.power, "Pending")


async def _control(store: Store, sources: Iterable[str], now: datetime) -> Iterable[Metric]:
    counts = await store.counts()
    drifts: Values = Tally((item.source,) for item in await store.drifts() if item.ignored_until is None)
    behind: dict[tuple[str, ...], float] = {}
    failing: dict[tuple[str, ...], float] = {}
    ages: dict[tuple[str, ...], float] = {}
    for name in sources:
        record = await store.source(name)
        behind[(name,)] = float(bool(record.seen) and record.seen != record.synced)
        failing[(name,)] = float(bool(record.error))
        if record.fetched_at is not None:
            ages[(name,)] = max(0.0, (now - record.fetched_at).total_seconds())
    jobs: Values = {(state,): count for state, count in counts.jobs.items() if state not in ENDED}
    conditions: Values = {(name,): count for name, count in counts.conditions.items()}
    return (
        _gauge("innkeeper_drifts", "Fields that hands changed, by source", ("source",), drifts),
        _gauge("innkeeper_conditions", "Guests with a condition, by its type", ("type",), conditions),
        _gauge("innkeeper_queue_jobs", "Jobs that have not ended, by state", ("state",), jobs),
        _gauge("innkeeper_source_behind", "1 where a newer revision waits", ("source",), behind),
        _gauge("innkeeper_source_failing", "1 where it cannot be fetched or rendered", ("source",), failing),
        _gauge("innkeeper_source_age_seconds", "Since it was fetched last", ("source",), ages),
    )


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family
