"""Who answers: on loopback, and on a real link where pings are dropped and only ARP tells."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from innkeeper.configure.presence import answering


async def test_loopback_answers_and_an_address_without_host_does_not() -> None:
    if shutil.which("ping") is None:
        pytest.skip("needs: ping (iputils-ping)")
    nobody = [f"198.19.{secrets.randbelow(250)}.{number}" for number in range(1, 4)]
    assert await answering(["127.0.0.1", "127.1.2.3", *nobody]) == {"127.0.0.1", "127.1.2.3"}
    assert await answering([]) == frozenset()


@pytest.fixture
def link() -> Iterator[str]:
    """A host on a link of its own that drops pings: its network as `10.77.N`; it is `.2`."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs: root and iproute2")
    name, net = f"ik{secrets.token_hex(3)}", f"10.77.{secrets.randbelow(250)}"
    steps = [
        ["ip", "netns", "add", name],
        ["ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", "eth0", "netns", name],
        ["ip", "addr", "add", f"{net}.1/24", "dev", f"{name}a"],
        ["ip", "link", "set", f"{name}a", "up"],
        ["ip", "-n", name, "addr", "add", f"{net}.2/24", "dev", "eth0"],
        ["ip", "-n", name, "link", "set", "eth0", "up"],
        ["ip", "netns", "exec", name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/icmp_echo_ignore_all"],
    ]
    try:
        for step in steps:
            if subprocess.run(step, capture_output=True, check=False).returncode:
                pytest.skip(f"needs: the right to {' '.join(step[:3])}")
        yield net
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", f"{name}a"], capture_output=True, check=False)


async def test_a_host_that_drops_pings_is_seen_by_arp(link: str) -> None:
    assert await answering([f"{link}.2", f"{link}.3"]) == {f"{link}.2"}


async def test_without_ping_arp_is_enough(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert await answering([f"{link}.2", f"{link}.3"]) == {f"{link}.2"}
