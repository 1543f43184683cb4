"""Which addresses something answers from, by ping and ARP, so that no guest takes an address that is in use."""

import asyncio
import errno
import ipaddress
import shutil
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

_AT_ONCE = 32
_SECONDS = 1
_ARP = Path("/proc/net/arp")
_COMPLETE = 0x2
_DISCARD = 9
_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
"""IP_RECVERR and IPV6_RECVERR of linux/in.h and linux/in6.h, which Python does not name."""
_EXTENDED = 16
"""Bytes of `struct sock_extended_err`."""


async def answering(addresses: Sequence[str]) -> frozenset[str]:
    """Those of the addresses that something answers from, within about a second for each 32 of them.

    A host that drops pings still answers ARP. An entry that was there before we asked proves nothing: the kernel keeps
    entries of hosts that are gone.
    """
    known = set(dict.fromkeys(addresses))
    before = await asyncio.to_thread(_neighbours)
    room = asyncio.Semaphore(_AT_ONCE)
    answers = await asyncio.gather(*(_answers(address, room) for address in sorted(known)))
    after = await asyncio.to_thread(_neighbours)
    return frozenset({address for address, yes in answers if yes} | ((after - before) & known))


async def _answers(address: str, room: asyncio.Semaphore) -> tuple[str, bool]:
    async with room:
        ping = shutil.which("ping")
        if ping is None:
            return address, await _provoke(address)
        family = f"-{ipaddress.ip_address(address).version}"
        process = await asyncio.create_subprocess_exec(
            *(ping, family, "-n", "-q", "-c", "1", "-W", str(_SECONDS), "--", address),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_SECONDS + 2):
                status = await process.wait()
        except TimeoutError:
            status = 1
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return address, status == 0 or (status > 1 and await _provoke(address))


async def _provoke(address: str) -> bool:
    """Where nothing may ping: one datagram makes the kernel ask by ARP. What answered stands in the table then.

    True for a host behind a router that says itself that nothing listens there.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        level, option = _RECVERR[family]
        probe.setsockopt(level, option, 1)
        try:
            probe.connect((address, _DISCARD))
            probe.send(b"")
            await asyncio.sleep(_SECONDS)
            refusals = probe.recvmsg(1, 512, socket.MSG_ERRQUEUE)[1]
        except OSError:
            return False
    return any(_refused_by(data, family) == address for *kind, data in refusals if kind == [level, option])


def _refused_by(data: bytes, family: int) -> str | None:
    """Who said that nothing listens at the port: the address itself, so it is there, or a firewall on the way.

    `data` is the kernel's `struct sock_extended_err`, the error first, with the sender's `sockaddr` after it (ip(7)).
    """
    if struct.unpack_from("=I", data)[0] != errno.ECONNREFUSED:
        return None
    start, length = (_EXTENDED + 4, 4) if family == socket.AF_INET else (_EXTENDED + 8, 16)
    return socket.inet_ntop(family, data[start : start + length])


def _neighbours() -> set[str]:
    try:
        lines = _ARP.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {row[0] for row in rows if len(row) > 2 and int(row[2], 16) & _COMPLETE}
