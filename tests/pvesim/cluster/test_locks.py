"""Locks wait as long as Proxmox does, and say what Proxmox says."""

from __future__ import annotations

import asyncio

import pytest

from pvesim.cluster.clock import Clock
from pvesim.cluster.locks import Locks
from pvesim.errors import ApiError


@pytest.fixture
def locks() -> Locks:
    return Locks(Clock(real=True))


async def test_one_at_a_time_in_order(locks: Locks) -> None:
    seen: list[int] = []

    async def work(number: int) -> None:
        async with locks.guest("pve", "lxc", 101):
            seen.append(number)
            await asyncio.sleep(0.01)
            seen.append(number)

    await asyncio.gather(*(work(number) for number in range(3)))
    assert seen == [0, 0, 1, 1, 2, 2]


async def test_whoever_waits_too_long_is_told_the_file(locks: Locks) -> None:
    async with locks.guest("pve", "qemu", 101):
        with pytest.raises(ApiError, match=r"can't lock file '/var/lock/qemu-server/lock-101\.conf' - got timeout"):
            async with locks.guest("pve", "qemu", 101, wait=0.02):
                pass
        async with locks.guest("other", "qemu", 101, wait=0.02):
            pass
    async with locks.guest("pve", "qemu", 101, wait=0.02):
        pass


async def test_readers_share_and_a_writer_waits_for_them(locks: Locks) -> None:
    async with locks.file("pve", "/f", shared=True), locks.file("pve", "/f", wait=0.02, shared=True):
        with pytest.raises(ApiError, match="got timeout"):
            async with locks.file("pve", "/f", wait=0.02):
                pass
    async with locks.file("pve", "/f", wait=0.02):
        with pytest.raises(ApiError, match="got timeout"):
            async with locks.file("pve", "/f", wait=0.02, shared=True):
                pass


async def test_a_cluster_lock_needs_quorum(locks: Locks) -> None:
    locks.quorate = lambda: False
    with pytest.raises(ApiError, match="cfs-lock 'storage-nas' error: no quorum!"):
        async with locks.cfs("storage-nas"):
            pass
    locks.quorate = lambda: True
    locks.seize("cfs:storage-nas")
    with pytest.raises(ApiError, match="cfs-lock 'storage-nas' error: got lock request timeout"):
        async with locks.cfs("storage-nas", wait=0.02):
            pass


async def test_a_seized_lock_is_free_again_when_it_is_given_back(locks: Locks) -> None:
    locks.seize("pve:/f")
    asyncio.get_running_loop().call_later(0.02, locks.free, "pve:/f")
    async with locks.file("pve", "/f", wait=5):
        pass


async def test_an_instant_clock_does_not_wait_for_what_is_seized() -> None:
    locks = Locks(Clock())
    locks.seize("pve:/f")
    async with asyncio.timeout(1):
        with pytest.raises(ApiError, match="got timeout"):
            async with locks.file("pve", "/f"):
                pass
