"""The nodes' SSH: what a client finds who logs in to a node as root.

It knows `pct exec`, `pct push`, `pct pull`, `pct status` and `pct list`, takes files by SFTP into a directory of each
node's own, and forwards connections to guests (`ProxyJump`), as the real node would over its bridges.
"""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pvesim.backends.lxc import pct
from pvesim.backends.lxc.backend import LxcBackend
from pvesim.backends.lxc.needs import NeedsError
from pvesim.backends.lxc.proxy import relay
from pvesim.cluster.state import Cluster
from pvesim.errors import TaskFailed

if TYPE_CHECKING:
    import asyncssh

_CONNECT_SECONDS = 10


class NodeSsh:
    """One server for each node on a free port of 127.0.0.1; `keys` is a file of public keys that may log in."""

    def __init__(self, cluster: Cluster, backend: LxcBackend, home: Path, keys: Path | None) -> None:
        self._cluster, self._backend, self._home, self._keys = cluster, backend, home, keys
        self._servers: list[Any] = []
        self._ready: dict[str, Any] = {}

    async def open(self) -> None:
        """Listen; NeedsError without asyncssh."""
        try:
            import asyncssh
        except ImportError as error:
            raise NeedsError("needs: asyncssh: pip install 'innkeeper[guests]' (the nodes' SSH)") from error
        folder = self._home / "ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        keys = await asyncio.to_thread(self._authorized, folder)
        for node in self._cluster.nodes.values():
            host_key = _key(folder / f"host-{node.name}", node.name)
            files = self._home / "nodes" / node.name
            files.mkdir(parents=True, exist_ok=True)
            server = await asyncssh.create_server(
                lambda: _server_class()(self._backend),
                "127.0.0.1",
                0,
                server_host_keys=[host_key],
                authorized_client_keys=asyncssh.import_authorized_keys(keys),
                process_factory=self._processes(node.name, files),
                sftp_factory=lambda channel, files=files: asyncssh.SFTPServer(channel, chroot=str(files).encode()),
                allow_scp=True,
                encoding=None,
                agent_forwarding=False,
                x11_forwarding=False,
            )
            self._servers.append(server)
            self._ready[node.name] = {
                "host": "127.0.0.1",
                "port": server.get_port(),
                "hostkey": host_key.export_public_key().decode().strip(),
            }

    def _authorized(self, folder: Path) -> str:
        """The public keys that may log in; without a file of them one is made, for tests."""
        if self._keys:
            return self._keys.read_text()
        return str(_key(folder / "id_ed25519", "root@pvesim").export_public_key().decode())

    def ready(self) -> dict[str, Any]:
        """For the ready line: where each node listens, and the key that may log in where none was given."""
        identity = {} if self._keys else {"ssh_key": str(self._home / "ssh" / "id_ed25519")}
        return {"ssh": self._ready} | identity

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for server in self._servers:
            await server.wait_closed()

    def _processes(self, node: str, files: Path) -> Any:
        async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
            try:
                words = shlex.split(process.command or "")
            except ValueError as error:
                words = []
                process.stderr.write(f"bash: {error}\n".encode())
            status = await pct.run(self._cluster, self._backend, node, files, words, process)
            process.exit(status)

        return handle


def _server_class() -> Any:
    import asyncssh

    class Server(asyncssh.SSHServer):
        """Who may forward where: to addresses of guests, as the node reaches them."""

        def __init__(self, backend: LxcBackend) -> None:
            self._backend = backend

        def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
            async def forward(reader: Any, writer: Any) -> None:
                try:
                    far = await self._connect(dest_host, dest_port)
                except (OSError, TaskFailed, TimeoutError):
                    writer.close()
                    return
                await relay(reader, writer, *far)
                writer.close()

            return forward

        async def _connect(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            made = await self._backend.world.socket()
            try:
                loop = asyncio.get_running_loop()
                await asyncio.wait_for(loop.sock_connect(made, (host, port)), _CONNECT_SECONDS)
                return await asyncio.open_connection(sock=made)
            except BaseException:
                made.close()
                raise

    return Server


def _key(path: Path, comment: str) -> Any:
    import asyncssh

    if not path.exists():
        made = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
        path.touch(mode=0o600)
        path.write_bytes(made.export_private_key())
        path.with_suffix(".pub").write_bytes(made.export_public_key())
    return asyncssh.read_private_key(str(path))
