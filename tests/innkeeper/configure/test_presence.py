"""Who answers: on loopback, and on a real link where pings are dropped and only ARP tells."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from innkeeper.configure.presence import answering


@pytest.fixture(params=["with ping", "without ping"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without ping":
        monkeypatch.setenv("PATH", "/nowhere")
    elif shutil.which("ping") is None:
        pytest.skip("needs: ping (iputils-ping)")


@pytest.mark.usefixtures("path")
async def test_loopback_answers_and_an_address_without_host_does_not() -> None:
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


REFUSE = """
import socket, struct, sys
seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print("ready", flush=True)
while True:
    packet, (_, _, kind, *_) = seen.recvfrom(2048)
    if kind == socket.PACKET_OUTGOING or packet[9] == socket.IPPROTO_ICMP and packet[20] == 3:
        continue
    said = struct.pack("!BBHI", 3, 3, 0, 0) + packet[:28]
    total = sum(struct.unpack(f"!{len(said) // 2}H", said))
    total = (total & 0xFFFF) + (total >> 16)
    icmp.sendto(said[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + said[4:], (sys.argv[1], 0))
"""
"""A router that refuses whatever is to go through it, in its own name, as firewalls do."""


@pytest.fixture
def beyond(link: str) -> Iterator[str]:
    """A network behind such a router."""
    net = f"198.18.{secrets.randbelow(250)}"
    subprocess.run(["ip", "route", "add", f"{net}.0/24", "via", f"{link}.2"], check=True)
    shown = subprocess.run(["ip", "-j", "addr", "show", "to", f"{link}.1"], capture_output=True, check=True).stdout
    name = json.loads(shown)[0]["ifname"].removesuffix("a")
    words = ["ip", "netns", "exec", name, sys.executable, "-c", REFUSE, f"{link}.1"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as router:
        assert router.stdout is not None
        assert router.stdout.readline() == "ready\n"
        yield net
        router.kill()


async def test_a_host_that_drops_pings_is_seen_by_arp(link: str, path: None) -> None:
    assert await answering([f"{link}.2", f"{link}.3"]) == {f"{link}.2"}


async def test_a_firewall_on_the_way_is_not_the_host(beyond: str, path: None) -> None:
    assert await answering([f"{beyond}.7"]) == frozenset()
