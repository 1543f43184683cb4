"""One simulator from start to end: its state, its certificates, its listeners, its log."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import trustme

from pvesim.api.dispatch import Dispatcher, Record
from pvesim.api.server import Server
from pvesim.cluster import persist, seed, stats
from pvesim.cluster.clock import Clock
from pvesim.cluster.state import Node
from pvesim.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pvesim.backends.lxc.guests import Guests
    from pvesim.cluster.state import Cluster

SAVE_SECONDS = 0.05
_HERE = "127.0.0.1"
SAVE_SHARE = 20  # saving takes at most one part in so many of the time


class Simulator:
    """Everything that one `pvesim` process is. `home` holds the CA and, with `keep`, the state."""

    def __init__(
        self,
        home: Path,
        seed_file: Path | None = None,
        faults: Path | None = None,
        log: Path | None = None,
        *,
        real: bool = False,
        keep: bool = False,
        containers: bool = False,
        ssh_key: Path | None = None,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._state = home / "state.json"
        self.cafile = home / "ca.pem"
        clock = Clock(real=real)
        if self._state.exists():
            self.cluster = persist.load(self._state, clock)
        else:
            self.cluster = seed.plant(seed.read(seed_file) if seed_file else seed.DEFAULT, clock)
        self.faults = Faults(self.cluster, faults)
        self._dispatcher = Dispatcher(self.cluster, self.faults)
        self._server = Server(self._dispatcher)
        self._log: TextIO | None = log.open("a", encoding="utf-8") if log else None
        self._saving: asyncio.TimerHandle | None = None
        self._pause = SAVE_SECONDS
        if log:
            self._dispatcher.logged = self._record
        self._keep = keep
        if keep:
            self._dispatcher.changed = self._changed
            self.cluster.tasks.finished = lambda _: self._changed()
        self._guests = _guests(self.cluster, home, keep, ssh_key) if containers else None
        self._from_guests: dict[str, str] = {}

    async def start(self, port: int) -> dict[str, str]:
        """Listen; returns the URL of each node. `port` is the first node's, 0 means free ones."""
        if self.cluster.clock.real:
            self._tick()
        if self._guests:
            await self._guests.open(self._changed if self._keep else lambda: None)
        authority = _authority(self._home)
        hosts = [_HERE, *([self._guests.host] if self._guests else [])]
        urls = {}
        for index, node in enumerate(self.cluster.nodes.values()):
            tls = _certificate(self._home, authority, node, hosts)
            found = await self._server.listen(node, hosts, port + index if port else 0, tls)
            urls[node.name] = f"https://{_HERE}:{found}"
            if self._guests:
                self._from_guests[node.name] = f"https://{self._guests.host}:{found}"
        return urls

    async def stop(self) -> None:
        """End cleanly: no connection stays, the state is saved."""
        await self._server.close()
        if self._guests:
            await self._guests.close()
        if self._saving:
            self._saving.cancel()
        if self._keep:
            persist.save(self.cluster, self._state)
        if self._log:
            self._log.close()

    def ready(self) -> dict[str, Any]:
        """What real containers add to the ready line."""
        return self._guests.ready() | {"from_guests": self._from_guests} if self._guests else {}

    def tokens(self) -> dict[str, str]:
        """Every token's value by its full name."""
        users = self.cluster.users.values()
        return {f"{user.userid}!{name}": token.value for user in users for name, token in user.tokens.items()}

    def _tick(self) -> None:
        stats.tick(self.cluster)
        asyncio.get_running_loop().call_later(stats.TICK_SECONDS, self._tick)

    def _record(self, record: Record) -> None:
        if self._log:
            self._log.write(json.dumps(dataclasses.asdict(record), separators=(",", ":")) + "\n")
            self._log.flush()

    def _changed(self) -> None:
        if self._saving is None:
            self._saving = asyncio.get_running_loop().call_later(self._pause, self._save)

    def _save(self) -> None:
        self._saving = None
        begun = time.monotonic()
        persist.save(self.cluster, self._state)
        self._pause = max(SAVE_SECONDS, (time.monotonic() - begun) * SAVE_SHARE)


def _guests(cluster: Cluster, home: Path, keep: bool, ssh_key: Path | None) -> Guests:
    from pvesim.backends.lxc.guests import Guests  # only real containers need it

    return Guests(cluster, home, keep=keep, ssh_key=ssh_key)


def _authority(home: Path) -> trustme.CA:
    cert, key = home / "ca.pem", home / "ca.key"
    if key.exists():
        return trustme.CA.from_pem(cert.read_bytes(), key.read_bytes())
    authority = trustme.CA(organization_name="pvesim")
    key.touch(mode=0o600)
    key.write_bytes(authority.private_key_pem.bytes())
    cert.write_bytes(authority.cert_pem.bytes())
    return authority


def _certificate(home: Path, authority: trustme.CA, node: Node, hosts: Sequence[str]) -> ssl.SSLContext:
    """The node's TLS context for these addresses; its certificate is kept beside the CA, so its fingerprint stays."""
    path = home / f"{'-'.join([node.name, *(host for host in hosts if host != _HERE)])}.pem"
    if not path.exists():
        made = authority.issue_cert(*hosts, "localhost", node.name)
        path.touch(mode=0o600)
        path.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    pem = path.read_text()
    leaf = pem[pem.index("-----BEGIN CERTIFICATE") : pem.index("-----END CERTIFICATE-----") + 25] + "\n"
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest().upper()
    node.fingerprint = ":".join(digest[index : index + 2] for index in range(0, 64, 2))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    tls.set_alpn_protocols(["http/1.1"])
    return tls
