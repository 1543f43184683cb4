"""Whatever happens on the way, the next runs converge: crashes at every call, lost answers, people, dead nodes.

What holds at every moment: no guest is made twice, nothing that is not ours changes, nothing is deleted on missing
evidence, every configuration write carries the digest, MAC addresses and settings that we do not manage stay.
"""

from __future__ import annotations

import asyncio
import copy
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from innkeeper.engine.errors import EngineError
from innkeeper.engine.result import Result
from innkeeper.model.objects import Guest
from innkeeper.model.observed import Marker
from innkeeper.proxmox.hypervisor import Proxmox
from innkeeper.settings.marker import read_marker
from pvesim.cluster.state import Guest as Simulated
from tests.innkeeper.engine.lab import Lab, brief, running
from tests.innkeeper.planner.worlds import SOURCE, container, machine

DISK = {"rootDisk": {"storage": "nas", "size": "1Gi"}}
NIC = {"network": [{"bridge": "vmbr0", "ip": "dhcp"}]}


class Crash(BaseException):
    """The process dies."""


def crashing(hypervisor: Proxmox, at: int, *, after: bool) -> Callable[[], int]:
    """Let the process die at its call number `at`, before it is sent or once its answer is there.

    Returns how many calls were made so far.
    """
    calls = 0
    dead = False
    send = hypervisor.session._send

    async def wrapped(*args: Any, **named: Any) -> Any:
        nonlocal calls, dead
        calls += 1
        if dead or (calls == at and not after):
            dead = True
            raise Crash
        answer = await send(*args, **named)
        if dead or calls >= at > 0:
            dead = True
            raise Crash
        return answer

    hypervisor.session._send = wrapped  # type: ignore[method-assign]
    return lambda: calls


def marker_of(guest: Simulated) -> Marker | None:
    return read_marker(guest.config.get("description", ""))[1]


def ours(lab: Lab) -> Counter[str]:
    """How many guests carry the marker of each object of ours."""
    markers = (marker_of(guest) for guest in lab.guests.values())
    return Counter(marker.name for marker in markers if marker and marker.source == SOURCE)


def config_writes_without_digest(lab: Lab) -> list[str]:
    return [
        f"{call.method} {call.path}"
        for call in lab.calls
        if call.write and call.path.endswith(("/config", "/resize")) and call.params and "digest" not in call.params
    ]


async def until_quiet(lab: Lab, *guests: Guest, runs: int = 4, **policy: Any) -> Result:
    """Apply until a run has nothing to do; the last result."""
    for _ in range(runs):
        result = await lab.apply(*guests, **policy)
        if result.writes == 0 and result.ok:
            return result
    raise AssertionError(f"not converged after {runs} runs: {brief(result)} {result.plan.diagnostics}")


# --- A crash at every single call -----------------------------------------------------------------------------------


class Scene:
    """A cluster in which one run creates, clones, changes, starts, adopts, replaces and prunes."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.policy: dict[str, Any] = {"prune": True, "replace": frozenset({"swap"})}
        golden = machine("golden", vmid=900, disks=[{"slot": "scsi0", "storage": "nas", "size": "1Gi"}])
        self.golden = golden
        self.guests = (
            container("db", memory="512Mi", running=True, **DISK, **NIC),
            container("web", memory="256Mi", running=True, needs=["Container/db"], **DISK, **NIC),
            machine("vm", clone={"template": 900}, memory="1Gi", running=True, network=[{"bridge": "vmbr0"}]),
            container("swap", unprivileged=False, **DISK),
            container("taken", vmid=700, adopt=True),
            golden,
        )

    async def set_up(self) -> None:
        before = (
            container("db", memory="256Mi", **DISK, **NIC),
            container("swap", unprivileged=True, **DISK),
            container("old", **DISK),
            container("taken", vmid=700, **DISK),
            container("foreign", vmid=800, memory="128Mi", **DISK, **NIC),
            self.golden,
        )
        result = await self.lab.apply(*before)
        assert result.ok, brief(result)
        for vmid in (700, 800):
            config = self.lab.guests[vmid].config
            config["description"], config["tags"] = "not yours", "theirs"
        self.lab.guests[900].config["template"] = "1"
        cluster = self.lab.sim.cluster
        self.start = copy.deepcopy((cluster.guests, cluster.volumes, cluster.pools))

    def rewind(self) -> None:
        cluster = self.lab.sim.cluster
        cluster.guests, cluster.volumes, cluster.pools = copy.deepcopy(self.start)
        self.lab.calls.clear()

    async def prove(self, at: str) -> None:
        """The next runs converge, and nothing that must stay was touched."""
        await until_quiet(self.lab, *self.guests, **self.policy)
        counts = ours(self.lab)
        assert counts == Counter(["db", "web", "vm", "swap", "taken", "golden"]), at
        assert self.lab.guests[800].config == self.start[0][800].config, at
        assert config_writes_without_digest(self.lab) == [], at
        nic = self.start[0][next(vmid for vmid, guest in self.start[0].items() if _is(guest, "db"))].config["net0"]
        (db,) = (guest for guest in self.lab.guests.values() if _is(guest, "db"))
        assert db.config["net0"] == nic, at
        assert db.running is not None, at


def _is(guest: Simulated, name: str) -> bool:
    marker = marker_of(guest)
    return marker is not None and marker.name == name


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a dead process closes nothing
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_crash_at_any_call_converges(tmp_path: Path, after: bool) -> None:
    async with running(tmp_path) as lab:
        scene = Scene(lab)
        await scene.set_up()
        hypervisor = lab.proxmox()
        count = crashing(hypervisor, 0, after=False)
        assert (await lab.run(hypervisor, *scene.guests, **scene.policy)).ok
        total = count()
        assert total > 40
        for at in range(1, total + 1):
            scene.rewind()
            hypervisor = lab.proxmox()
            crashing(hypervisor, at, after=after)
            try:
                await lab.run(hypervisor, *scene.guests, parallel=1, **scene.policy)
            except (Crash, BaseExceptionGroup):
                pass
            await scene.prove(f"crash {'after' if after else 'before'} call {at} of {total}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("trouble", ["lose-answer", "drop", "status"])
async def test_a_lost_answer_at_any_write_converges_in_the_same_run(tmp_path: Path, trouble: str) -> None:
    async with running(tmp_path) as lab:
        scene = Scene(lab)
        await scene.set_up()
        lab.calls.clear()
        assert (await lab.apply(*scene.guests, **scene.policy)).ok
        writes = len(lab.writes)
        assert writes >= 8
        for at in range(writes):
            scene.rewind()
            rules = ", ".join(
                f'{{"on": {{method: {verb}, path: "/*"}}, after: {at}, do: {trouble}}}'
                for verb in ("POST", "PUT", "DELETE")
            )
            lab.faults(f"{{rules: [{rules}]}}")
            result = await lab.apply(*scene.guests, **scene.policy)
            assert result.ok, (at, brief(result))
            lab.faults("{}")
            await scene.prove(f"{trouble} at write {at}")
