"""The operator as a whole: one replica leads, lists what there is, watches with kopf, and keeps each cluster.

kopf does what is hard about watching (lists, reconnects, `410 Gone`, signing in); its handlers only say *look at this*.
Everything that decides is level-triggered and starts from what is there, so a leader that comes after a crash does the
same as one that never stopped.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kopf

from innkeeper.configure.insider import Insides
from innkeeper.engine.errors import EngineError
from innkeeper.model.vitistack import FINALIZER
from innkeeper.operator import keyring, reports
from innkeeper.operator.applications import Applications
from innkeeper.operator.board import Board
from innkeeper.operator.endpoints import serve_health, serve_metrics
from innkeeper.operator.inside import Inside
from innkeeper.operator.keeper import Keeper, Tools
from innkeeper.operator.kubernetes import Gone, Kubernetes
from innkeeper.operator.lease import Lease
from innkeeper.operator.metrics import Metrics
from innkeeper.operator.objects import APPLICATIONS, GUESTS, NODES, PROFILES, RESOURCES, WAYS, Key, Object
from innkeeper.operator.secrets import Secrets
from innkeeper.operator.watching import watch
from innkeeper.operator.writer import Writer

_logger = logging.getLogger("innkeeper.operator")
_RETRY = 2.0
_ANSIBLES = 2
"""How many of them run at once: each takes some hundred MiB for up to eight guests."""


@dataclass(frozen=True, slots=True)
class Options:
    """The published settings; times in seconds. `identity` tells Kubernetes clusters that share a Proxmox apart."""

    default_cluster: str = ""
    interval: float = 30.0
    at_once: int = 5
    metrics: str = ":8080"
    health: str = ":8081"
    namespace: str = ""
    identity: str = ""
    lease: float = 15.0


async def run(options: Options) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    kubernetes = Kubernetes(kopf.OperatorSettings())
    board = Board(options.default_cluster)
    operator = Operator(options, kubernetes, board, Metrics(board))
    try:
        async with operator.endpoints(), asyncio.TaskGroup() as group:
            working = group.create_task(operator.replica())
            await stop.wait()
            working.cancel()
    finally:
        await kubernetes.close()


class Operator:
    def __init__(self, options: Options, kubernetes: Kubernetes, board: Board, metrics: Metrics) -> None:
        self._options = options
        self._kubernetes = kubernetes
        self._leases = Kubernetes(kopf.OperatorSettings())
        """A connection of its own: a thousand writes of status do not stand before the Lease."""
        self._board = board
        self._metrics = metrics
        self._writer = Writer(kubernetes, board)
        self._keepers: dict[Key, tuple[Keeper, asyncio.Task[None]]] = {}
        self._applications: Applications | None = None
        self._group: asyncio.TaskGroup | None = None
        self._tools: Tools | None = None
        self._problem = "not connected to Kubernetes yet"

    @contextlib.asynccontextmanager
    async def endpoints(self) -> AsyncIterator[None]:
        runners = [
            await serve_metrics(self._options.metrics, self._metrics.registry),
            await serve_health(self._options.health, lambda: "", lambda: self._problem),
        ]
        try:
            yield
        finally:
            for runner in runners:
                await runner.cleanup()
            await self._leases.close()

    async def replica(self) -> None:
        """Lead whenever nobody else does."""
        identity = f"{socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        source = await self._source()
        namespace = self._options.namespace or self._kubernetes.namespace
        lease = Lease(self._leases, namespace, identity, self._options.lease)
        self._problem = ""
        while True:
            await lease.acquire()
            leading = asyncio.ensure_future(self._lead(source, namespace))
            holding = asyncio.ensure_future(lease.hold())
            try:
                await asyncio.wait([leading, holding], return_when=asyncio.FIRST_COMPLETED)
            finally:
                holding.cancel()
                leading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await leading
                await lease.release()
            self._board.clear()

    @contextlib.asynccontextmanager
    async def _inside(self, namespace: str) -> AsyncIterator[Inside]:
        """The way into guests, with what is kept for it in a directory of this leadership."""
        with TemporaryDirectory(prefix="innkeeper-", ignore_cleanup_errors=True) as folder:
            keys = keyring.Keyring(self._kubernetes, namespace, Path(folder) / "keys")
            secrets = Secrets(self._kubernetes, (namespace, keyring.NAME))
            insider = Insides(data=keys.directory, foreign=True, secrets=secrets, at_once=_ANSIBLES)
            try:
                yield Inside(insider, keys, secrets)
            finally:
                await insider.close()

    async def _source(self) -> str:
        """Whose our guests are: this Kubernetes cluster's, told from others by the uid of its kube-system."""
        while not (identity := self._options.identity):
            try:
                found = await self._kubernetes.get("/api/v1/namespaces/kube-system")
                identity = str(found["metadata"]["uid"]).partition("-")[0]
                break
            except EngineError as error:
                self._problem = str(error)
                _logger.warning("Kubernetes is not reached error=%s", error)
            await asyncio.sleep(_RETRY)
        return f"kubernetes/{identity}"

    async def _lead(self, source: str, namespace: str) -> None:
        options = self._options
        self._board.heard = lambda item: None
        await self._list()
        self._keepers.clear()
        async with self._inside(namespace) as inside, asyncio.TaskGroup() as group:
            self._tools = Tools(
                self._board, self._writer, self._metrics, inside, source, options.interval, options.at_once
            )
            self._group = group
            self._applications = Applications(self._kubernetes, self._board, self._writer, self._metrics, self._route)
            self._board.heard = self._heard
            for item in [*self._board.of(*WAYS), *self._board.of(APPLICATIONS, *GUESTS)]:
                self._route(item)
            group.create_task(self._applications.run())
            group.create_task(self._watching())

    async def _list(self) -> None:
        """Know every object before anything is decided: a vmid may be promised to one that is not known yet."""
        while True:
            try:
                for plural, (api, _) in RESOURCES.items():
                    async for body in self._kubernetes.items(f"/apis/{api}/{plural}"):
                        self._board.put(Object.of(plural, body))
            except Gone:
                self._problem = "the custom resource definitions are not installed: innkeeper crds | kubectl apply -f -"
            except EngineError as error:
                self._problem = str(error)
            else:
                self._problem = ""
                return
            _logger.warning("objects cannot be listed error=%s", self._problem)
            await asyncio.sleep(_RETRY)

    async def _watching(self) -> None:
        """kopf's watches, begun again should they ever end."""
        while True:
            with contextlib.suppress(Exception):  # the next watch lists everything anew
                await watch(asyncio.get_running_loop(), self._seen)
            _logger.warning("the watch ended and begins again")
            await asyncio.sleep(_RETRY)

    def _seen(self, plural: str, kind: str | None, body: dict[str, Any]) -> None:
        item = Object.of(plural, body)
        if kind == "DELETED":
            self._board.drop(item.key)
        elif not self._board.put(item):
            return
        self._route(item)

    def _heard(self, item: Object) -> None:
        """News of an object, our own writes included: its Application, and the guests that need it, may go on."""
        if self._applications is not None and (parent := self._board.parent(item)) is not None:
            self._applications.queue.add([parent])
        if item.key.native and item.key.plural in GUESTS and reports.settled(item):
            for other in self._board.dependents(item.key):
                if not other.deleting and not reports.settled(other):
                    self._route(other)

    def _route(self, item: Object) -> None:
        """To who keeps an object."""
        if item.key.plural in GUESTS:
            home = self._board.home(item)
            if home is None:
                self._homeless(item)
            elif self._board.get(item.key) is not None:
                self._keeper(home).queue.fresh(item.key)
        elif item.key.plural == APPLICATIONS:
            assert self._applications is not None
            self._applications.queue.fresh(item.key)
        elif item.key.plural in WAYS:
            keeper = self._keeper(item.key)
            keeper.wake()
            keeper.queue.add(guest.key for guest in self._board.machines(item.key))
        elif item.key.plural == NODES:
            for key, (keeper, _) in self._keepers.items():
                if (key.namespace, key.name) == (item.key.namespace, item.spec.get("cluster")):
                    keeper.wake()
        elif item.key.plural == PROFILES:
            for other in [*self._board.of(APPLICATIONS), *self._board.of(*GUESTS)]:
                if other.key.native and other.key.namespace == item.key.namespace:
                    self._route(other)

    def _homeless(self, item: Object) -> None:
        assert self._group is not None
        if item.deleting and FINALIZER in item.finalizers:
            self._group.create_task(self._freed(item))
        elif not item.deleting:
            where = "spec.cluster" if item.key.native else "the label cluster.vitistack.io/cluster-name"
            advice = f"set {where}, or PROXMOX_DEFAULT_CLUSTER of the operator"
            report = reports.problem("NoCluster", f"it names no cluster: {advice}", "Pending")
            self._group.create_task(self._told(item.key, report))

    async def _freed(self, item: Object) -> None:
        try:
            await self._writer.let_go(item)
        except EngineError as error:
            _logger.warning("finalizer not removed object=%s error=%s", item.key, error)

    async def _told(self, key: Key, report: reports.Report) -> None:
        try:
            await self._writer.tell(key, report)
        except EngineError as error:
            _logger.warning("status not written machine=%s error=%s", key, error)

    def _keeper(self, key: Key) -> Keeper:
        assert self._group is not None and self._tools is not None
        if key not in self._keepers:
            keeper = Keeper(key, self._tools)
            self._keepers[key] = keeper, self._group.create_task(keeper.run())
        return self._keepers[key][0]
