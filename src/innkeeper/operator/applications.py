"""Applications: each is a Container for every environment, an object of its own that belongs to it.

What the Containers stand for is the keepers' work, as for any other Container: vmids, finalizers, drift, health. Here
is only what one object owes to another: that they are there, that they say what the Application says, and that they go
with it. A Container that somebody else made is left alone.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from innkeeper.engine.errors import Conflict, EngineError
from innkeeper.model.applications import ENVIRONMENT
from innkeeper.model.objects import API_VERSION
from innkeeper.model.status import Condition
from innkeeper.model.vitistack import FINALIZER
from innkeeper.operator.board import Board
from innkeeper.operator.kubernetes import Gone, Kubernetes
from innkeeper.operator.metrics import Metrics
from innkeeper.operator.objects import ADOPT, CONTAINERS, DELETION, PRUNE, RESTART, Key, Object
from innkeeper.operator.queue import Queue
from innkeeper.operator.reports import Report, ready
from innkeeper.operator.wanted import containers_of
from innkeeper.operator.writer import Writer

_logger = logging.getLogger("innkeeper.operator")
_AT_ONCE = 4
_HANDED_ON = (ADOPT, RESTART, DELETION)
"""Annotations of an Application that are its Containers', too."""
_SYNC = ("Synced", "OutOfSync", "Unknown")
_HEALTH = ("Healthy", "Suspended", "Progressing", "Unknown", "Missing", "Degraded")
"""From the best to the worst."""


class Applications:
    """All of them. `route` tells the keepers of an object that was made or changed here."""

    def __init__(
        self,
        kubernetes: Kubernetes,
        board: Board,
        writer: Writer,
        metrics: Metrics,
        route: Callable[[Object], None],
    ) -> None:
        self.queue = Queue()
        self._kubernetes = kubernetes
        self._board = board
        self._writer = writer
        self._metrics = metrics
        self._route = route
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for key in await self.queue.take():
                    group.create_task(self._one(key))

    async def _one(self, key: Key) -> None:
        begun = time.perf_counter()
        try:
            async with self._room:
                await self._look(key)
        except Exception:
            _logger.exception("application failed object=%s", key)
            self._metrics.errors.labels("internal", "application").inc()
            self.queue.failed(key)
        finally:
            self.queue.done([key])
            self._metrics.reconciliation.labels("application").observe(time.perf_counter() - begun)

    async def _look(self, key: Key) -> None:
        item = self._board.get(key)
        if item is None:
            return
        try:
            await (self._leave(item) if item.deleting else self._keep(item))
        except Conflict:  # an object changed meanwhile: the next look has the news
            self.queue.failed(key)
        except EngineError as error:
            self.queue.failed(key)
            with contextlib.suppress(EngineError):
                await self._writer.tell_of(item, {}, ready("ApplyFailed", str(error)))
        else:
            self.queue.succeeded(key)

    async def _keep(self, item: Object) -> None:
        if FINALIZER not in item.finalizers:
            item = await self._writer.hold(item)
        wanted = containers_of(item, self._board.profiles(item.key.namespace))
        if isinstance(wanted, Report):
            await self._writer.tell_of(item, {}, wanted.ready)
            return
        taken = [told for made in wanted if (told := await self._make(item, made))]
        names = {str(made["metadata"]["name"]) for made in wanted}
        left = [child for child in self._board.children(item) if child.key.name not in names]
        if item.annotations.get(PRUNE) == "true":
            await self._delete(left)
            left = []
        await self._tell(item, [Key(CONTAINERS, item.key.namespace, name) for name in sorted(names)], taken, left)

    async def _make(self, item: Object, made: Mapping[str, Any]) -> str:
        """Have one Container as it is wanted; why it cannot be had, empty where it is."""
        key = Key(CONTAINERS, item.key.namespace, str(made["metadata"]["name"]))
        known = self._board.get(key)
        handed = {name: item.annotations[name] for name in _HANDED_ON if name in item.annotations}
        labels, spec = dict(made["metadata"].get("labels") or {}), _without_null(made["spec"])
        if known is None:
            metadata = {"name": key.name, "labels": labels, "annotations": handed, "ownerReferences": [_owner(item)]}
            body = {"apiVersion": API_VERSION, "kind": "Container", "metadata": metadata, "spec": spec}
            self._took(await self._kubernetes.create(key.path.rpartition("/")[0], body))
        elif known.owner is None or known.owner.uid != item.uid:
            return f"{key.told} is there, and is not this Application's: rename one of the two"
        elif known.deleting:
            return f"{key.told} is being deleted"
        elif known.spec != spec or not _holds(known.labels, labels) or not _holds(known.annotations, handed):
            body = await self._kubernetes.get(key.path)
            metadata = body["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
            metadata["annotations"] = {**(metadata.get("annotations") or {}), **handed}
            self._took(await self._kubernetes.replace(key.path, {**body, "spec": spec}))
        return ""

    def _took(self, body: Mapping[str, Any]) -> None:
        child = Object.of(CONTAINERS, body)
        self._board.put(child)
        self._route(child)

    async def _leave(self, item: Object) -> None:
        """The Containers go first, each with its guest; the Application when none is left."""
        if FINALIZER not in item.finalizers:
            return
        children = self._board.children(item)
        if not children:
            await self._writer.let_go(item)
            return
        if item.annotations.get(DELETION) == "orphan":
            children = tuple([await self._writer.annotate(child, {DELETION: "orphan"}) for child in children])
        await self._delete(children)
        said = "; ".join(f"{child.key.told}: {child.ready.get('message', 'not told yet')}" for child in children)
        await self._writer.tell_of(item, {}, ready("Deleting", f"its guests go first: {said}"))

    async def _delete(self, children: Iterable[Object]) -> None:
        for child in children:
            if not child.deleting:
                with contextlib.suppress(Gone):
                    await self._kubernetes.delete(child.key.path, child.uid)

    async def _tell(self, item: Object, keys: Sequence[Key], taken: Sequence[str], left: Sequence[Object]) -> None:
        """The status of an Application is that of its guests."""
        own = [child for key in keys if (child := self._board.get(key)) is not None and not _stranger(child, item)]
        good = [child for child in own if child.ready.get("status") == "True"]
        fields = {
            "ready": f"{len(good)}/{len(keys)}",
            "sync": _worst(_SYNC, (child.status.get("sync") for child in own)),
            "health": _worst(_HEALTH, (child.status.get("health") for child in own)),
            "guests": [_guest(child) for child in own],
        }
        said = [*taken, *(_trouble(child) for child in own if child not in good)]
        if taken:
            told = ready("OwnershipConflict", "; ".join(said))
        elif said:
            told = ready("GuestsNotReady", "; ".join(said))
        else:
            told = ready("GuestsReady", f"{len(good)} of {len(keys)} guests are ready", ok=True)
        names = ", ".join(child.key.told for child in left)
        advice = f"kubectl delete each with its guest, or annotate the Application {PRUNE}=true"
        more = Condition("Pruned", "False", "DeclaredNoMore", f"declared no more: {names}; {advice}")
        latest = self._board.get(item.key) or item
        await self._writer.tell_of(latest, fields, told, *([more] if left else []), over=frozenset({"Pruned"}))


def _owner(item: Object) -> Mapping[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Application",
        "name": item.key.name,
        "uid": item.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _stranger(child: Object, item: Object) -> bool:
    return child.owner is None or child.owner.uid != item.uid


def _holds(known: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= known.items()


def _guest(child: Object) -> dict[str, Any]:
    found = {
        "name": child.key.name,
        "environment": child.labels.get(ENVIRONMENT),
        "reason": child.ready.get("reason"),
        **{name: child.status.get(name) for name in ("sync", "health", "vmid", "node")},
    }
    return {name: value for name, value in found.items() if value is not None}


def _trouble(child: Object) -> str:
    told = child.ready
    return f"{child.key.told}: {told['reason']}: {told['message']}" if told else f"{child.key.told}: not looked at yet"


def _worst(order: Sequence[str], words: Iterable[str | None]) -> str:
    return max((word or "Unknown" for word in words), key=order.index, default="Unknown")


def _without_null(value: Any) -> Any:
    """What Kubernetes keeps of it: null is no value there."""
    if isinstance(value, Mapping):
        return {key: _without_null(part) for key, part in value.items() if part is not None}
    return [_without_null(part) for part in value] if isinstance(value, list | tuple) else value
