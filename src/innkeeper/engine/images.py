"""Images on their way to nodes during one run: each is brought to a node once, however many guests are made from it."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from innkeeper.engine.errors import Stalled
from innkeeper.engine.ports import Builder, Hypervisor, Log
from innkeeper.model.plan import Operation


@dataclass(frozen=True, slots=True)
class Images:
    """`builder` None: nothing is built here. `shared` are the storages that all nodes of the cluster see."""

    builder: Builder | None = None
    shared: frozenset[str] = frozenset()
    _there: set[str] = field(default_factory=set)
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def provide(self, hypervisor: Hypervisor, operation: Operation, log: Log) -> None:
        """Make the call, unless this run has made it; who comes while it is being made waits for it."""
        volume = self._volume(operation)
        async with self._turns[volume]:
            if volume in self._there:
                return
            if operation.build is None:
                await hypervisor.call(operation, "", log)
            elif self.builder is None:
                raise Stalled(f"image {operation.build.output} would have to be built, which is not done here")
            else:
                async with self.builder(operation.build, log) as file:
                    await hypervisor.call(operation, "", log, file)
            self._there.add(volume)

    def _volume(self, operation: Operation) -> str:
        _, _, node, _, storage, _ = operation.path.split("/")
        return f"{'' if storage in self.shared else node}/{storage}/{dict(operation.params)['filename']}"
