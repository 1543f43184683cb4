"""What goes wrong between the plan and its end: people, locks, races, dead nodes, a wish to stop."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from innkeeper.cli.rendering import summary_line
from innkeeper.engine.ports import Event, Hypervisor
from innkeeper.engine.reconcile import carry_out, prepare
from innkeeper.engine.result import Result
from innkeeper.model.objects import Cluster, Credentials, Declared, Guest
from innkeeper.planner.policy import Policy, Unreachable
from innkeeper.proxmox.hypervisor import Proxmox
from innkeeper.settings.marker import read_marker
from pvesim.cluster.state import Guest as Simulated
from tests.innkeeper.engine.lab import OLDER, SEED, Lab, brief, running
from tests.innkeeper.engine.test_life import WEB
from tests.innkeeper.planner.worlds import container, machine


async def after_plan(lab: Lab, meddle: Callable[[], Awaitable[Any] | None], *guests: Guest, **policy: Any) -> Result:
    """Plan, let somebody meddle, carry out."""
    hypervisor = lab.proxmox()
    try:
        wanted = Policy(**{"source": "home", "revision": "r1"} | policy)
        prepared = await prepare(lab.declared(*guests), {"lab": hypervisor}, wanted)
        if (waiting := meddle()) is not None:
            await waiting
        return await carry_out(prepared, {"lab": hypervisor}, lab.events.append, patience=1.0)
    finally:
        await hypervisor.close()


def foreign(lab: Lab, vmid: int, name: str = "theirs") -> None:
    config = {"hostname": name, "memory": "64", "arch": "amd64", "ostype": "debian", "description": "mine"}
    lab.guests[vmid] = Simulated(vmid, "lxc", "pve1", config)


async def test_a_vmid_that_somebody_takes_is_left_to_them(lab: Lab) -> None:
    result = await after_plan(lab, lambda: foreign(lab, 1000), container("web", **WEB))
    assert result.ok
    assert lab.guests[1000].config["hostname"] == "theirs"
    assert read_marker(lab.guests[1001].config["description"])[1] is not None


async def test_a_declared_vmid_that_somebody_takes_is_an_error(lab: Lab) -> None:
    result = await after_plan(lab, lambda: foreign(lab, 1000), container("web", vmid=1000, **WEB))
    assert result.results[0].state == "failed"
    assert "is not managed by Innkeeper" in result.results[0].error
    assert list(lab.guests) == [1000]


async def test_two_runs_at_once_make_one_guest(lab: Lab) -> None:
    web = container("web", **WEB)
    result = await after_plan(lab, lambda: lab.apply(web), web)
    assert result.ok
    assert list(lab.guests) == [1000]


async def test_somebody_elses_change_meanwhile_survives(lab: Lab) -> None:
    await lab.apply(container("web", **WEB))

    def meddle() -> None:
        lab.only().config["timezone"] = "Europe/Berlin"

    result = await after_plan(lab, meddle, container("web", **WEB | {"memory": "1Gi"}))
    assert result.ok
    assert lab.only().config["timezone"] == "Europe/Berlin"
    assert lab.only().config["memory"] == "1024"


async def test_what_becomes_graver_meanwhile_is_not_done(lab: Lab) -> None:
    vm: dict[str, Any] = {
        "memory": "1Gi",
        "disks": [{"slot": "scsi0", "storage": "nas", "size": "1Gi"}],
        "running": True,
    }
    await lab.apply(machine("vm", cpu={"cores": 2}, **vm))

    def meddle() -> None:
        lab.only().config["cores"] = "1"
        assert lab.only().running is not None
        lab.only().running = dict(lab.only().config)

    result = await after_plan(lab, meddle, machine("vm", cpu={"cores": 2}, description="new", **vm))
    assert result.results[0].state == "failed"
    assert "changed meanwhile" in result.results[0].error
    assert lab.only().config["cores"] == "1"


async def test_a_lock_is_waited_for(lab: Lab) -> None:
    await lab.apply(container("web", **WEB))
    lab.only().config["lock"] = "backup"
    asyncio.get_running_loop().call_later(0.5, lambda: lab.only().config.pop("lock"))
    hypervisor = lab.proxmox()
    result = await lab.run(hypervisor, container("web", **WEB | {"memory": "1Gi"}), patience=20.0)
    assert brief(result) == ["update Container/web 1000 done"]
    assert "waiting" in [event.phase for event in lab.events]


async def test_a_lock_that_stays_fails_that_guest_only(lab: Lab) -> None:
    await lab.apply(container("web", **WEB), container("db", **WEB))
    lab.guests[1000].config["lock"] = "backup"
    guests = (container("web", **WEB | {"memory": "1Gi"}), container("db", **WEB | {"memory": "1Gi"}))
    result = await lab.run(lab.proxmox(), *guests, patience=0.1)
    assert [item.state for item in result.results] == ["failed", "done"]
    assert "locked (backup)" in result.results[0].error


async def test_a_guest_that_is_being_created_may_be_ours(lab: Lab) -> None:
    lab.guests[1000] = Simulated(1000, "lxc", "pve1", {"lock": "create"})
    prepared = await lab.prepare(container("web", **WEB))
    assert prepared.plan.steps == ()
    assert [finding.code for finding in prepared.plan.diagnostics] == ["Creating"]
    assert [(status.sync, status.health) for status in prepared.statuses] == [("Unknown", "Progressing")]


async def test_a_restart_that_is_not_allowed_is_pending(lab: Lab) -> None:
    vm: dict[str, Any] = {
        "memory": "1Gi",
        "disks": [{"slot": "scsi0", "storage": "nas", "size": "1Gi"}],
        "running": True,
    }
    await lab.apply(machine("vm", cpu={"cores": 1}, **vm))
    changed = machine("vm", cpu={"cores": 2}, **vm)
    result = await lab.apply(changed)
    assert result.results[0].state == "done"
    assert result.results[0].waits == "cpu.cores"
    prepared = await lab.prepare(changed)
    assert prepared.plan.writes == 0
    assert [(item.type, item.reason) for item in prepared.statuses[0].conditions] == [
        ("PendingReboot", "WaitsForRestart")
    ]
    for volume in lab.sim.cluster.volumes.values():
        volume.extra.pop("empty", None)  # A system that hears the request to shut down.
    allowed = await lab.apply(machine("vm", cpu={"cores": 2}, restart="whenNeeded", **vm))
    assert brief(allowed) == ["update VirtualMachine/vm 1000 done"]
    assert lab.writes[-1] == "POST /nodes/pve1/qemu/1000/status/reboot"
    assert not lab.only().pending


async def test_a_dead_node_stops_its_own_guests_only(lab: Lab) -> None:
    guests = [container(name, node=node, **WEB) for name, node in (("a", "pve1"), ("b", "pve2"), ("c", "pve3"))]
    await lab.apply(*guests)
    lab.sim.cluster.nodes["pve2"].online = False
    for guest in lab.guests.values():
        guest.config["memory"] = "64"
    result = await lab.apply(*guests, prune=True)
    assert {item.step.ref.name: item.state for item in result.results} == {"a": "done", "c": "done"}
    assert [(finding.severity, finding.code) for finding in result.plan.diagnostics] == [("warning", "NodeOffline")]
    assert len(lab.guests) == 3


async def test_without_a_quorum_nothing_is_tried(lab: Lab) -> None:
    await lab.apply(container("web", **WEB))
    lab.faults("{quorum: false}")
    changed = container("web", **{**WEB, "memory": "1Gi"})
    result = await lab.apply(changed, patience=60)
    assert brief(result) == ["update Container/web 1000 skipped: the cluster has no quorum"]
    assert [item.code for item in result.plan.diagnostics] == ["NoQuorum"]
    assert result.writes == 0
    assert (await lab.apply(container("web", **WEB))).ok
    lab.faults("{quorum: true}")
    assert (await lab.apply(changed)).ok


async def test_a_guest_that_moved_stays_where_it_is(lab: Lab) -> None:
    web = container("web", node="pve1", **WEB | {"rootDisk": {"storage": "nas", "size": "1Gi"}})
    await lab.apply(web)
    lab.only().node = "pve3"
    assert (await lab.apply(web)).writes == 0
    lab.only().config["memory"] = "64"
    assert brief(await lab.apply(web)) == ["update Container/web 1000 done"]
    assert lab.only().node == "pve3"


async def test_a_guest_that_moves_between_plan_and_call_is_found(lab: Lab) -> None:
    web: dict[str, Any] = {"rootDisk": {"storage": "nas", "size": "1Gi"}}
    await lab.apply(container("web", **WEB | web))

    def meddle() -> None:
        lab.only().node = "pve2"

    result = await after_plan(lab, meddle, container("web", **WEB | web | {"memory": "1Gi"}))
    assert brief(result) == ["update Container/web 1000 done"]


async def test_stopping_names_what_was_not_done(lab: Lab) -> None:
    stop = asyncio.Event()

    def listen(event: Event) -> None:
        if event.phase == "create":
            stop.set()

    hypervisor = lab.proxmox()
    guests = [container("a", **WEB), container("b", needs=["Container/a"], **WEB)]
    try:
        prepared = await prepare(lab.declared(*guests), {"lab": hypervisor}, Policy("home"))
        result = await carry_out(prepared, {"lab": hypervisor}, listen, stop)
    finally:
        await hypervisor.close()
    assert brief(result) == ["create Container/a 1000 done", "create Container/b 1001 skipped: stopped before it began"]
    assert result.stopped
    assert not result.ok
    assert (await lab.apply(*guests)).ok


async def test_a_cluster_that_is_down_leaves_the_others_alone(lab: Lab) -> None:
    other = lab.cluster.spec.model_copy(update={"endpoints": ("https://127.0.0.1:9",)})
    down = type(lab.cluster)("down", other, lab.cluster.origin)
    declared = Declared(
        (lab.cluster, down), (), (container("a", cluster="lab", **WEB), container("b", cluster="down", **WEB))
    )
    up = lab.proxmox()
    hypervisors: dict[str, Hypervisor | Unreachable] = {"lab": up, "down": Unreachable("no route to host")}
    try:
        prepared = await prepare(declared, hypervisors, Policy("home"))
        result = await carry_out(prepared, hypervisors)
    finally:
        await up.close()
    assert brief(result) == ["create Container/a 1000 done"]
    assert [finding.code for finding in prepared.plan.diagnostics] == ["ClusterUnreachable"]
    assert [status.sync for status in prepared.statuses] == ["OutOfSync", "Unknown"]
    assert not result.ok


@pytest.mark.parametrize("phase", ["observe", "create"])
async def test_a_token_whose_rights_shrink_breaks_nothing(lab: Lab, phase: str) -> None:
    web = container("web", **WEB)
    old = container("old", **WEB)
    await lab.apply(web, old)
    before = {vmid: dict(guest.config) for vmid, guest in lab.guests.items()}
    after = 0 if phase == "observe" else 12
    lab.faults(f'{{rules: [{{after: {after}, do: revoke, ugid: "root@pam!full"}}]}}')
    await lab.apply(container("web", **WEB | {"memory": "1Gi"}), container("new", **WEB), prune=True)
    assert {vmid: guest.config for vmid, guest in lab.guests.items() if vmid in before and vmid == 1001} == {
        1001: before[1001]
    }


async def test_nothing_is_repeated_before_it_was_seen_what_became_of_it(lab: Lab) -> None:
    """The answer of the create is lost, and for a while nothing can be read either."""
    lab.faults(
        """
        rules:
          - {"on": {method: POST, path: "/nodes/*/lxc"}, do: lose-answer}
          - {"on": {method: GET, path: "/cluster/tasks"}, times: 4, do: drop}
        """
    )
    result = await lab.run(lab.proxmox(), container("web", **WEB), patience=20.0)
    assert brief(result) == ["create Container/web 1000 done"]
    assert lab.writes == ["POST /nodes/pve1/lxc"]


def few(rights: str) -> str:
    """The end of a seed: a token with these rights on everything and no others."""
    return f"""
  - {{tokenid: "keeper@pve!few", privsep: false, value: {OLDER}}}
users: [{{userid: keeper@pve}}]
roles: [{{roleid: Few, privs: [{rights}]}}]
acl: [{{path: /, ugid: keeper@pve, roleid: Few}}]
"""


def keeper(lab: Lab) -> Cluster:
    credentials = Credentials.model_validate({"tokenID": "keeper@pve!few", "tokenSecret": {"env": "FEW"}})
    return replace(lab.cluster, spec=lab.cluster.spec.model_copy(update={"credentials": credentials}))


async def test_a_replacement_that_could_not_be_made_again_is_refused_before_the_delete(tmp_path: Path) -> None:
    """The token may destroy the guest and may not allocate its disks."""
    rights = "VM.Allocate, VM.Audit, VM.PowerMgmt, VM.Config.Options, Sys.Audit, Datastore.Audit"
    async with running(tmp_path, SEED + few(rights)) as lab:
        await lab.apply(container("web", **WEB))
        proxmox = Proxmox(keeper(lab), tmp_path, {"FEW": OLDER})
        before = dict(lab.only().config)
        other = container("web", **WEB | {"unprivileged": False})
        result = await lab.run(proxmox, other, replace=frozenset({"web"}))
        assert (result.results, result.writes) == ((), 0)
        found = {item.code: item for item in result.plan.diagnostics if "/storage" in item.summary}
        assert list(found) == ["MissingPrivilege"]
        assert "Datastore.AllocateSpace" in found["MissingPrivilege"].summary
        assert "pveum acl modify /storage" in found["MissingPrivilege"].detail
        assert lab.only().config == before


async def test_a_clone_needs_room_where_its_template_lies(tmp_path: Path) -> None:
    rights = "VM.Allocate, VM.Audit, VM.Clone, VM.Config.Options, Sys.Audit, Datastore.Audit"
    async with running(tmp_path, SEED + few(rights)) as lab:
        await lab.apply(machine("golden", vmid=900, disks=[{"slot": "scsi0", "storage": "nas", "size": "2Gi"}]))
        lab.guests[900].config["template"] = "1"
        proxmox = Proxmox(keeper(lab), tmp_path, {"FEW": OLDER})
        result = await lab.run(proxmox, machine("copy", clone={"template": "golden"}))
        assert result.writes == 0
        assert [(item.code, "/storage/nas" in item.summary) for item in result.plan.diagnostics][:1] == [
            ("MissingPrivilege", True)
        ]


async def test_a_right_that_only_one_change_needs_stops_only_that(tmp_path: Path) -> None:
    """Memory may be changed, the number of cores may not."""
    rights = "VM.Audit, VM.PowerMgmt, VM.Config.Options, VM.Config.Memory, Sys.Audit"
    async with running(tmp_path, SEED + few(rights)) as lab:
        await lab.apply(container("web", **WEB))
        proxmox = Proxmox(keeper(lab), tmp_path, {"FEW": OLDER})
        result = await lab.run(proxmox, container("web", **WEB | {"memory": "1Gi"}))
        assert brief(result) == ["update Container/web 1000 done"]
        proxmox = Proxmox(keeper(lab), tmp_path, {"FEW": OLDER})
        result = await lab.run(proxmox, container("web", **WEB | {"memory": "1Gi", "cpu": {"cores": 3}}))
        assert brief(result) == ["update Container/web 1000 skipped: the token lacks VM.Config.CPU"]
        assert lab.only().config["memory"] == "1024"


async def test_what_cannot_be_decided_is_counted(lab: Lab) -> None:
    guests = [container(name, node=node, **WEB) for name, node in (("a", "pve1"), ("b", "pve2"))]
    await lab.apply(*guests)
    lab.sim.cluster.nodes["pve2"].online = False
    plan = (await lab.prepare(*guests)).plan
    assert plan.undecided == 1
    assert summary_line(plan).plain == (
        "No changes: 1 of 2 guests are as declared. Nothing can be decided about 1 guest now."
    )
