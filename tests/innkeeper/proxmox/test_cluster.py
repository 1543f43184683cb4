"""Seeing and changing a cluster: the real thing over HTTPS."""

import asyncio
from collections.abc import Callable

import pytest

from innkeeper.engine.errors import Conflict, EngineError, Stalled, Uncertain, Waiting
from innkeeper.engine.ports import Scope
from innkeeper.model.plan import Operation
from innkeeper.proxmox import tasks
from innkeeper.proxmox.hypervisor import Proxmox
from tests.innkeeper.proxmox.conftest import SEED, TEMPLATE, Lab

NET = "name=eth0,bridge=vmbr0,ip=dhcp"
said: list[str] = []


def create(vmid: int, node: str = "pve1", storage: str = "local", **more: str) -> Operation:
    params = {
        "vmid": str(vmid), "ostemplate": TEMPLATE, "rootfs": f"{storage}:1", "hostname": f"ct{vmid}", "net0": NET,
        "unprivileged": "1", "features": "nesting=1", **more,
    }  # fmt: skip
    return Operation(
        "creating", "POST", f"/nodes/{node}/lxc", tuple((name, value) for name, value in params.items() if value)
    )


def change(vmid: int, node: str = "pve1", **params: str) -> Operation:
    return Operation("changing", "PUT", f"/nodes/{node}/lxc/{vmid}/config", tuple(params.items()), guarded=True)


async def make(proxmox: Proxmox, *operations: Operation) -> None:
    await asyncio.gather(*(proxmox.call(operation, "", said.append) for operation in operations))


async def test_a_view_in_one_call_per_guest_that_matters_and_a_few(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(
        proxmox,
        create(101, tags="Innkeeper"),
        create(102, "pve2", "nas"),
        create(103, hostname="named"),
        create(104),
        Operation("creating", "POST", "/nodes/pve3/qemu", (("vmid", "200"), ("name", "vm"), ("tags", "innkeeper"))),
    )
    await proxmox.call(Operation("creating", "POST", "/pools", (("poolid", "apps"),)), "", said.append)
    before = len(lab.calls())
    view = await proxmox.observe(Scope(frozenset({102}), frozenset({"Named"}), catalog=True))
    assert view.reads == len(lab.calls()) - before <= 1 + 4 + 12
    assert [vmid for vmid, guest in view.guests.items() if guest.config is not None] == [101, 102, 103, 200]
    assert list(view.guests) == [101, 102, 103, 104, 200]
    assert view.guests[104].unreadable == ""
    assert view.complete
    assert not view.gaps
    assert view.bridges == dict.fromkeys(lab.urls, frozenset({"vmbr0", "vmbr1"}))
    assert view.templates == dict.fromkeys(lab.urls, (TEMPLATE,))
    assert view.pools == frozenset({"apps"})
    assert not view.root_ticket
    everything = await proxmox.observe(Scope(everything=True))
    assert all(guest.config for guest in everything.guests.values())
    assert everything.reads == 4 + 5


async def test_a_whole_life(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await proxmox.call(create(101, start="1"), "", said.append)
    made = await proxmox.guest(101)
    assert made is not None
    assert (made.power, made.node, made.name, made.lock) == ("running", "pve1", "ct101", None)
    await proxmox.call(change(101, cores="2", net0=f"{NET},hwaddr=BC:24:11:00:00:01"), made.digest, said.append)
    with pytest.raises(Conflict, match="detected modified configuration"):
        await proxmox.call(change(101, cores="3"), made.digest, said.append)
    changed = await proxmox.guest(101)
    assert changed is not None
    assert changed.config is not None
    assert changed.config["cores"] == "2"
    assert changed.digest != made.digest
    await proxmox.call(Operation("stopping", "POST", "/nodes/pve1/lxc/101/status/stop"), "", said.append)
    assert (stopped := await proxmox.guest(101)) is not None
    assert stopped.power == "stopped"
    with pytest.raises(Conflict, match="not running"):
        await proxmox.call(Operation("stopping", "POST", "/nodes/pve1/lxc/101/status/stop"), "", said.append)
    await proxmox.call(Operation("deleting", "DELETE", "/nodes/pve1/lxc/101", (("purge", "1"),)), "", said.append)
    assert await proxmox.guest(101) is None


async def test_a_guarded_call_without_a_digest_is_not_sent(lab: Lab) -> None:
    with pytest.raises(Conflict, match="no digest"):
        await lab.proxmox().call(change(101, cores="2"), "", said.append)
    assert lab.calls() == []


async def test_warnings_are_a_success_and_are_told(lab: Lab) -> None:
    lines: list[str] = []
    await lab.proxmox().call(create(101, features=""), "", lines.append)
    assert any(line.startswith("WARN") for line in lines)


async def test_a_task_that_fails_says_why(lab: Lab) -> None:
    lab.faults("rules: [{on: {task: vzcreate}, do: fail-task, text: 'no space left on device'}]")
    with pytest.raises(Stalled, match=r"task vzcreate 101 on pve1: .*no space left on device"):
        await lab.proxmox().call(create(101), "", said.append)


async def test_a_taken_id_is_a_conflict(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(proxmox, create(101))
    with pytest.raises(Conflict, match="CT 101 already exists"):
        await proxmox.call(create(101, "pve2"), "", said.append)


async def test_a_locked_guest_is_waited_for(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(proxmox, create(101))
    guest = await proxmox.guest(101)
    assert guest is not None
    lab.faults("rules: [{on: {method: PUT}, do: guest-lock, vmid: 101}]")
    with pytest.raises((Waiting, Conflict)):
        await proxmox.call(change(101, cores="2"), guest.digest, said.append)
    locked = await proxmox.guest(101)
    assert locked is not None
    assert locked.lock == "backup"
    with pytest.raises(Waiting, match=r"CT is locked \(backup\)"):
        await proxmox.call(change(101, cores="2"), locked.digest, said.append)


async def test_protection_stands(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(proxmox, create(101, protection="1"))
    with pytest.raises(Stalled, match="protection mode enabled"):
        await proxmox.call(Operation("deleting", "DELETE", "/nodes/pve1/lxc/101"), "", said.append)


async def test_a_dead_node_hides_nothing(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(proxmox, create(101, tags="innkeeper"), create(102, "pve3", tags="innkeeper"))
    lab.faults("down: [pve3]")
    view = await proxmox.observe(Scope(catalog=True))
    assert view.complete
    assert view.gaps == ("Node pve3 is offline; its guests cannot be read.",)
    assert view.guests[101].config is not None
    assert (view.guests[102].config, view.guests[102].power) == (None, "unknown")
    assert "offline" in view.guests[102].unreadable
    assert view.bridges is not None
    assert set(view.bridges) == {"pve1", "pve2"}
    seen = await proxmox.guest(102)
    assert seen is not None
    assert seen.unreadable
    with pytest.raises(Waiting):
        await proxmox.call(create(103, "pve3"), "", said.append)


async def test_without_a_quorum_nothing_is_proved(lab: Lab) -> None:
    proxmox = lab.proxmox()
    lab.faults("quorum: false")
    view = await proxmox.observe(Scope())
    assert not view.complete
    assert "no quorum" in view.gaps[0]
    with pytest.raises(Waiting, match="quorum"):
        await proxmox.guest(101)
    with pytest.raises(Waiting, match="quorum"):
        await proxmox.call(create(101), "", said.append)


async def test_a_guest_that_moved_between_the_list_and_its_reading_is_found(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(proxmox, create(101, storage="nas", tags="innkeeper"))
    get = proxmox.session.get

    async def late(path: str, node: str = "") -> object:
        answer = await get(path, node)
        if path == "/cluster/resources":
            move = Operation("moving", "POST", "/nodes/pve1/lxc/101/migrate", (("target", "pve2"),))
            await proxmox.call(move, "", said.append)
        return answer

    proxmox.session.get = late  # type: ignore[method-assign]
    view = await proxmox.observe(Scope())
    assert view.guests[101].node == "pve2"
    assert view.guests[101].config is not None


async def test_a_guest_that_is_gone_by_then_is_left_out(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(proxmox, create(101, tags="innkeeper"))
    get = proxmox.session.get

    async def late(path: str, node: str = "") -> object:
        answer = await get(path, node)
        if path == "/cluster/resources":
            await proxmox.call(Operation("deleting", "DELETE", "/nodes/pve1/lxc/101"), "", said.append)
        return answer

    proxmox.session.get = late  # type: ignore[method-assign]
    assert (await proxmox.observe(Scope())).guests == {}


async def test_a_token_that_sees_less_makes_the_view_incomplete(lab: Lab) -> None:
    await make(lab.proxmox(), create(101, tags="innkeeper"))
    blind = lab.proxmox(credentials={"tokenID": "ops@pve!ci", "tokenSecret": {"env": "PVE_OPS"}})
    view = await blind.observe(Scope(frozenset({101})))
    assert not view.complete
    assert view.guests == {}
    assert "lacks VM.Audit on /vms; grant it: pveum role add InnkeeperVms" in view.gaps[0]
    with pytest.raises(Stalled, match=r"guest 101 exists, but ops@pve!ci may not see it"):
        await blind.guest(101)
    assert await blind.guest(102) is None


async def test_rights_that_shrink_on_the_way_are_noticed(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(proxmox, create(101, tags="innkeeper"))
    assert (await proxmox.observe(Scope())).complete
    lab.faults("rules: [{on: {path: /version}, do: revoke, ugid: 'root@pam!full'}]")
    await proxmox.session.get("/version")
    view = await proxmox.observe(Scope())
    assert not view.complete
    assert view.guests == {}


async def test_the_line_that_is_proposed_is_enough(lab: Lab) -> None:
    """What `pveum` would do by that line, done over the API, mends exactly that failure."""
    full, ops = lab.proxmox(), lab.proxmox(credentials={"tokenID": "ops@pve!ci", "tokenSecret": {"env": "PVE_OPS"}})
    for _ in range(9):
        try:
            await ops.call(create(101), "", said.append)
            break
        except Stalled as error:
            line = error.advice.removeprefix("grant it: ")
            assert line.startswith("pveum role add "), error
            await grant_over_api(full, line)
    else:
        pytest.fail("still refused")
    view = await ops.observe(Scope(frozenset({101})))
    assert view.guests[101].config is not None


async def grant_over_api(proxmox: Proxmox, line: str) -> None:
    words = line.replace(";", " ;").replace("'", "").split()
    role, privs = words[3], words[words.index("--privs") + 1]
    path, whom = words[words.index("acl") + 2], {"tokens": "", "users": ""}
    for name in whom:
        whom[name] = words[words.index(f"--{name}") + 1]
    try:
        await proxmox.session.write("POST", "/access/roles", [("roleid", role), ("privs", privs)])
    except EngineError:
        await proxmox.session.write("PUT", f"/access/roles/{role}", [("privs", privs), ("append", "1")])
    await proxmox.session.write("PUT", "/access/acl", [("path", path), ("roles", role), *whom.items()])


async def test_a_poll_is_one_call_and_sees_changes(lab: Lab) -> None:
    proxmox = lab.proxmox()
    await make(proxmox, create(101))
    first = await proxmox.poll()
    before = proxmox.reads
    assert await proxmox.poll() == first
    assert proxmox.reads == before + 1
    await proxmox.call(Operation("starting", "POST", "/nodes/pve1/lxc/101/status/start"), "", said.append)
    assert await proxmox.poll() != first


async def test_a_lost_answer_leaves_a_task_that_is_found_again(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(SEED, "real")
    proxmox = lab.proxmox()
    lab.faults("rules: [{on: {method: POST, path: '/nodes/*/lxc'}, do: lose-answer}]")
    with pytest.raises(Uncertain):
        await proxmox.call(create(101, tags="innkeeper"), "", said.append)
    lines: list[str] = []
    await proxmox.settle(101, lines.append, 60)
    assert "vzcreate is running" in lines
    guest = await proxmox.guest(101)
    assert guest is not None
    assert (guest.lock, guest.tags) == (None, ("innkeeper",))
    assert sum(call["method"] == "POST" for call in lab.calls()) == 1
    await proxmox.close()


async def test_settling_does_not_wait_for_ever(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(SEED, "real")
    proxmox = lab.proxmox()
    running = asyncio.create_task(proxmox.call(create(101), "", said.append))
    while not await tasks.running(proxmox.session, 101):
        pass
    with pytest.raises(Waiting, match="vzcreate of 101 is still running"):
        await proxmox.settle(101, said.append, 0.0)
    await running
    await proxmox.settle(101, said.append, 0.0)
    await proxmox.close()


async def test_parallel_creates_meet_no_lock(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(SEED, "real")
    proxmox = lab.proxmox()
    await proxmox.observe(Scope())
    nodes = list(lab.urls)
    await make(proxmox, *(create(100 + n, nodes[n % 3], "nas" if n % 2 else "local") for n in range(12)))
    assert [call for call in lab.calls() if call["status"] >= 500] == []
    await proxmox.close()


async def test_proxmox_8(new_lab: Callable[..., Lab]) -> None:
    lab = new_lab(SEED.replace("9.1.9", "8.4.1"))
    proxmox = lab.proxmox()
    await proxmox.call(create(101, start="1"), "", said.append)
    view = await proxmox.observe(Scope(frozenset({101}), catalog=True))
    assert view.version == (8, 4)
    assert view.guests[101].power == "running"
    await proxmox.close()
