"""Whatever happens on the way, the next runs converge: crashes at every call, lost answers, people, dead nodes.

What holds at every moment: no guest is made twice, nothing that is not ours changes, nothing is deleted on missing
evidence, every configuration write carries the digest, MAC addresses and settings that we do not manage stay.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from innkeeper.engine.errors import EngineError
from innkeeper.engine.result import Result
from innkeeper.model.images import Image
from innkeeper.model.objects import Guest
from innkeeper.model.observed import Marker
from innkeeper.proxmox.hypervisor import Proxmox
from innkeeper.settings.marker import read_marker
from pvesim.cluster.state import Guest as Simulated
from tests.innkeeper.engine.lab import Lab, brief, running
from tests.innkeeper.planner.worlds import SOURCE, container, machine

DISK: dict[str, Any] = {"rootDisk": {"storage": "nas", "size": "1Gi"}}
IMAGE = Image("disk", "local:import/innkeeper-disk-0.qcow2", url="https://example.org/x", checksum=f"sha256:{'0' * 64}")
NIC: dict[str, Any] = {"network": [{"bridge": "vmbr0", "ip": "dhcp"}]}


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
    """A cluster in which one run creates, clones, brings an image, changes, starts, adopts, replaces and prunes."""

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
            replace(
                machine("drawn", disks=[{"slot": "scsi0", **DISK["rootDisk"], "importFrom": IMAGE.volume}]),
                images=(IMAGE,),
            ),
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
        assert counts == Counter(["db", "web", "vm", "swap", "drawn", "taken", "golden"]), at
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
            with suppress(Crash, BaseExceptionGroup):
                await lab.run(hypervisor, *scene.guests, parallel=1, **scene.policy)
            await scene.prove(f"crash {'after' if after else 'before'} call {at} of {total}")
        gc.collect()


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


# --- Anything in any order ------------------------------------------------------------------------------------------

NAMES = ("ada", "bob", "eve")
VARIANTS: tuple[dict[str, Any], ...] = (
    {"memory": "256Mi", **NIC},
    {"memory": "512Mi", "cpu": {"cores": 2}, "running": True, **NIC},
    {"memory": "512Mi", "running": False, "tags": ["x", "y"], "network": [{"bridge": "vmbr1"}]},
    {"description": "Some text", "pool": "apps", "restart": "whenNeeded", "running": True, "startOnBoot": True, **NIC},
    {"mounts": [{"path": "/data", "storage": "nas", "size": "1Gi"}], "options": {"console": 1}, **NIC},
)
MACHINES = ("eve",)
MACHINE_DISK: dict[str, Any] = {"disks": [{"slot": "scsi0", "storage": "nas", "size": "1Gi"}]}
UNMANAGED = {
    "lxc": {"timezone": "Europe/Berlin", "cmode": "shell"},
    "qemu": {"tablet": "0", "vga": "std"},
}


class Anything(RuleBasedStateMachine):
    """People, faults and applies in any order; the invariants are checked after each."""

    foreigners: Bundle[int] = Bundle("foreigners")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.wanted: dict[str, Guest] = {}
        self.foreign: dict[int, dict[str, str]] = {}
        self.macs: dict[int, str] = {}
        self.sound = True

    @initialize(variants=st.tuples(*[st.sampled_from(VARIANTS)] * len(NAMES)))
    def begin(self, variants: tuple[dict[str, Any], ...]) -> None:
        home = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.lab: Lab = self.runner.run(self.stack.enter_async_context(running(Path(home))))
        for name, variant in zip(NAMES, variants, strict=True):
            self.declare(name, variant, None)
        self.apply(prune=False)

    def teardown(self) -> None:
        try:
            if hasattr(self, "lab") and self.sound:
                self.converge()
        finally:
            self.runner.run(self.stack.aclose())
            self.runner.close()
            gc.collect()

    # What people do to the manifests.

    @rule(name=st.sampled_from(NAMES), variant=st.sampled_from(VARIANTS), vmid=st.sampled_from([None, None, 1003, 500]))
    def declare(self, name: str, variant: dict[str, Any], vmid: int | None) -> None:
        taken = {guest.spec.vmid for other, guest in self.wanted.items() if other != name}
        extra: dict[str, Any] = {} if vmid is None or vmid in taken else {"vmid": vmid}
        make, disk = (machine, MACHINE_DISK) if name in MACHINES else (container, DISK)
        if name in MACHINES:
            variant = {key: value for key, value in variant.items() if key not in ("mounts", "network", "options")}
            variant["network"] = [{"bridge": "vmbr0"}]
        self.wanted[name] = make(name, **disk, **variant, **extra)

    @rule(name=st.sampled_from(NAMES))
    def undeclare(self, name: str) -> None:
        self.wanted.pop(name, None)

    # What people do on the cluster.

    @rule(vmid=st.sampled_from([1000, 1001, 1003, 500]), name=st.sampled_from([*NAMES, "zoe"]), target=foreigners)
    def somebody_makes_a_guest(self, vmid: int, name: str) -> Any:
        if vmid in self.lab.guests:
            return multiple()
        config = {"hostname": name, "memory": "64", "description": "mine", "arch": "amd64", "ostype": "debian"}
        self.lab.guests[vmid] = Simulated(vmid, "lxc", "pve1", config)
        self.foreign[vmid] = dict(config)
        return vmid

    @rule(vmid=foreigners)
    def somebody_removes_their_guest(self, vmid: int) -> None:
        if self.foreign.pop(vmid, None) is not None:
            del self.lab.guests[vmid]

    @rule(name=st.sampled_from(NAMES), key=st.sampled_from(["memory", "name", "tags", "both", "net0", "onboot"]))
    def somebody_changes_ours(self, name: str, key: str) -> None:
        for guest in self._ours(name):
            config = guest.config
            if key == "net0" and "net0" in config:
                config["net0"] = config["net0"].replace("vmbr0", "vmbr1")
            elif key in ("tags", "both"):
                config.pop("tags", None)
                config.update({_name_key(guest): "renamed"} if key == "both" else {})
            elif key == "name":
                config[_name_key(guest)] = "renamed"
            elif key != "net0":
                config[key] = {"memory": "1024", "onboot": "1"}[key]
            config.update(UNMANAGED[guest.kind])

    @rule(name=st.sampled_from(NAMES))
    def somebody_stops_or_starts_ours(self, name: str) -> None:
        for guest in self._ours(name):
            guest.running = dict(guest.config) if guest.running is None else None

    @rule(name=st.sampled_from(NAMES))
    def somebody_deletes_ours(self, name: str) -> None:
        for guest in self._ours(name):
            self._forget(guest.vmid)
            self.lab.sim.cluster.forget_guest(guest.vmid)
            for key in [key for key, item in self.lab.sim.cluster.volumes.items() if item.vmid == guest.vmid]:
                del self.lab.sim.cluster.volumes[key]

    @rule(name=st.sampled_from(NAMES), node=st.sampled_from(["pve1", "pve2", "pve3"]))
    def somebody_migrates_ours(self, name: str, node: str) -> None:
        for guest in self._ours(name):
            guest.node = node

    @rule(name=st.sampled_from(NAMES), lock=st.sampled_from(["backup", "snapshot", ""]))
    def a_lock_comes_or_goes(self, name: str, lock: str) -> None:
        for guest in self._ours(name):
            guest.config.pop("lock", None)
            guest.config.update({"lock": lock} if lock else {})

    @rule(node=st.sampled_from(["pve1", "pve2", "pve3"]))
    @precondition(lambda self: all(node.online for node in self.lab.sim.cluster.nodes.values()))
    def a_node_dies(self, node: str) -> None:
        self.lab.sim.cluster.nodes[node].online = False

    @rule()
    def the_quorum_is_lost(self) -> None:
        self.lab.sim.cluster.quorum_lost = True

    @rule()
    def the_nodes_are_back(self) -> None:
        self.lab.sim.cluster.quorum_lost = False
        for node in self.lab.sim.cluster.nodes.values():
            node.online = True

    # What Innkeeper does, well or badly.

    @rule(prune=st.booleans())
    def apply(self, prune: bool) -> None:
        self._run(lambda: self.lab.apply(*self.wanted.values(), prune=prune, max_deletes=9, revision="r2"), prune)

    @rule(prune=st.booleans(), at=st.integers(1, 60), after=st.booleans())
    def apply_and_crash(self, prune: bool, at: int, after: bool) -> None:
        async def run() -> Any:
            hypervisor = self.lab.proxmox()
            crashing(hypervisor, at, after=after)
            return await self.lab.run(hypervisor, *self.wanted.values(), prune=prune, patience=0.2)

        self._run(run, prune)

    @rule(
        prune=st.booleans(),
        at=st.integers(0, 4),
        verb=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
        deed=st.sampled_from(["lose-answer", "drop", "status"]),
    )
    def apply_with_trouble(self, prune: bool, at: int, verb: str, deed: str) -> None:
        self.lab.faults(f'{{rules: [{{"on": {{method: {verb}}}, after: {at}, times: 2, do: {deed}}}]}}')
        self.apply(prune)
        self.lab.faults("{}")

    @rule(prune=st.booleans())
    def apply_with_a_token_that_sees_nothing(self, prune: bool) -> None:
        token = self.lab.sim.cluster.users["root@pam"].tokens["full"]
        token.privsep = True
        before = self._world()
        self._run(lambda: self.lab.apply(*self.wanted.values(), prune=prune, max_deletes=9), prune)
        token.privsep = False
        assert self._world() == before

    @rule()
    def converge(self) -> None:
        """Once the trouble is over, two runs suffice, and the third has nothing to do."""
        self.the_nodes_are_back()
        self.lab.faults("{}")
        for guest in self.lab.guests.values():
            guest.config.pop("lock", None)
        for _ in range(2):
            result = self._run(lambda: self.lab.apply(*self.wanted.values()), False)
        result = self._run(lambda: self.lab.apply(*self.wanted.values()), False)
        assert result is not None
        note(f"{brief(result)} {[item.summary for item in result.plan.diagnostics]}")
        assert result.writes == 0
        decided = {item.step.ref.name: item for item in result.results}
        blocked = {item.location.file.removesuffix(".yaml") for item in result.plan.diagnostics if item.location}
        for name in self.wanted:
            assert name in blocked or decided[name].step.action == "noop" or decided[name].step.refused, name
            if name in decided and decided[name].step.action == "noop":
                assert ours(self.lab)[name] == 1

    # What always holds.

    @invariant()
    def nobody_elses_guest_changes(self) -> None:
        for vmid, config in self.foreign.items():
            assert self.lab.guests[vmid].config == config

    @invariant()
    def nothing_is_there_twice(self) -> None:
        if hasattr(self, "lab"):
            assert all(count == 1 for count in ours(self.lab).values()), ours(self.lab)

    @invariant()
    def every_config_write_has_a_digest(self) -> None:
        if hasattr(self, "lab"):
            assert config_writes_without_digest(self.lab) == []

    @invariant()
    def macs_stay(self) -> None:
        if not hasattr(self, "lab"):
            return
        for vmid, guest in self.lab.guests.items():
            parts = dict(part.partition("=")[::2] for part in guest.config.get("net0", "").split(","))
            mac = parts.get("hwaddr") or parts.get("virtio")
            if mac:
                assert self.macs.setdefault(vmid, mac) == mac

    # Helpers.

    def _ours(self, name: str) -> list[Simulated]:
        return [guest for guest in self.lab.guests.values() if _is(guest, name)]

    def _world(self) -> Any:
        return copy.deepcopy({vmid: (guest.node, guest.config) for vmid, guest in self.lab.guests.items()})

    def _forget(self, vmid: int) -> None:
        self.macs.pop(vmid, None)

    def _run(self, run: Callable[[], Any], prune: bool) -> Result | None:
        """Carry out; whatever vanishes by it was ours, and to be pruned or replaced."""
        self.sound = False
        before = {vmid: marker_of(guest) for vmid, guest in self.lab.guests.items()}
        unmanaged = {vmid: _unmanaged(guest) for vmid, guest in self.lab.guests.items()}
        result = None
        try:
            result = self.runner.run(run())
        except EngineError as error:
            note(f"refused: {error}")
        except (Crash, BaseExceptionGroup):
            note("crashed")
        for vmid in before.keys() - self.lab.guests.keys():
            marker = before[vmid]
            assert prune, f"{vmid} was deleted without a prune"
            assert marker is not None and marker.source == SOURCE, f"{vmid} was not ours"
            assert marker.name not in self.wanted, f"{vmid} is declared"
            assert self.wanted, "an empty source pruned"
            self._forget(vmid)
        for vmid in before.keys() & self.lab.guests.keys():
            assert _unmanaged(self.lab.guests[vmid]) == unmanaged[vmid]
        event(f"writes: {min(result.writes, 3)}" if result else "crashed or refused")
        self.sound = True
        return result


def _unmanaged(guest: Simulated) -> dict[str, str]:
    return {key: value for key, value in guest.config.items() if key in UNMANAGED[guest.kind]}


def _name_key(guest: Simulated) -> str:
    return "hostname" if guest.kind == "lxc" else "name"


Anything.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestAnything(Anything.TestCase):  # type: ignore[misc,valid-type]
    """The state machine."""
