"""Getting into a guest by SSH: wait for it with a bound, trust only the host key that was seen first, sign in."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from shlex import join
from typing import TYPE_CHECKING, Any

from innkeeper.configure.bounds import Bounds
from innkeeper.configure.extras import need
from innkeeper.configure.keep import Keep
from innkeeper.configure.routes import Hop, Route
from innkeeper.engine.errors import EngineError, Stalled

if TYPE_CHECKING:
    import asyncssh

_PAUSES = (0.1, 0.2, 0.4, 0.7, 1.0)
_HOST_KEY_KINDS = {
    "ssh-ed25519": "ssh-ed25519",
    "ecdsa-sha2-nistp256": "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384": "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521": "ecdsa-sha2-nistp521",
    "rsa-sha2-512": "ssh-rsa",
    "rsa-sha2-256": "ssh-rsa",
}
"""Signature algorithms of SSH, and the type of the key that each belongs to."""

_LARGEST_OUTPUT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command in the guest ended with; `output` holds both streams, the last 64 KiB of them."""

    status: int
    output: str


class Entered:
    """An open way into a guest."""

    def __init__(self, connection: "asyncssh.SSHClientConnection", way: Route) -> None:
        self.connection = connection
        self._way = way

    async def run(self, command: str, timeout: float) -> Answer:
        """Run a line of shell in the guest. TimeoutError when it takes longer, OSError when the guest is lost."""
        if self._way.pct:
            command = join([*self._way.pct, "/bin/sh", "-c", command])
        asyncssh: Any = need("asyncssh")
        async with asyncio.timeout(timeout):
            try:
                async with self.connection.create_process(
                    command, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT, errors="replace"
                ) as process:
                    output = ""
                    while part := await process.stdout.read(_LARGEST_OUTPUT):
                        output = (output + part)[-_LARGEST_OUTPUT:]
                    await process.wait_closed()
            except asyncssh.Error as error:
                raise ConnectionError(error.reason) from None
        status = process.returncode
        return Answer(status if isinstance(status, int) else 255, output)


class Reach:
    """Opens ways into guests of one cluster. `bounds` say how long to wait."""

    def __init__(self, keep: Keep, cluster: str, bounds: Bounds) -> None:
        self._keep = keep
        self._cluster = cluster
        self._bounds = bounds

    @asynccontextmanager
    async def enter(self, way: Route, who: str, patience: float | None = None) -> AsyncIterator[Entered]:
        """Sign in, waiting at most `patience` seconds (None: the bound) for every hop to answer. Raises Stalled."""
        await asyncio.to_thread(need, "asyncssh")
        async with contextlib.AsyncExitStack() as stack:
            tunnel: asyncssh.SSHClientConnection | None = None
            for index, hop in enumerate(way.hops):
                last = index == len(way.hops) - 1
                name = who if last and not way.pct else f"the node of {who}"
                waiting = _Waiting(self._bounds, patience, name, hop)
                tunnel = await waiting.connected(lambda hop=hop, tunnel=tunnel: self._connect(hop, tunnel))  # type: ignore[misc]
                stack.push_async_callback(_closed, tunnel)
            assert tunnel is not None  # a route has hops
            yield Entered(tunnel, way)

    async def _connect(self, hop: Hop, tunnel: Any) -> Any:
        asyncssh: Any = need("asyncssh")
        known = self._keep.host_key(self._cluster, hop.alias) if hop.alias else None
        seen: list[Any] = []

        class Client(asyncssh.SSHClient):  # type: ignore[misc]
            def validate_host_public_key(self, host: str, addr: str, port: int, key: Any) -> bool:
                seen.append(key)
                return hop.alias is not None and (known is None or _line(key) == known)

        if hop.alias is None and not hop.known_hosts.exists():
            raise Stalled(
                f"ssh.knownHosts: {hop.known_hosts} is not there", "write it with ssh-keyscan, or leave it out"
            )
        try:
            connection = await asyncssh.connect(
                hop.host,
                hop.port,
                username=hop.user,
                client_keys=[_key(asyncssh, hop)],
                client_factory=Client,
                known_hosts=str(hop.known_hosts) if hop.alias is None else ([], [], []),
                tunnel=tunnel,
                config=None,
                agent_path=None,
                preferred_auth="publickey",
                connect_timeout=self._bounds.handshake,
                login_timeout=self._bounds.handshake,
                keepalive_interval=15,
                server_host_key_algs=_preferred(known),
            )
        except asyncssh.HostKeyNotVerifiable:
            raise self._distrust(asyncssh, hop, known, seen) from None
        if known is None and hop.alias is not None and seen:
            self._keep.record_host_key(self._cluster, hop.alias, _line(seen[-1]))
        return connection

    def _distrust(self, asyncssh: Any, hop: Hop, known: str | None, seen: list[Any]) -> "_Distrusted":
        found = seen[-1].get_fingerprint() if seen else "not a key"
        if hop.alias is None or known is None:
            return _Distrusted(
                f"shows the host key {found}, which {hop.known_hosts} does not hold",
                f"compare it with ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on {hop.host}, then add it there",
            )
        recorded = asyncssh.import_public_key(known).get_fingerprint()
        return _Distrusted(
            f"shows another SSH host key than before: it was {recorded}, now it is {found}",
            f"if it was made anew by hand, remove {hop.known_hosts} and run again; "
            "otherwise somebody else answers at its address",
        )


class _Distrusted(Exception):
    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class _Waiting:
    """One hop's bounded wait: what does not answer is asked again, what refuses for long is given up."""

    def __init__(self, bounds: Bounds, patience: float | None, name: str, hop: Hop) -> None:
        self._bound = bounds.reach if patience is None else patience
        self._refusals = min(bounds.refused, self._bound)
        self._name, self._hop = name, hop
        self._last = "no answer"

    async def connected(self, connect: Callable[[], Awaitable[Any]]) -> Any:
        asyncssh: Any = need("asyncssh")
        refused_since: float | None = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._bound):
                for attempt in range(1 << 30):
                    try:
                        return await connect()
                    except _Distrusted as error:
                        raise Stalled(f"{self._name} at {self._hop} {error}", error.advice) from None
                    except asyncssh.PermissionDenied:
                        refused_since = refused_since or time.monotonic()
                        if time.monotonic() - refused_since >= self._refusals:
                            raise self._refused() from None
                        self._last = "sign-in refused"
                    except (OSError, asyncssh.Error) as error:
                        refused_since = None
                        self._last = _reason(error)
                    await asyncio.sleep(_PAUSES[min(attempt, len(_PAUSES) - 1)])
        if refused_since is not None:
            raise self._refused()
        raise Stalled(
            f"{self._name} did not answer SSH at {self._hop} within {self._bound:g} seconds: {self._last}",
            "is it running, is that its address, does sshd run in it, and does a route lead there from this machine? "
            "Where only its node reaches it: ssh: {jump: true} in the cluster's spec",
        )

    def _refused(self) -> EngineError:
        return Stalled(
            f"{self._name} at {self._hop} refuses to let {self._hop.user} sign in with the key {self._hop.key_file}",
            f"append {self._hop.key_file}.pub to ~{self._hop.user}/.ssh/authorized_keys there",
        )


async def _closed(connection: Any) -> None:
    connection.close()
    with contextlib.suppress(Exception):
        async with asyncio.timeout(2):
            await connection.wait_closed()


def _key(asyncssh: Any, hop: Hop) -> Any:
    try:
        return asyncssh.read_private_key(str(hop.key_file))
    except OSError as error:
        problem = error.strerror or "cannot be read"
    except asyncssh.KeyEncryptionError:
        problem = "is locked with a passphrase"
    except (asyncssh.KeyImportError, ValueError):
        problem = "is not a private key"
    raise Stalled(f"the SSH key {hop.key_file} {problem}", "name a key that is there, without a passphrase")


def _preferred(known: str | None) -> list[str]:
    """The kinds of host key to ask for: the recorded one's first, so that a server with several shows that one."""
    recorded = known.split()[0] if known else ""
    return sorted(_HOST_KEY_KINDS, key=lambda kind: _HOST_KEY_KINDS[kind] != recorded)


def _line(key: Any) -> str:
    return " ".join(key.export_public_key("openssh").decode("ascii").split()[:2])


def said(error: OSError) -> str:
    """What went wrong, without the address that Python puts in its place."""
    return os.strerror(error.errno).lower() if error.errno else str(error) or "no answer"


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, OSError):
        return said(error)
    return str(getattr(error, "reason", "")) or str(error) or type(error).__name__
