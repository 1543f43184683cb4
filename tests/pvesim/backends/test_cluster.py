"""Several nodes, and containers that were there before."""

from __future__ import annotations

from typing import Any

from tests.pvesim.backends.conftest import Begin, World
from tests.pvesim.running import ONE_NODE, THREE_NODES


def test_a_container_moves_to_another_node_with_what_is_in_it(begin: Begin) -> None:
    world = begin(seed=THREE_NODES)
    params = world.wanted(101)
    assert world.sim.do("POST", "/nodes/pve1/lxc", params | {"start": 1}) == "OK"
    world.reach(101)
    assert world.ssh("pct", "exec", "101", "--", "touch", "/root/moved", node="pve1").returncode == 0
    assert world.sim.do("POST", "/nodes/pve1/lxc/101/migrate", {"target": "pve2", "restart": 1}) == "OK"
    world.reach(101)
    assert world.ssh("pct", "exec", "101", "--", "ls", "/root", node="pve2").stdout == "moved\n"
    assert world.ssh("pct", "exec", "101", "--", "ls", "/root", node="pve1").returncode == 255


def test_containers_of_the_seed_run(begin: Begin) -> None:
    config = {"hostname": "old", "memory": 256, "ostype": "debian", "rootfs": "btr:101/vm-101-disk-0.raw,size=4G"}
    config["net0"] = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth"
    guests: list[dict[str, Any]] = [{"vmid": 101, "running": True, "config": config}, {"vmid": 102, "config": config}]
    world: World = begin(seed=ONE_NODE | {"guests": guests})
    assert (world.status(101), world.status(102)) == ("running", "stopped")
    assert world.inside(101, "cat /etc/hostname") == "old\n"


def test_two_bridges_and_a_network_without_a_gateway(begin: Begin) -> None:
    world = begin(seed=ONE_NODE | {"bridges": ["vmbr0", "vmbr1"]})
    second = f"name=eth1,bridge=vmbr1,ip=10.100.0.{101}/24"
    assert world.create(101, net1=second, start=1) == "OK"
    world.reach(101)
    shown = {row["name"]: row.get("inet") for row in world.sim.call("GET", "/nodes/pve/lxc/101/interfaces").data}
    assert shown["eth0"] == f"{world.address(101)}/24"
    assert shown["eth1"] == "10.100.0.101/24"
