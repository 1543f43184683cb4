"""The inventory plugin of community.proxmox: which groups and facts it makes of what `pvesim` says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pvesim.clients.conftest import IMAGE
from tests.pvesim.clients.test_ansible import BIN, environment
from tests.pvesim.running import ALICE, SECRET, TEMPLATE, Sim

BY_TOKEN = f"user: root@pam\ntoken_id: full\ntoken_secret: {SECRET}\n"
BY_PASSWORD = "user: root@pam\npassword: rootpass1\n"
FACTS = """
want_facts: true
qemu_extended_statuses: true
keyed_groups: [{key: proxmox_tags_parsed, separator: "", prefix: tag_}]
groups: {webservers: "'web' in (proxmox_tags_parsed | default([]))"}
compose: {ansible_host: "(proxmox_agent_interfaces[1]['ip-addresses'][0] | default('')).split('/')[0]"}
"""

Inventory = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def guests(sim: Sim) -> None:
    """A running container and VM, a paused VM, a template; the node has an address and a gateway."""
    common = {"ostemplate": TEMPLATE, "features": "nesting=1", "rootfs": "btr:1"}
    card = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:65,ip=10.0.10.42/24,gw=10.0.10.1"
    web = {"vmid": 101, "hostname": "web", "tags": "web;prod", "net0": card, "pool": "apps", "start": 1}
    vm = {"name": "vm", "agent": 1, "scsi0": f"local:0,import-from={IMAGE},format=qcow2", "net0": "virtio,bridge=vmbr0"}
    cloud = {"ide2": "local:cloudinit", "ipconfig0": "ip=10.0.10.50/24,gw=10.0.10.1", "description": "A machine"}
    assert sim.do("POST", "/nodes/pve/lxc", common | web) == "OK"
    assert sim.do("POST", "/nodes/pve/lxc", common | {"vmid": 102, "hostname": "golden"}) == "OK"
    assert sim.call("POST", "/nodes/pve/lxc/102/template").status == 200
    assert sim.do("POST", "/nodes/pve/qemu", {"vmid": 201, "start": 1} | vm | cloud) == "OK"
    assert sim.do("POST", "/nodes/pve/qemu/201/snapshot", {"snapname": "before"}) == "OK"
    assert sim.do("POST", "/nodes/pve/qemu", {"vmid": 202, "name": "asleep", "start": 1, "tags": "web"}) == "OK"
    assert sim.do("POST", "/nodes/pve/qemu/202/status/suspend") == "OK"
    bridge = {"type": "bridge", "cidr": "10.0.10.2/24", "gateway": "10.0.10.1", "autostart": 1}
    assert sim.call("PUT", "/nodes/pve/network/vmbr0", bridge).status == 200
    assert sim.do("PUT", "/nodes/pve/network") == "OK"


@pytest.fixture
def inventory(sim: Sim, guests: None, tmp_path: Path) -> Inventory:
    def read(options: str) -> dict[str, Any]:
        source = tmp_path / "lab.proxmox.yaml"
        source.write_text(
            f"plugin: community.proxmox.proxmox\nurl: {next(iter(sim.urls.values()))}\nvalidate_certs: true\n"
            f"want_proxmox_nodes_ansible_host: true\n{options}"
        )
        command = [str(BIN / "ansible-inventory"), "-i", str(source), "--list"]
        strict = environment(sim, tmp_path) | {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
        done = subprocess.run(command, env=strict, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout, object_hook=lambda it: it.get("__ansible_unsafe", it))
        return found

    return read


def hosts(found: dict[str, Any], group: str) -> set[str]:
    return set(found.get(group, {}).get("hosts", ()))


def test_groups_without_facts(inventory: Inventory) -> None:
    found = inventory(BY_PASSWORD)
    assert hosts(found, "proxmox_all_lxc") == hosts(found, "proxmox_pve_lxc") == {"web"}
    assert hosts(found, "proxmox_all_qemu") == {"vm", "asleep"}
    assert hosts(found, "proxmox_nodes") == {"pve"}
    assert hosts(found, "proxmox_pool_apps") == {"web"}
    assert found["_meta"]["hostvars"]["pve"]["ansible_host"] == "10.0.10.2"
    assert found["_meta"]["hostvars"]["web"] == {"proxmox_node": "pve", "proxmox_vmid": 101, "proxmox_vmtype": "lxc"}


def test_facts_of_containers_and_machines(inventory: Inventory) -> None:
    found = inventory(BY_TOKEN + FACTS)
    assert hosts(found, "proxmox_all_running") == {"web", "vm"}
    assert hosts(found, "proxmox_all_paused") == {"asleep"}
    assert hosts(found, "webservers") == hosts(found, "tag_web") == {"web", "asleep"}
    web, vm = found["_meta"]["hostvars"]["web"], found["_meta"]["hostvars"]["vm"]
    assert web["proxmox_status"] == "running"
    assert web["proxmox_tags_parsed"] == ["prod", "web"]
    assert web["proxmox_net0"]["hwaddr"] == "BC:24:11:00:00:65"
    card = next(card for card in web["proxmox_lxc_interfaces"] if card["name"] == "eth0")
    assert (card["hwaddr"], card["inet"]) == ("bc:24:11:00:00:65", "10.0.10.42/24")
    assert vm["proxmox_snapshots"] == ["before"]
    assert vm["proxmox_description"] == "A machine"
    assert vm["proxmox_scsi0"]["size"] == "2G"
    assert [card["name"] for card in vm["proxmox_agent_interfaces"]] == ["lo", "ens18"]
    assert vm["ansible_host"] == "10.0.10.50"


def test_who_may_see_nothing_gets_no_guests(inventory: Inventory) -> None:
    found = inventory(f"user: alice@pve\ntoken_id: sep\ntoken_secret: {ALICE}\n")
    assert not hosts(found, "proxmox_all_lxc")
    assert not hosts(found, "proxmox_all_qemu")
