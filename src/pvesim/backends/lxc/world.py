"""The network and mount namespaces of one simulator, and the way into them.

A holder process keeps them: a shell that waits for the end of its standard input, which comes however pvesim ends.
Where no state is kept it then stops what still runs and removes the directory. Namespaces outlive the holder as long
as a container runs in them; the next start joins them again through that container.

Nothing of the machine's own network changes but for one veth pair and host routes over it, which go with the
namespace: `pvs<id>` here, `uplink` inside, with a /30 of 100.64.0.0/10 made of the id.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import ipaddress
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from pvesim.backends.lxc.process import Outcome, must, run
from pvesim.errors import TaskFailed

UPLINK = "uplink"
_TRANSIT = int(ipaddress.IPv4Address("100.64.0.0"))
_CLONE_NEWNET = 0x40000000
_READY_SECONDS = 10
_END_SECONDS = 30

_SETUP = """
set -e
mkdir -p "$HOME_DIR/cgroup"
mount --rbind /sys/fs/cgroup "$HOME_DIR/cgroup"
mount -t sysfs sysfs /sys
mount --move "$HOME_DIR/cgroup" /sys/fs/cgroup
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
set +e
"""
_WAIT = """
echo ready
cat > /dev/null
[ "$KEEP" = 1 ] && exit 0
cd /
for guest in "$HOME_DIR"/guests/*; do
  [ -d "$guest" ] || continue
  timeout 10 lxc-stop --kill -P "$HOME_DIR/guests" -n "${guest##*/}" 2> /dev/null
  for mounted in "$guest"/rootfs "$guest"/mp*; do umount --lazy "$mounted" 2> /dev/null; done
done
ip link del uplink 2> /dev/null
rm -rf --one-file-system "$HOME_DIR"
find /sys/fs/cgroup -depth -type d -path "*/$CGROUP*" -exec rmdir {} + 2> /dev/null
exit 0
"""


class World:
    """`home` is the state directory, `ident` what names are made of (the process id of the first pvesim in it)."""

    def __init__(self, home: Path, ident: int, *, keep: bool) -> None:
        self.home, self.ident, self.keep = home, ident, keep
        self.guests = home / "guests"
        self.cgroup = f"pvesim.{ident}"
        self.link = f"pvs{ident}"
        base = _TRANSIT + ident % 2**20 * 4
        self.outside, self.inside = str(ipaddress.IPv4Address(base + 1)), str(ipaddress.IPv4Address(base + 2))
        self._holder: asyncio.subprocess.Process | None = None
        self._bridges: set[str] = set()
        self._reached: set[str] = set()

    @property
    def transit(self) -> str:
        """The network between the machine and the namespace."""
        return str(ipaddress.IPv4Network(f"{self.outside}/30", strict=False))

    @property
    def pid(self) -> int:
        """The process that stands for the namespaces."""
        if self._holder is None:
            raise TaskFailed("the containers' namespaces are not there")
        return self._holder.pid

    def path(self, path: Path) -> Path:
        """`path` with the mounts of the namespace."""
        return Path(f"/proc/{self.pid}/root{path}")

    def enter(self, *command: str) -> list[str]:
        """The command line that runs `command` in the namespaces."""
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", "--", *command]

    async def run(self, *command: str, stdin: bytes = b"", timeout: float = 30) -> Outcome:
        return await run(*self.enter(*command), stdin=stdin, timeout=timeout)

    async def must(self, *command: str, stdin: bytes = b"", timeout: float = 30) -> Outcome:
        return await must(*self.enter(*command), stdin=stdin, timeout=timeout)

    async def open(self, running: int | None = None) -> None:
        """Make the namespaces, or join those in which process `running` is; TaskFailed where that is impossible."""
        self.guests.mkdir(parents=True, exist_ok=True)
        if running is None:
            command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", _SETUP + _WAIT]
        else:
            command = ["nsenter", "--target", str(running), "--net", "--mount", "sh", "-c", _WAIT]
        environment = os.environ | {"HOME_DIR": str(self.home), "KEEP": str(int(self.keep)), "CGROUP": self.cgroup}
        self._holder = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self._holder.stdout
        assert self._holder.stderr
        try:
            line = await asyncio.wait_for(self._holder.stdout.readline(), _READY_SECONDS)
        except TimeoutError:
            line = b""
        if line != b"ready\n":
            complaint = (await self._holder.stderr.read(2000)).decode(errors="replace").strip() if not line else ""
            raise TaskFailed(f"cannot make namespaces for containers ({complaint}): run `pvesim doctor`")
        if running is None:
            await self._uplink()

    async def _uplink(self) -> None:
        await must(
            *("ip", "link", "add", self.link, "type", "veth"),
            *("peer", "name", UPLINK, "netns", str(self.pid)),
        )
        await must("ip", "addr", "add", f"{self.outside}/30", "dev", self.link)
        await must("ip", "link", "set", self.link, "up")
        await self.must("ip", "addr", "add", f"{self.inside}/30", "dev", UPLINK)
        await self.must("ip", "link", "set", UPLINK, "up")

    async def bridge(self, name: str, addresses: Iterable[str] = ()) -> None:
        """Have a bridge with these addresses."""
        if name not in self._bridges:
            self._bridges.add(name)
            if (await self.run("ip", "link", "show", name)).status:
                # Without one of its own it takes the lowest of its ports', and guests lose it when that changes.
                own = ("address", _hardware_address(f"{self.ident} {name}"))
                await self.must("ip", "link", "add", name, *own, "type", "bridge", "forward_delay", "0")
                await self.must("ip", "link", "set", name, "up")
        for address in addresses:
            await self.must("ip", "addr", "replace", f"{address}/32", "dev", name)

    async def reach(self, address: str, bridge: str) -> None:
        """Make a guest's address known: in the namespace, and to the machine where nothing else has that address."""
        await self.run("ip", "route", "replace", f"{address}/32", "dev", bridge)
        taken = await _taken(address, self.link)
        if taken is None:
            done = await run("ip", "route", "replace", f"{address}/32", "via", self.inside, "dev", self.link)
            taken = done.complaint if done.status else None
        if taken is None:
            self._reached.add(address)
        else:
            say(f"no host route to {address}: {taken}; reach the guest through the node's SSH")

    async def leave(self, address: str, bridge: str) -> None:
        """Take back what `reach` did."""
        await self.run("ip", "route", "del", f"{address}/32", "dev", bridge)
        if address in self._reached:
            self._reached.discard(address)
            await run("ip", "route", "del", f"{address}/32", "dev", self.link)

    async def socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A non-blocking IPv4 socket that lives in the network namespace."""
        made: list[socket.socket | OSError] = []
        thread = threading.Thread(target=_socket_inside, args=(self.pid, kind, made))
        thread.start()
        await asyncio.to_thread(thread.join, 5)
        if not made or isinstance(made[0], OSError):
            raise TaskFailed(f"no socket in the namespace: {made[0] if made else 'no answer'}")
        return made[0]

    async def close(self) -> None:
        """Let the holder go, and with it all that is left where no state is kept."""
        if self._holder is None:
            return
        if self._holder.stdin:
            self._holder.stdin.close()
        try:
            await asyncio.wait_for(self._holder.wait(), _END_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._holder.send_signal(signal.SIGKILL)
            await self._holder.wait()
        self._holder = None
        await run("ip", "link", "del", self.link)
        clear_cgroups(self.cgroup)


def _hardware_address(text: str) -> str:
    """One of a locally administered device, always the same for a text."""
    return ":".join(f"{byte:02x}" for byte in (2, *hashlib.sha256(text.encode()).digest()[:5]))


async def _taken(address: str, link: str) -> str | None:
    """Why the machine itself must not get a route to that address; None where it may."""
    found = await run("ip", "-json", "route", "get", address)
    routes = json.loads(found.out or b"[]") if not found.status else []
    if any(route.get("type") == "local" for route in routes):
        return "the machine has that address itself"
    shown = await run("ip", "-json", "route", "show", "match", address)
    for route in json.loads(shown.out or b"[]") if not shown.status else []:
        if route.get("dst") not in ("default", "0.0.0.0/0") and route.get("dev") != link:
            return f"the machine has a route to {route['dst']} over {route.get('dev')}"
    return None


def _socket_inside(pid: int, kind: socket.SocketKind, made: list[socket.socket | OSError]) -> None:
    """Runs in a thread of its own: a thread that has changed its namespace must end."""
    try:
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        finally:
            os.close(namespace)
        opened = socket.socket(socket.AF_INET, kind)
        opened.setblocking(False)
        made.append(opened)
    except OSError as error:
        made.append(error)


def clear_cgroups(name: str) -> None:
    """Remove the empty control groups of a simulator, in every hierarchy."""
    for top in Path("/sys/fs/cgroup").glob(f"*/{name}"):
        _remove_tree(top)
    _remove_tree(Path("/sys/fs/cgroup") / name)


def _remove_tree(top: Path) -> None:
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def say(text: str) -> None:
    """A line for whoever runs pvesim."""
    print(f"pvesim: {text}", file=sys.stderr, flush=True)  # noqa: T201
