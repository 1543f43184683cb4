"""The command: starting, ending, keeping its state."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.pvesim.conftest import Start
from tests.pvesim.running import ONE_NODE, TEMPLATE, THREE_NODES, Sim


def test_without_a_seed_there_is_one_node_with_one_root_token(start: Start) -> None:
    sim = start(None)
    assert list(sim.urls) == ["pve"]
    assert list(sim.tokens) == ["root@pam!full"]
    assert sim.call("GET", "/version").data["version"].startswith("9.1")
    assert {row["storage"] for row in sim.call("GET", "/storage").data} == {"local", "local-lvm"}


def test_every_node_has_its_port_and_certificate(cluster: Sim) -> None:
    assert list(cluster.urls) == ["pve1", "pve2", "pve3"]
    for node in cluster.urls:
        local = [row["name"] for row in cluster.call("GET", "/cluster/status", node=node).data if row.get("local")]
        assert local == [node]
    prints = {row["ssl_fingerprint"] for row in cluster.call("GET", "/nodes").data}
    assert len(prints) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(start: Start, number: signal.Signals) -> None:
    sim = start()
    assert Path(sim.cafile).exists()
    with contextlib.closing(sim.connect()) as connection:
        sim.call("GET", "/version", connection=connection)
        sim.process.send_signal(number)
        assert sim.process.wait(5) == 0
    assert not Path(sim.cafile).exists()
    assert sim.process.stderr
    assert sim.process.stderr.read() == ""


def test_it_ends_with_the_program_that_started_it(start: Start) -> None:
    sim = start()
    assert sim.process.stdin
    sim.process.stdin.close()
    assert sim.process.wait(5) == 0


def everything(sim: Sim) -> dict[str, Any]:
    paths = ["/access/users", "/access/acl", "/access/roles", "/pools/a", "/storage", "/nodes/pve/lxc/101/pending"]
    paths += ["/nodes/pve/storage/btr/content", "/nodes/pve/tasks", "/nodes", "/cluster/options"]
    found = {path: sim.call("GET", path).data for path in paths}
    for row in found["/nodes"] + found["/pools/a"]["members"]:
        row.pop("uptime", None)
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_state_survives_a_restart(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    home = str(tmp_path / "state")
    sim = start(ONE_NODE, "--state", home)
    sim.call("POST", "/pools", {"poolid": "a"})
    sim.call("PUT", "/access/acl", {"path": "/vms", "roles": "PVEVMUser", "users": "alice@pve"})
    sim.call("POST", "/access/roles", {"roleid": "Op", "privs": "VM.Audit"})
    create = {"vmid": 101, "ostemplate": TEMPLATE, "storage": "btr", "unprivileged": 1, "pool": "a", "start": 1}
    assert sim.do("POST", "/nodes/pve/lxc", create).startswith(("OK", "WARNINGS"))
    sim.call("PUT", "/nodes/pve/lxc/101/config", {"arch": "amd64", "cores": 3, "description": "two\nlines ü"})
    made = sim.call("POST", "/access/users/alice@pve/token/ci").data["value"]
    before, authority = everything(sim), Path(sim.cafile).read_text()
    written = tmp_path / "state" / "state.json"  # a moment after the last change
    deadline = time.monotonic() + 5
    while made not in written.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    sim.process.send_signal(number)
    sim.process.wait(5)
    again = start(THREE_NODES, "--state", home)
    assert everything(again) == before
    assert again.tokens["alice@pve!ci"] == made
    assert Path(again.cafile).read_text() == authority


@pytest.mark.parametrize(
    ("seed", "words"),
    [
        ({"nodse": []}, "unknown key 'nodse'"),
        ({"nodes": [{"name": "pve", "memory": "lots"}]}, "'lots' is no size"),
        ({"volumes": [{"volid": "nosuch:iso/x.iso", "size": 1}]}, "nosuch"),
    ],
)
def test_a_wrong_seed_says_so(start: Start, seed: dict[str, Any], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        start(seed)
