"""`Proxmox`: one cluster as the engine sees it."""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from innkeeper.engine.errors import Conflict, EngineError, Waiting
from innkeeper.engine.ports import Log, Scope
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Cluster, GuestKind
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Operation
from innkeeper.proxmox import interfaces, listing, observe, tasks
from innkeeper.proxmox.credentials import resolve
from innkeeper.proxmox.session import Load, Session
from innkeeper.proxmox.slots import Slots, node_of, target
from innkeeper.proxmox.tls import parse_endpoint

if TYPE_CHECKING:
    from innkeeper.control.ports import NodeUse, Snapshot, Task

_logger = logging.getLogger("innkeeper.proxmox")


class Proxmox:
    """Implements `innkeeper.engine.ports.Hypervisor` over the API of Proxmox VE 8.4 to 9.x."""

    def __init__(self, cluster: Cluster, directory: Path, environ: Mapping[str, str] | None = None) -> None:
        """`directory` is the manifest's: caFile and secret files are relative to it. No call is made yet.

        Stalled when a secret is missing, naming the variable or file.
        """
        spec = cluster.spec
        identity = resolve(spec.credentials, directory, os.environ if environ is None else environ)
        endpoints = [parse_endpoint(url) for url in spec.endpoints]
        self.session = Session(cluster.name, endpoints, spec.tls, identity, directory)
        self._slots = Slots()
        self.diagnostics: tuple[Diagnostic, ...] = ()
        if spec.tls.insecure:
            self.diagnostics = (insecure(cluster),)
            _logger.warning("%s", self.diagnostics[0].summary)

    def __repr__(self) -> str:
        return f"Proxmox({self.session!r})"

    @property
    def reads(self) -> int:
        return self.session.reads

    @property
    def writes(self) -> int:
        return self.session.writes

    @property
    def load(self) -> Mapping[str, Load]:
        """Our own calls by node; `""` for those that name none."""
        return MappingProxyType(self.session.load)

    async def observe(self, scope: Scope) -> ClusterView:
        view = await observe.observe(self.session, scope)
        self._slots.shared = frozenset(storage.name for storage in view.storages if storage.shared)
        return view

    async def poll(self) -> str:
        """A fingerprint, in one call: the same text while nothing that the list of everything shows has changed.

        What it does not show: nics, notes, and the other settings that only a guest's own configuration holds.
        """
        return listing.fingerprint(await self.session.get("/cluster/resources"))

    async def glance(self, vmids: Collection[int]) -> tuple[str, Mapping[int, ObservedGuest]]:
        """See Link.glance."""
        return await observe.glance(self.session, vmids)

    async def guest(self, vmid: int) -> ObservedGuest | None:
        return await observe.one(self.session, vmid)

    async def addresses(self, guest: ObservedGuest) -> tuple[str, ...]:
        """See Hypervisor.addresses."""
        return await interfaces.addresses(self.session, guest)

    async def call(self, operation: Operation, digest: str, log: Log, file: Path | None = None) -> None:
        """See Hypervisor.call. A created guest's own start task is followed too."""
        params = list(operation.params)
        if file is not None:
            params += [("checksum", await asyncio.to_thread(_checksum, file)), ("checksum-algorithm", "sha256")]
        if operation.guarded:
            if not digest:
                raise Conflict(f"{operation.method} {operation.path}: no digest to guard it with", "observe first")
            params.append(("digest", digest))
        node = node_of(operation.path)
        async with self._slots.turn(operation.method, operation.path, params):
            data = await self.session.write(operation.method, operation.path, params, node, file)
            if (upid := tasks.parse_upid(data)) is not None:
                await tasks.follow(self.session, upid, log)
                if ("start", "1") in params and (vmid := target(operation.path, params)) is not None:
                    await self._settle(vmid, log, None)

    async def snapshots(self, kind: GuestKind, node: str, vmid: int) -> "tuple[Snapshot, ...]":
        """See Link.snapshots."""
        from innkeeper.proxmox import history  # what only a server asks for

        return await history.snapshots(self.session, kind, node, vmid)

    async def tasks(self, vmid: int, limit: int = 50) -> "tuple[Task, ...]":
        """See Link.tasks."""
        from innkeeper.proxmox import history

        return await history.tasks(self.session, vmid, limit)

    async def usage(self) -> "tuple[NodeUse, ...]":
        """See Link.usage."""
        from innkeeper.proxmox import history

        return await history.usage(self.session, self.load)

    async def settle(self, vmid: int, log: Log, timeout: float) -> None:
        """See Hypervisor.settle. How those tasks end is not our matter; Waiting when they outlast `timeout` seconds."""
        await self._settle(vmid, log, time.monotonic() + timeout)

    async def _settle(self, vmid: int, log: Log, until: float | None) -> None:
        while running := await tasks.running(self.session, vmid):
            for upid in running:
                log(f"{upid.type} is running")
                try:
                    await tasks.follow(self.session, upid, log, until)
                except Waiting:
                    if until is not None and time.monotonic() >= until:
                        raise
                except EngineError as error:
                    log(error.message)

    async def close(self) -> None:
        await self.session.close()


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def insecure(cluster: Cluster) -> Diagnostic:
    """The warning that goes with every use of `insecure: true`."""
    return Diagnostic(
        "warning",
        "InsecureTLS",
        f"cluster {cluster.name}: insecure: true, so anybody in between can read the credentials",
        "write tls: {fingerprint: …} (innkeeper doctor shows it) or tls: {caFile: …}",
        cluster.origin.at("spec.tls.insecure"),
    )
