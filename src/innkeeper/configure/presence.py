"""Which addresses something answers from, by ping and ARP, so that no guest takes an address that is in use."""

import asyncio
import ipaddress
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

_AT_ONCE = 32
_SECONDS = 1
_ARP = Path("/proc/net/arp")
_COMPLETE = 0x2
_DISCARD = 9


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
    """Where nothing may ping: one datagram makes the kernel ask by ARP. What answered stands in the table then."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect((address, _DISCARD))
            probe.send(b"")
            await asyncio.sleep(_SECONDS)
        except OSError:
            return False
        try:
            probe.send(b"")
        except ConnectionRefusedError:  # it said that nothing listens there: so it is there
            return True
        except OSError:
            return False
    return False


def _neighbours() -> set[str]:
    try:
        lines = _ARP.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {row[0] for row in rows if len(row) > 2 and int(row[2], 16) & _COMPLETE}
