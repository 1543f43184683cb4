"""Guests that need the same bundled roles at about the same time share one Ansible: each one costs more to start.

Roles of users run alone: they may count on being the only guest of their play (`end_play`, `pause`, `run_once`).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager

from innkeeper.configure import ansible, inventory
from innkeeper.engine.inside import Inside

_GATHER_SECONDS = 1.0
"""How long the first guest waits for others that are on their way."""
_MOST = 8
"""Guests in one Ansible."""

Joined = Callable[[ansible.Run], Awaitable[None]]


class Together:
    """Gathers guests and runs Ansible for them, at most `at_once` of it."""

    def __init__(self, at_once: int) -> None:
        self._room = asyncio.Semaphore(at_once)
        self._coming: Counter[Hashable] = Counter()
        self._gathered: dict[Hashable, list[ansible.Run]] = {}
        self._running: dict[asyncio.Task[None], list[ansible.Run]] = {}

    @contextmanager
    def expected(self, item: Inside) -> Iterator[Joined]:
        """The guest is on its way while the block runs; others wait for it a little. What it gives runs its roles."""
        kind, coming = _kind(item), True
        self._coming[kind] += 1

        def arrived() -> None:
            nonlocal coming
            if coming:
                coming = False
                self._coming[kind] -= 1
                if not self._coming[kind]:
                    del self._coming[kind]
                    self._begin(kind)

        async def joined(part: ansible.Run) -> None:
            gathered = self._gathered.setdefault(kind, [])
            gathered.append(part)
            if len(gathered) == 1:
                asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._begin, kind)
            elif len(gathered) == _MOST:
                self._begin(kind)
            arrived()
            await self._outcome(kind, part)

        try:
            yield joined
        finally:
            arrived()

    async def close(self) -> None:
        """Wait until every Ansible is gone."""
        await asyncio.gather(*self._running, return_exceptions=True)

    def _begin(self, kind: Hashable) -> None:
        if parts := self._gathered.pop(kind, []):
            task = asyncio.create_task(self._carry_out(parts))
            self._running[task] = parts
            task.add_done_callback(self._over)

    async def _carry_out(self, parts: list[ansible.Run]) -> None:
        async with self._room:
            if left := [part for part in parts if not part.ended.done()]:
                await ansible.run(left)

    def _over(self, task: asyncio.Task[None]) -> None:
        for part in self._running.pop(task):
            if part.ended.done():
                continue
            if task.cancelled() or (error := task.exception()) is None:
                part.ended.cancel()
            else:
                part.ended.set_exception(error)

    async def _outcome(self, kind: Hashable, part: ansible.Run) -> None:
        try:
            await part.ended
        except asyncio.CancelledError:
            waiting = self._gathered.get(kind, [])
            if part in waiting:
                waiting.remove(part)
            for task, parts in list(self._running.items()):
                if part in parts and all(item.ended.done() for item in parts):
                    task.cancel()
                    await asyncio.wait({task})
            raise


def _kind(item: Inside) -> Hashable:
    """Equal for guests that can share a play."""
    if not inventory.only_ours(item):
        return object()
    calls = tuple((call.directory, frozenset(call.variables)) for call in item.roles)
    return item.cluster, item.user, calls
