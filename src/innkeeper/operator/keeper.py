"""Keeps the machines of one ProxmoxCluster: a queue of those that want work, a poll for what changed by itself.

Objects come in one by one, Proxmox is looked at for all of them together. A wave is planned alone and carried out
beside the next: a clone that takes minutes holds up nobody but itself.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from innkeeper.engine.errors import Conflict, EngineError, NotLetIn, Stalled, Uncertain, Waiting
from innkeeper.engine.ports import Event
from innkeeper.engine.reconcile import carry_out
from innkeeper.engine.result import StepResult
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Operation
from innkeeper.model.status import Condition
from innkeeper.operator import reports
from innkeeper.operator.access import Access, Missing, Way, opened, way
from innkeeper.operator.board import Board
from innkeeper.operator.capacity import cluster_fields, node_fields
from innkeeper.operator.kubernetes import Kubernetes
from innkeeper.operator.metrics import Metrics
from innkeeper.operator.objects import DELETION, POWER, Key, Object
from innkeeper.operator.queue import Queue, backoff
from innkeeper.operator.reports import Report
from innkeeper.operator.wave import Planner, Wave
from innkeeper.operator.writer import Writer, now
from innkeeper.planner import calls
from innkeeper.planner.pair import true_marker
from innkeeper.settings.marker import TAG

_logger = logging.getLogger("innkeeper.operator")

FULL_LOOK = 10
"""Polls after which every machine is looked at: drift that the list of guests does not show is found then."""
_REFUSED_SECONDS = 5.0
"""How often the Secret of refused credentials is read again. Proxmox is not asked in between."""
_AT_ONCE = 8
_REASONS: tuple[tuple[type[EngineError], str], ...] = (
    (NotLetIn, "AuthenticationFailed"),
    (Missing, "SecretNotFound"),
    (Stalled, "ClusterRefused"),
    (Waiting, "ClusterUnreachable"),
)
_Tell = Callable[[Key, Report], None]
_PASSES = frozenset({"Waiting", "Conflict", "Uncertain"})


@dataclass(frozen=True, slots=True)
class Tools:
    """What all keepers share. `source` is whose our guests are; `interval` in seconds."""

    board: Board
    kubernetes: Kubernetes
    writer: Writer
    metrics: Metrics
    source: str
    interval: float = 30.0
    at_once: int = 5


class Keeper:
    """One ProxmoxCluster."""

    def __init__(self, key: Key, tools: Tools) -> None:
        self.key = key
        self.queue = Queue()
        self._tools = tools
        self._planner = Planner(key, tools.board, tools.writer, tools.source)
        self._access: Access | None = None
        self._refused: tuple[str, EngineError] | None = None
        """The digest of credentials that were refused, and how."""
        self._old: list[Access] = []
        self._running = 0
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(tools.at_once)
        self._connecting = asyncio.Lock()

    def wake(self) -> None:
        """The ProxmoxCluster, a ProxmoxNode or something else of the surroundings changed."""
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                while True:
                    keys = await self.queue.take()
                    await self._slots.acquire()
                    begun = time.perf_counter()
                    wave = await self._plan(keys)
                    group.create_task(self._carry(keys, wave, begun))
        finally:
            for access in [*self._old, *([self._access] if self._access else [])]:
                await access.close()

    async def _plan(self, keys: Collection[Key]) -> tuple[Wave, Access] | None:
        try:
            access = await self._connected()
            wave = await self._planner.plan(keys, access)
        except EngineError as error:
            await self._fail(keys, error)
            return None
        except Exception:
            _logger.exception("plan failed cluster=%s", self.key)
            self._count("internal", "machine")
            for key in keys:
                self.queue.failed(key)
            return None
        await self._surroundings(wave.view)
        return wave, access

    async def _carry(self, keys: Collection[Key], planned: tuple[Wave, Access] | None, begun: float) -> None:
        """Do what was planned and tell what became of it. One machine's trouble is nobody else's."""
        self._running += 1
        try:
            if planned is not None:
                await self._do(keys, *planned)
        except EngineError as error:
            await self._fail(keys, error)
        except Exception:
            _logger.exception("wave failed cluster=%s", self.key)
            self._count("internal", "machine")
            for key in keys:
                self.queue.failed(key)
        finally:
            self._running -= 1
            self._slots.release()
            self.queue.done(keys)
            for _ in keys:
                self._tools.metrics.reconciliation.labels("machine").observe(time.perf_counter() - begun)
            if not self._running:
                while self._old:
                    await self._old.pop().close()

    async def _do(self, keys: Collection[Key], wave: Wave, access: Access) -> None:
        places = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:

            def tell(key: Key, report: Report) -> None:
                group.create_task(self._tell(key, report, places))

            for key, report in wave.reports.items():
                tell(key, report)
            if wave.prepared.plan.steps:
                await self._steps(wave, access, tell)
            for key, seen in wave.orphans.items():
                if await self._alone(key, "DeletionFailed", self._disown(seen, access), tell):
                    wave.gone.add(key)
            for key, seen in wave.guarded.items():
                await self._alone(key, "DeletionFailed", self._unguard(seen, access), tell)
                self.queue.add([key])
            for key in wave.gone:
                await self._alone(key, "DeletionFailed", self._let_go(key), tell)
            for key, seen in wave.same.items():
                await self._alone(key, "RestartFailed", self._same(key, seen, access, tell), tell)
        for key in wave.again:
            self.queue.failed(key)
        for key in set(keys) - wave.again - wave.gone:
            if key not in wave.reports or wave.reports[key].ready.status == "True":
                self.queue.succeeded(key)

    async def _steps(self, wave: Wave, access: Access, tell: _Tell) -> None:
        def listen(event: Event) -> None:
            if event.phase == "done" and event.step.action == "create":
                _logger.info("Successfully created VM machine=%s vmid=%s", event.ref.name, event.step.vmid)
                tell(wave.keys[event.ref], _made(event))

        clusters = {access.cluster.name: access.hypervisor}
        result = await carry_out(wave.prepared, clusters, listen, parallel=self._tools.at_once)
        for item in result.results:
            self._settle(wave.keys[item.step.ref], item, wave, tell)

    async def _alone(self, key: Key, reason: str, work: Awaitable[None], tell: _Tell) -> bool:
        """Work on one object whose failure is its own; whether it was done."""
        try:
            await work
        except EngineError as error:
            self.queue.failed(key)
            if not isinstance(error, Conflict):  # the object changed meanwhile: the next look has the news
                tell(key, reports.problem(reason, str(error), None))
            return False
        return True

    async def _let_go(self, key: Key) -> None:
        if item := self._tools.board.get(key):
            await self._tools.writer.let_go(item)
        self.queue.drop(key)

    def _settle(self, key: Key, item: StepResult, wave: Wave, tell: _Tell) -> None:
        """What a step's end means for its object."""
        step = item.step
        if item.state != "done":
            reason = {"create": "CreationFailed", "delete": "DeletionFailed"}.get(step.action, "UpdateFailed")
            said = item.error or "it was not done"
            tell(key, reports.problem(reason, said, None if step.action == "delete" else "Error"))
            if item.cause in _PASSES or item.state == "skipped":
                wave.again.add(key)
        elif step.action == "delete":
            _logger.info("Successfully deleted VM machine=%s vmid=%s", key, step.vmid)
            wave.gone.add(key)
        else:
            # What was done is told from a new look: a restart may be asked for, an adopted machine may still differ.
            self.queue.add([key], 0.0 if step.action != "create" or self._wants_more(key) else 10.0)

    def _wants_more(self, key: Key) -> bool:
        item = self._tools.board.get(key)
        return item is not None and item.annotations.get(POWER) == "restart"

    async def _same(self, key: Key, seen: ObservedGuest, access: Access, tell: _Tell) -> None:
        """A machine that is as declared: restart it where that is asked for, learn its addresses."""
        item = self._tools.board.get(key)
        if item is None:
            return
        if item.annotations.get(POWER) == "restart":
            await self._restart(item, seen, access)
        elif seen.power == "running" and (item.spec.get("agent") or seen.kind == "Container"):
            addresses = tuple(sorted(await access.hypervisor.addresses(seen)))
            known = tuple(item.status.get("ipAddresses") or ())
            if addresses and addresses != known:
                tell(key, reports.exists(seen.vmid, seen.node, running=True, addresses=addresses))

    async def _restart(self, item: Object, seen: ObservedGuest, access: Access) -> None:
        """Once, at least: the request is taken away after the machine came back."""
        marker = true_marker(seen)
        assert marker is not None and marker.source == self._tools.source
        operation = calls.reboot(seen) if seen.power == "running" else calls.start(calls.of(seen))
        await access.hypervisor.call(operation, "", lambda line: None)
        _logger.info("Restarted VM machine=%s vmid=%s", item.key, seen.vmid)
        with contextlib.suppress(Conflict):
            await self._tools.writer.annotate(item, {POWER: "start"})

    async def _unguard(self, seen: ObservedGuest, access: Access) -> None:
        operation = calls.configure(seen, (("protection", "0"),))
        await access.hypervisor.call(operation, seen.digest, lambda line: None)

    async def _disown(self, seen: ObservedGuest, access: Access) -> None:
        """Take our tag and marker away: the machine stays and belongs to nobody."""
        tags = [tag for tag in seen.tags if tag != TAG]
        params = (("description", seen.description), ("tags", ";".join(tags)) if tags else ("delete", "tags"))
        operation = Operation("disown", "PUT", f"{calls.of(seen)}/config", params, guarded=True)
        await access.hypervisor.call(operation, seen.digest, lambda line: None)

    async def _tell(self, key: Key, report: Report, places: asyncio.Semaphore) -> None:
        async with places:
            try:
                if await self._tools.writer.tell(key, report) and report.phase == "Error":
                    _logger.warning("%s machine=%s error=%s", _headline(report.ready), key, report.ready.message)
                    self._count(report.ready.reason, "machine")
            except EngineError as error:
                _logger.warning("status not written machine=%s error=%s", key, error)
                self.queue.failed(key)

    async def _fail(self, keys: Iterable[Key], error: EngineError) -> None:
        """The whole cluster cannot be worked on: said to each machine once; the poll finds out when that is over."""
        reason = reason_of(error)
        _logger.warning("%s cluster=%s error=%s", _HEADLINES.get(reason, "Error"), self.key, error)
        self._count(reason, "machine")
        if isinstance(error, NotLetIn) and self._access is not None:
            self._refused = (self._access.digest, error)
        places = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for key in keys:
                item = self._tools.board.get(key)
                if item is not None and item.deleting and item.annotations.get(DELETION) == "orphan":
                    group.create_task(self._alone(key, reason, self._let_go(key), lambda key, report: None))
                else:
                    report = Report((reports.ready(reason, str(error)),))
                    group.create_task(self._tell(key, report, places))
                if isinstance(error, Conflict | Uncertain):
                    self.queue.failed(key)
        self._wake.set()

    async def _connected(self) -> Access:
        """The access in use; opened anew where the ProxmoxCluster or its Secrets changed."""
        async with self._connecting:
            if self._access is not None and self._refused is None:
                return self._access
            return await self._renew()

    async def _renew(self) -> Access:
        found = await self._way()
        if self._refused is not None:
            if self._refused[0] == found.digest:
                raise self._refused[1]
            self._refused = None
        if self._access is None or self._access.digest != found.digest:
            if self._access is not None:
                self._old.append(self._access)
            self._access = None
            self._access = opened(found)
            self._access.hypervisor.session.heard = self._tools.metrics.request
        return self._access

    async def _way(self) -> Way:
        item = self._tools.board.get(self.key)
        if item is None:
            where = f"{self.key.namespace}/{self.key.name}"
            raise _NoCluster(f"ProxmoxCluster {where} does not exist", "create it, or name another in the label")
        return await way(self._tools.kubernetes, item)

    async def _watch(self) -> None:
        """Look whether anything changed: the credentials, the cluster, what is on it."""
        print_, trouble, turn, failures = "", "not looked at yet", 0, 0
        while True:
            self._wake.clear()
            pause = self._tools.interval
            try:
                async with self._connecting:
                    before = self._access
                    access = await self._renew()
                found = await access.hypervisor.poll()
            except EngineError as error:
                failures += 1
                pause = _REFUSED_SECONDS if isinstance(error, NotLetIn | Missing) else min(pause, backoff(failures))
                if isinstance(error, NotLetIn) and self._access is not None:
                    self._refused = self._refused or (self._access.digest, error)
                if trouble != str(error):
                    self._everything()
                trouble = str(error)
                await self._told(error)
            except Exception:
                _logger.exception("poll failed cluster=%s", self.key)
                failures += 1
            else:
                turn += 1
                if trouble or access is not before or found != print_ or turn % FULL_LOOK == 0:
                    self._everything()
                print_, trouble, failures = found, "", 0
                await self._told(None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                    await asyncio.sleep(min(1.0, pause))

    def _everything(self) -> None:
        self.queue.add(item.key for item in self._tools.board.machines(self.key))

    async def _told(self, error: EngineError | None) -> None:
        """The ProxmoxCluster's own status."""
        name = f"{self.key.namespace}/{self.key.name}"
        self._tools.metrics.connection.labels(name).set(0 if error else 1)
        item = self._tools.board.get(self.key)
        if item is None:
            return
        good = Condition("Ready", "True", "Connected", "Proxmox answers")
        told = reports.ready(reason_of(error), str(error)) if error else good
        fields: dict[str, object] = {"ready": error is None, "lastHealthCheck": now()}
        with contextlib.suppress(EngineError):
            await self._tools.writer.tell_of(item, fields, told)

    async def _surroundings(self, view: ClusterView) -> None:
        """What a look also showed: the cluster's version and nodes, each ProxmoxNode's resources."""
        name = f"{self.key.namespace}/{self.key.name}"
        self._tools.metrics.nodes.labels(name).set(sum(node.online for node in view.nodes.values()))
        board, writer = self._tools.board, self._tools.writer
        with contextlib.suppress(EngineError):
            if (item := board.get(self.key)) is not None:
                good = Condition("Ready", "True", "Connected", "Proxmox answers")
                await writer.tell_of(item, {**item.status, **cluster_fields(view)}, good)
            for node in board.nodes(self.key):
                fields, told = node_fields(node, view)
                await writer.tell_of(node, fields, told)

    def _count(self, kind: str, controller: str) -> None:
        self._tools.metrics.errors.labels(kind, controller).inc()


class _NoCluster(Missing):
    """There is no such ProxmoxCluster."""


def reason_of(error: EngineError) -> str:
    """The reason of `Ready=False`, never empty."""
    if isinstance(error, _NoCluster):
        return "ClusterNotFound"
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "ClusterUnreachable")


_HEADLINES: Mapping[str, str] = {
    "AuthenticationFailed": "Authentication failed",
    "InsufficientResources": "Insufficient resources",
    "UnknownBridge": "Bridge not found",
    "BridgeNotAllowed": "Bridge not found",
}
"""The published beginnings of log lines."""


def _headline(told: Condition) -> str:
    return _HEADLINES.get(told.reason, told.reason)


def _made(event: Event) -> Report:
    return reports.exists(event.step.vmid, event.step.node, running=event.step.running is not False)
