"""Scripted trouble, and what a client sees of it."""

from __future__ import annotations

import http.client
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pvesim.conftest import Start
from tests.pvesim.running import ONE_NODE, TEMPLATE, THREE_NODES, Sim

GUEST = {"vmid": 102, "node": "pve1", "config": {"hostname": "ct", "rootfs": "nas:102/vm-102-disk-0.raw,size=1G"}}


@pytest.fixture
def trouble(start: Start, tmp_path: Path) -> Any:
    """`trouble(plan, seed)` runs a `pvesim` with that plan; `.plan` changes it at run time."""
    file = tmp_path / "faults.yaml"

    def begin(plan: dict[str, Any], seed: dict[str, Any] = ONE_NODE, *options: str) -> Sim:
        file.write_text(yaml.safe_dump(plan))
        return start(seed, "--faults", str(file), *options)

    def change(sim: Sim, plan: dict[str, Any]) -> None:
        file.write_text(yaml.safe_dump(plan))
        sim.process.send_signal(signal.SIGHUP)
        assert sim.process.stdout
        assert sim.process.stdout.readline() == '{"faults": "read"}\n'

    begin.change = change  # type: ignore[attr-defined]
    return begin


def rule(do: str, **more: Any) -> dict[str, Any]:
    on = {key: more.pop(key) for key in ("method", "path", "user", "task", "id") if key in more}
    return {"rules": [{"do": do, "on": on, **more}]}


def test_a_lost_answer_has_had_its_effect(trouble: Any) -> None:
    sim = trouble(rule("lose-answer", method="POST", path="/pools"))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        sim.call("POST", "/pools", {"poolid": "x"})
    assert sim.call("GET", "/pools/x").status == 200
    assert sim.call("POST", "/pools", {"poolid": "y"}).status == 200
    assert [(call["status"], call["fault"]) for call in sim.calls()[:2]] == [(0, "lose-answer"), (200, None)]


def test_a_dropped_call_has_had_none(trouble: Any) -> None:
    sim = trouble(rule("drop", method="POST", path="/pools"))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        sim.call("POST", "/pools", {"poolid": "x"})
    assert sim.call("GET", "/pools").data == []


def test_a_timeout_keeps_the_client_waiting_while_the_work_is_done(trouble: Any) -> None:
    sim = trouble(rule("timeout", method="POST", path="/pools", seconds=1))
    begun = time.monotonic()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        sim.call("POST", "/pools", {"poolid": "x"})
    assert time.monotonic() - begun >= 1
    assert sim.call("GET", "/pools/x").status == 200


@pytest.mark.parametrize("effect", [False, True])
def test_a_599_after_some_calls(trouble: Any, effect: bool) -> None:
    sim = trouble(rule("status", path="/pools", method="POST", after=1, times=2, effect=effect))
    statuses = [sim.call("POST", "/pools", {"poolid": f"p{n}"}).status for n in range(4)]
    assert statuses == [200, 599, 599, 200]
    assert len(sim.call("GET", "/pools").data) == (4 if effect else 2)


def test_chance_is_repeatable(trouble: Any) -> None:
    plan = rule("status", path="/version", times=0, chance=0.5) | {"random": 7}
    sim = trouble(plan)
    first = [sim.call("GET", "/version").status for _ in range(20)]
    trouble.change(sim, plan)
    assert [sim.call("GET", "/version").status for _ in range(20)] == first
    assert {200, 599} == set(first)


def test_a_task_fails_as_told(trouble: Any) -> None:
    sim = trouble(rule("fail-task", task="vzcreate", id="101", text="no space left on device"))
    create = {"ostemplate": TEMPLATE, "storage": "btr", "unprivileged": 1}
    assert sim.do("POST", "/nodes/pve/lxc", {"vmid": 101, **create}) == "no space left on device"
    assert sim.do("POST", "/nodes/pve/lxc", {"vmid": 102, **create}).startswith(("OK", "WARNINGS"))


def test_a_held_lock_is_waited_for_in_vain(trouble: Any) -> None:
    sim = trouble({"locks": [102]}, THREE_NODES | {"guests": [GUEST]})
    path = "/nodes/pve1/lxc/102/config"
    assert sim.call("PUT", path, {"memory": 80}).message == (
        "can't lock file '/run/lock/lxc/pve-config-102.lock' - got timeout"
    )
    trouble.change(sim, {})
    assert sim.call("PUT", path, {"memory": 80}).status == 200


def test_a_lock_in_the_config(trouble: Any) -> None:
    seed = THREE_NODES | {"guests": [GUEST]}
    sim = trouble(rule("guest-lock", path="/version", vmid=102, text="backup"), seed)
    sim.call("GET", "/version")
    assert sim.call("PUT", "/nodes/pve1/lxc/102/config", {"memory": 80}).message == "CT is locked (backup)"
    assert sim.call("GET", "/cluster/resources", {"type": "vm"}).data[0]["lock"] == "backup"


def test_a_dead_node(trouble: Any) -> None:
    sim = trouble({"down": ["pve3"]}, THREE_NODES | {"guests": [GUEST]})
    for method, path in [("GET", "/nodes/pve3/status"), ("POST", "/nodes/pve3/lxc")]:
        reply = sim.call(method, path)
        assert (reply.status, reply.reason, reply.body) == (595, "No route to host", "")
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        sim.call("GET", "/version", node="pve3")
    status = {row["name"]: row for row in sim.call("GET", "/cluster/status").data}
    assert (status["sim"]["quorate"], status["pve3"]["online"], status["pve2"]["online"]) == (1, 0, 1)
    nodes = {row["node"]: row for row in sim.call("GET", "/nodes").data}
    assert (nodes["pve3"]["status"], "cpu" in nodes["pve3"], nodes["pve1"]["status"]) == ("offline", False, "online")
    assert sim.call("PUT", "/nodes/pve1/lxc/102/config", {"memory": 72}).status == 200
    trouble.change(sim, {})
    assert sim.call("GET", "/nodes/pve3/status").status == 200


def test_a_node_that_dies_after_some_calls(trouble: Any) -> None:
    sim = trouble(rule("node-down", path="/nodes/*", after=1, node="pve2"), THREE_NODES)
    assert [sim.call("GET", "/nodes/pve2/status").status for _ in range(3)] == [200, 595, 595]


def test_without_quorum_reading_works_and_writing_does_not(trouble: Any) -> None:
    sim = trouble({"down": ["pve2", "pve3"]}, THREE_NODES | {"guests": [GUEST]})
    assert sim.call("GET", "/cluster/status").data[0]["quorate"] == 0
    assert sim.call("GET", "/nodes/pve1/lxc/102/config").status == 200
    assert sim.call("GET", "/cluster/nextid").data == "100"
    refused = sim.call("PUT", "/nodes/pve1/lxc/102/config", {"memory": 80})
    assert refused.status == 500
    assert refused.message.startswith("unable to open file '/etc/pve/nodes/pve1/lxc/102.conf.tmp.")
    assert refused.message.endswith("' - Permission denied")
    assert sim.call("POST", "/nodes/pve1/lxc/102/status/start").message == "cluster not ready - no quorum?"
    create = {"vmid": 170, "ostemplate": TEMPLATE}
    assert sim.call("POST", "/nodes/pve1/lxc", create).message == "cluster not ready - no quorum?"
    assert sim.do("DELETE", "/nodes/pve1/lxc/102") == "cfs-lock 'storage-nas' error: no quorum!"
    assert sim.call("POST", "/pools", {"poolid": "nq"}).message == (
        "create pool failed: cfs-lock 'file-user_cfg' error: no quorum!"
    )
    login = sim.call("POST", "/access/ticket", {"username": "root@pam", "password": "rootpass1"}, token=None)
    assert login.status == 200


def test_rights_that_shrink(trouble: Any) -> None:
    seed = THREE_NODES | {
        "guests": [GUEST],
        "acl": [{"path": "/vms", "roleid": "PVEVMAdmin", "ugid": "alice@pve"}],
    }
    sim = trouble(rule("revoke", path="/nodes/*", after=1, ugid="alice@pve"), seed)
    path = "/nodes/pve1/lxc/102/config"
    assert [sim.call("GET", path, token="alice@pve!nosep").status for _ in range(2)] == [200, 403]


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"rules": [{"do": "explode"}]}, "`do` must be one of"),
        ({"rules": [{"do": "drop", "when": 1}]}, "unknown key 'when'"),
        ({"donw": []}, "expected a mapping with some of the keys"),
        ({"down": ["pve9"]}, "no node 'pve9'"),
    ],
)
def test_a_wrong_plan_says_so(trouble: Any, plan: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        trouble(plan)
