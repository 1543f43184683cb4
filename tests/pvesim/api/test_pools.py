"""Pools, by path and by parameter."""

from __future__ import annotations

import pytest

from tests.pvesim.conftest import Start
from tests.pvesim.running import ONE_NODE, Sim


@pytest.fixture
def sim(start: Start) -> Sim:
    return start(ONE_NODE | {"guests": [{"vmid": vmid, "config": {"hostname": "x"}} for vmid in (101, 102)]})


def test_members_come_and_go(sim: Sim) -> None:
    sim.call("POST", "/pools", {"poolid": "a", "comment": "first"})
    assert sim.call("PUT", "/pools", {"poolid": "a", "vms": "101,102", "storage": "btr"}).data is None
    found = sim.call("GET", "/pools/a").data
    assert [member["id"] for member in found["members"]] == ["lxc/101", "lxc/102", "storage/pve/btr"]
    assert sim.call("GET", "/pools", {"poolid": "a", "type": "storage"}).data[0]["members"][0]["storage"] == "btr"
    assert sim.call("PUT", "/pools/a", {"vms": "101", "delete": 1}).data is None
    assert sim.call("PUT", "/pools/a", {"vms": "101", "delete": 1}).message == (
        "update pools failed: VM 101 is not a pool member"
    )


def test_a_guest_is_in_one_pool(sim: Sim) -> None:
    for name in "ab":
        sim.call("POST", "/pools", {"poolid": name})
    sim.call("PUT", "/pools/a", {"vms": "101"})
    assert sim.call("PUT", "/pools/a", {"vms": "101"}).message == "update pools failed: VM 101 is already a pool member"
    assert "belongs already to pool 'a'" in sim.call("PUT", "/pools/b", {"vms": "101"}).message
    assert sim.call("PUT", "/pools/b", {"vms": "101", "allow-move": 1}).status == 200
    assert sim.call("GET", "/pools/a").data["members"] == []


def test_only_empty_pools_are_deleted(sim: Sim) -> None:
    sim.call("POST", "/pools", {"poolid": "a"})
    sim.call("PUT", "/pools/a", {"vms": "101"})
    assert sim.call("DELETE", "/pools/a").message == "delete pool failed: pool 'a' is not empty (contains VM 101)"
    sim.call("PUT", "/pools/a", {"vms": "101", "delete": 1})
    assert sim.call("DELETE", "/pools", {"poolid": "a"}).data is None
    assert sim.call("GET", "/pools/a").message == "pool 'a' does not exist"


def test_nothing_of_a_refused_update_stays(sim: Sim) -> None:
    sim.call("POST", "/pools", {"poolid": "a"})
    assert sim.call("PUT", "/pools/a", {"vms": "101", "storage": "btr,btr", "comment": "new"}).status == 500
    assert sim.call("GET", "/pools/a").data == {"members": []}


def test_the_same_pool_twice_and_rights(sim: Sim) -> None:
    sim.call("POST", "/pools", {"poolid": "a"})
    assert sim.call("POST", "/pools", {"poolid": "a"}).message == "create pool failed: pool 'a' already exists"
    reply = sim.call("POST", "/pools", {"poolid": "b"}, token="alice@pve!nosep")
    assert (reply.status, reply.message) == (403, "Permission check failed (/pool/b, Pool.Allocate)")
    assert sim.call("GET", "/pools", token="alice@pve!nosep").data == []
    sim.call("PUT", "/access/acl", {"path": "/pool/a", "roles": "PVEPoolAdmin", "users": "alice@pve"})
    reply = sim.call("PUT", "/pools/a", {"vms": "101"}, token="alice@pve!nosep")
    assert (reply.status, reply.message) == (
        500,
        "update pools failed: 403 Permission check failed (/vms/101, Permissions.Modify|VM.Allocate)",
    )
