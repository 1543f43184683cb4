"""Keeps the guests of one cluster: a queue of those that want work, a poll for what changed by itself.

Objects come in one by one, Proxmox is looked at for all of them together. A wave is planned alone and carried out
beside the next: a clone that takes minutes holds up nobody but itself.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from innkeeper.engine.errors import Conflict, EngineError, NotLetIn, Uncertain
from innkeeper.engine.interior import Place
from innkeeper.engine.ports import Event
from innkeeper.engine.reconcile import carry_out
from innkeeper.engine.result import StepResult
from innkeeper.model.inside import CheckResult
from innkeeper.model.objects import Ref
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import Operation
from innkeeper.model.status import Condition
from innkeeper.operator import reports
from innkeeper.operator.access import Access
from innkeeper.operator.board import Board
from innkeeper.operator.checks import Checks
from innkeeper.operator.connection import Connection, reason_of
from innkeeper.operator.inside import Inside
from innkeeper.operator.metrics import Metrics
from innkeeper.operator.objects import DELETION, POWER, Key, Object
from innkeeper.operator.queue import Queue, backoff
from innkeeper.operator.reports import Report
from innkeeper.operator.secrets import SecretMissing
from innkeeper.operator.surroundings import Surroundings
from innkeeper.operator.wanted import ref_of
from innkeeper.operator.wave import Kept, Planner, Wave
from innkeeper.operator.writer import Writer
from innkeeper.planner import calls
from innkeeper.planner.pair import true_marker
from innkeeper.settings.marker import TAG

_logger = logging.getLogger("innkeeper.operator")

FULL_LOOK = 10
"""Polls after which every machine is looked at: drift that the list of guests does not show is found then."""
_REFUSED_SECONDS = 5.0
"""How often the Secret of refused credentials is read again. Proxmox is not asked in between."""
_AT_ONCE = 8
_Tell = Callable[[Key, Report], None]
_PASSES = frozenset({"Waiting", "Conflict", "Uncertain"})


@dataclass(frozen=True, slots=True)
class Tools:
    """What all keepers share. `source` is whose our guests are; `interval` in seconds."""

    board: Board
    writer: Writer
    metrics: Metrics
    inside: Inside
    source: str
    interval: float = 30.0
    at_once: int = 5


class Keeper:
    """One cluster's."""

    def __init__(self, key: Key, tools: Tools) -> None:
        self.key = key
        self.queue = Queue()
        self._tools = tools
        self._planner = Planner(key, tools.board, tools.writer, tools.source, tools.inside)
        self._connection = Connection(key, tools.board, tools.inside.secrets, tools.metrics)
        self._surroundings = Surroundings(key, tools.board, tools.writer, tools.metrics)
        self._checks = Checks(tools.interval)
        self._running = 0
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(tools.at_once)
        self._places = asyncio.Semaphore(_AT_ONCE)

    def wake(self) -> None:
        """The cluster's object, a ProxmoxNode or something else of the surroundings changed."""
        self._wake.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._checks.run())
                while True:
                    keys = await self.queue.take()
                    self._checks.forget(keys)
                    await self._slots.acquire()
                    begun = time.perf_counter()
                    wave = await self._plan(keys)
                    group.create_task(self._carry(keys, wave, begun))
        finally:
            await self._connection.close()

    async def _plan(self, keys: Collection[Key]) -> tuple[Wave, Access] | None:
        try:
            access = await self._connection.connected()
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
        await self._surroundings.seen(wave.view)
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
                await self._connection.close_old()

    async def _do(self, keys: Collection[Key], wave: Wave, access: Access) -> None:
        async with asyncio.TaskGroup() as group:

            def tell(key: Key, report: Report) -> None:
                group.create_task(self._tell(key, report))

            for key, report in wave.reports.items():
                tell(key, report)
            for key, kept in wave.same.items():
                await self._alone(key, "RestartFailed", self._same(key, kept, wave, access, tell), tell)
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
        self._count_outcome(keys, wave)
        if wave.prepared.interior is not None and (unsaved := await self._tools.inside.save()) is not None:
            _logger.warning("host keys not saved error=%s", unsaved.ready.message)

    def _count_outcome(self, keys: Collection[Key], wave: Wave) -> None:
        """Failures make the next look later, successes end that."""
        for key in wave.again:
            self.queue.failed(key)
        for key in set(keys) - wave.again - wave.gone:
            if key not in wave.reports or wave.reports[key].ready.status == "True":
                self.queue.succeeded(key)

    async def _steps(self, wave: Wave, access: Access, tell: _Tell) -> None:
        inside: set[Ref] = set()
        """Guests that are there, and whose roles are run."""

        def listen(event: Event) -> None:
            key, step = wave.keys[event.ref], event.step
            if event.phase == "configuring" and event.ref not in inside:
                inside.add(event.ref)
                tell(key, reports.configuring(step.vmid, step.node, new=step.action == "create"))
            elif event.phase == "done" and step.action == "create":
                _logger.info("Successfully created VM machine=%s vmid=%s", event.ref.name, step.vmid)
                if not self._wants_more(key, wave):
                    tell(key, reports.exists(step.vmid, step.node, running=step.running is not False))

        clusters = {access.cluster.name: access.hypervisor}
        result = await carry_out(wave.prepared, clusters, listen, parallel=self._tools.at_once)
        for item in result.results:
            key = wave.keys[item.step.ref]
            if item.state == "failed" and item.step.ref in inside:
                tell(key, reports.not_configured(item.step.vmid, item.step.node, item.error))
                wave.again.add(key)
            else:
                self._settle(key, item, wave, tell)

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
            self.queue.add([key], 0.0 if step.action != "create" or self._wants_more(key, wave) else 10.0)

    def _wants_more(self, key: Key, wave: Wave) -> bool:
        """Whether there is more to say of a guest that was just made: a restart is asked for, its inside declared."""
        item, interior = self._tools.board.get(key), wave.prepared.interior
        inside = interior is not None and ref_of(key) in interior.items
        return inside or (item is not None and item.annotations.get(POWER) == "restart")

    async def _same(self, key: Key, kept: Kept, wave: Wave, access: Access, tell: _Tell) -> None:
        """A guest that is as declared: restart it where that is asked for, learn its addresses and its health."""
        item, seen = self._tools.board.get(key), kept.seen
        if item is None:
            return
        if item.annotations.get(POWER) == "restart":
            await self._restart(item, seen, access)
            return
        addresses: tuple[str, ...] | None = None
        if kept.running and (item.spec.get("agent") or seen.kind == "Container"):
            addresses = tuple(sorted(await access.hypervisor.addresses(seen))) or None
        interior = wave.prepared.interior
        if kept.checked and interior is not None:
            place = Place(access.cluster, access.hypervisor)

            async def told(results: tuple[CheckResult, ...]) -> None:
                await self._tell(key, kept.report(results, addresses))

            self._checks.watch(key, lambda: interior.check(place, seen, kept.guest.ref), told)
        elif addresses is not None and addresses != tuple(item.status.get("ipAddresses") or ()):
            tell(key, kept.report(addresses=addresses))

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

    async def _tell(self, key: Key, report: Report) -> None:
        async with self._places:
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
        self._connection.refuse(error)
        async with asyncio.TaskGroup() as group:
            for key in keys:
                item = self._tools.board.get(key)
                if item is not None and item.deleting and item.annotations.get(DELETION) == "orphan":
                    group.create_task(self._alone(key, reason, self._let_go(key), lambda key, report: None))
                else:
                    report = Report((reports.ready(reason, str(error)),))
                    group.create_task(self._tell(key, report))
                if isinstance(error, Conflict | Uncertain):
                    self.queue.failed(key)
        self._wake.set()

    async def _watch(self) -> None:
        """Look whether anything changed: the credentials, the cluster, what is on it."""
        print_, trouble, turn, failures = "", "not looked at yet", 0, 0
        while True:
            self._wake.clear()
            pause = self._tools.interval
            try:
                access, new = await self._connection.renewed()
                found = await access.hypervisor.poll()
                new |= await self._rotated()
            except EngineError as error:
                failures += 1
                missing = isinstance(error, NotLetIn | SecretMissing)
                pause = _REFUSED_SECONDS if missing else min(pause, backoff(failures))
                self._connection.refuse(error)
                if trouble != str(error):
                    self._everything()
                trouble = str(error)
                await self._surroundings.told(error)
            except Exception:
                _logger.exception("poll failed cluster=%s", self.key)
                failures += 1
            else:
                turn += 1
                if trouble or new:
                    self._everything()
                elif found != print_ or turn % FULL_LOOK == 0:
                    self.queue.add(item.key for item in self._guests() if not self._rests(item))
                print_, trouble, failures = found, "", 0
                await self._surroundings.told(None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                    await asyncio.sleep(min(1.0, pause))

    async def _rotated(self) -> bool:
        """Whether a Secret that roles name was changed; what Kubernetes cannot tell now, it tells at the next poll."""
        try:
            return await self._tools.inside.secrets.read(self._planner.named())
        except EngineError as error:
            _logger.warning("secrets not read cluster=%s error=%s", self.key, error)
            return False

    def _everything(self) -> None:
        self.queue.add(item.key for item in self._guests())

    def _guests(self) -> Iterable[Object]:
        return self._tools.board.machines(self.key)

    def _rests(self, item: Object) -> bool:
        """Whether roles failed in a guest and its next turn is set: what else moves on Proxmox mends no role."""
        return item.ready.get("reason") == "ConfigurationFailed" and self.queue.waits(item.key)

    def _count(self, kind: str, controller: str) -> None:
        self._tools.metrics.errors.labels(kind, controller).inc()


_HEADLINES: Mapping[str, str] = {
    "AuthenticationFailed": "Authentication failed",
    "InsufficientResources": "Insufficient resources",
    "UnknownBridge": "Bridge not found",
    "BridgeNotAllowed": "Bridge not found",
}
"""The published beginnings of log lines."""


def _headline(told: Condition) -> str:
    return _HEADLINES.get(told.reason, told.reason)
