"""What the operator writes to Kubernetes: status, promises (finalizer, vmid), Events. Nothing that says nothing new."""

import contextlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from innkeeper.engine.errors import Conflict, EngineError
from innkeeper.model.status import Condition
from innkeeper.model.vitistack import FINALIZER
from innkeeper.operator.board import Board
from innkeeper.operator.kubernetes import Gone, Kubernetes
from innkeeper.operator.objects import CLUSTER, RESOURCES, VMID, Key, Object, cluster_word
from innkeeper.operator.reports import Report, conditions, status

_logger = logging.getLogger("innkeeper.operator")
_QUIET = frozenset({"Creating", "Configuring", "WaitingForNeeds", "GuestsNotReady"})
_GOOD = frozenset({"Running", "Stopped", "PendingReboot", "Connected"})


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Writer:
    """Writes through to the board, so that our own writes are no news."""

    def __init__(self, kubernetes: Kubernetes, board: Board) -> None:
        self._kubernetes = kubernetes
        self._board = board

    async def tell(self, key: Key, report: Report) -> bool:
        """Write a machine's status where it says something new, and an Event where the reason of Ready changed.

        Whether that reason changed.

        Raises EngineError where the API server is not reached or refuses; an object that is gone is nobody's loss.
        """
        item = self._board.get(key)
        if item is None or (new := status(report, item, now())) is None:
            return False
        changed = await self._status(item, new) and _reason(item.status) != report.ready.reason
        if changed:
            await self._event(item, report.ready)
        return changed

    async def tell_of(
        self,
        item: Object,
        fields: Mapping[str, Any],
        told: Condition,
        *more: Condition,
        over: frozenset[str] = frozenset(),
    ) -> None:
        """The same for other kinds; `fields` are those of its status beside the conditions.

        `told` is Ready. Of the conditions `over`, only those stay that are told again.
        """
        old = item.status
        known = [one for one in old.get("conditions") or () if one["type"] not in over - {one.type for one in more}]
        new = {**old, **fields, "conditions": conditions([told, *more], known, item.generation, now())}
        if new != old and await self._status(item, new) and _reason(old) != told.reason:
            await self._event(item, told)

    async def promise(self, item: Object, vmid: int | None, cluster: Key) -> Object:
        """Record, before anything is made, what will be: from now on the object cannot go without us.

        Conflict where the object changed meanwhile.
        """
        finalizers = [*item.finalizers, *([] if FINALIZER in item.finalizers else [FINALIZER])]
        annotations = {CLUSTER: cluster_word(cluster), **({VMID: str(vmid)} if vmid else {})}
        return await self._patch(item, {"finalizers": finalizers, "annotations": annotations})

    async def hold(self, item: Object) -> Object:
        """From now on the object cannot go without us."""
        return await self._patch(item, {"finalizers": [*item.finalizers, FINALIZER]})

    async def annotate(self, item: Object, annotations: Mapping[str, str | None]) -> Object:
        """Set annotations; None removes one."""
        return await self._patch(item, {"annotations": dict(annotations)})

    async def let_go(self, item: Object) -> None:
        """Our part is done: the object may go."""
        with contextlib.suppress(Gone):
            await self._patch(item, {"finalizers": [name for name in item.finalizers if name != FINALIZER]})
        self._board.drop(item.key)

    async def _patch(self, item: Object, metadata: Mapping[str, Any]) -> Object:
        body = {"metadata": {**metadata, "resourceVersion": item.version}}
        fresh = Object.of(item.key.plural, await self._kubernetes.patch(item.key.path, body))
        self._board.put(fresh)
        return fresh

    async def _status(self, item: Object, new: Mapping[str, Any]) -> bool:
        body = {"metadata": {"uid": item.uid}, "status": new}
        try:
            answer = await self._kubernetes.patch(f"{item.key.path}/status", body)
        except Gone:
            self._board.drop(item.key)
            return False
        except Conflict:  # another object of that name: the watch tells of it
            return False
        self._board.put(Object.of(item.key.plural, answer))
        return True

    async def _event(self, item: Object, told: Condition) -> None:
        if told.reason in _QUIET:
            return
        api, kind = RESOURCES[item.key.plural]
        moment, good = now(), told.status == "True" or told.reason in _GOOD
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{item.key.name}-", "namespace": item.key.namespace},
            "involvedObject": {
                "apiVersion": api,
                "kind": kind,
                "namespace": item.key.namespace,
                "name": item.key.name,
                "uid": item.uid,
            },
            "reason": told.reason,
            "message": told.message[:1024],
            "type": "Normal" if good else "Warning",
            "source": {"component": "innkeeper"},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        try:
            await self._kubernetes.create(f"/api/v1/namespaces/{item.key.namespace}/events", body)
        except EngineError as error:
            _logger.debug("event not written object=%s error=%s", item.key, error)


def _reason(old: Mapping[str, Any]) -> str:
    return next((item["reason"] for item in old.get("conditions") or () if item["type"] == "Ready"), "")
