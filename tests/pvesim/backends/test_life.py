"""A container's whole life, on a real one."""

from __future__ import annotations

import http.client
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.pvesim.backends.conftest import Begin, World


def test_from_creation_to_nothing_left(world: World) -> None:
    assert world.create(101, password="a-password") == "OK"
    assert world.status(101) == "stopped"
    assert world.power(101, "start") == "OK"
    assert world.reach(101).startswith(b"SSH-2.0")
    assert world.inside(101, "cat /etc/hostname; cat /proc/1/comm") == "ct101\nsystemd\n"
    assert world.inside(101, "ip -4 -br addr show eth0").split()[-1] == f"{world.address(101)}/24"
    assert world.inside(101, "nproc") == "1\n"
    assert world.inside(101, "cut -d: -f2 /etc/shadow | head -n1").startswith("$")
    shown = world.sim.call("GET", "/nodes/pve/lxc/101/interfaces").data
    assert next(row["inet"] for row in shown if row["name"] == "eth0") == f"{world.address(101)}/24"
    assert world.power(101, "shutdown") == "OK"
    assert world.status(101) == "stopped"
    home = Path(world.sim.cafile).parent
    assert [path.name for path in (home / "guests").iterdir()] == ["101"]
    assert world.sim.do("DELETE", "/nodes/pve/lxc/101") == "OK"
    assert list((home / "guests").iterdir()) == []
    assert [path.name for path in (home / "layers").iterdir() if path.name.isdigit()] == []


def test_logging_in_with_the_key_that_was_given(world: World) -> None:
    assert world.create(101, start=1) == "OK"
    world.reach(101)
    options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
    words = ["ssh", *options, "-i", str(world.key), f"root@{world.address(101)}", "id", "-un"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "root\n", done.stderr


def test_two_containers_have_their_own_keys_and_ids(world: World) -> None:
    for vmid in (101, 102):
        world.create(vmid)
        assert world.power(vmid, "start") == "OK"
        world.reach(vmid)
    files = "cat /etc/ssh/ssh_host_ed25519_key.pub /etc/machine-id"
    assert world.inside(101, files) != world.inside(102, files)


def test_memory_is_limited_and_a_change_takes_effect_at_once(world: World) -> None:
    world.create(101, memory=128)
    world.power(101, "start")
    world.reach(101)
    files = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true"
    assert world.inside(101, files) == f"{128 * 2**20}\n"
    assert world.sim.call("PUT", "/nodes/pve/lxc/101/config", {"memory": 192}).status == 200
    assert world.inside(101, files) == f"{192 * 2**20}\n"


def test_an_address_that_is_changed_answers_at_once(world: World) -> None:
    world.create(101, start=1)
    world.reach(101)
    new = f"name=eth0,bridge=vmbr0,ip={world.address(177)}/24,gw={world.net}.254"
    assert world.sim.call("PUT", "/nodes/pve/lxc/101/config", {"net0": new}).status == 200
    assert world.reach(177).startswith(b"SSH-2.0")


def test_the_way_out_stays_while_others_come(world: World) -> None:
    """A bridge without an address of its own takes its lowest port's: guests would lose their gateway for a while."""

    def gateway() -> str:
        world.inside(101, "ip neigh flush dev eth0")
        world.reach(101)
        return world.inside(101, f"ip neigh show {world.net}.254").split("lladdr ")[1].split()[0]

    world.create(101, start=1)
    world.reach(101)
    before = gateway()
    assert before.startswith("02:"), "its own, and no port's"
    for vmid in (102, 103, 104):
        world.create(vmid, start=1)
        world.reach(vmid)
    assert gateway() == before


def test_reboot_from_within_and_from_outside(world: World) -> None:
    world.create(101, start=1)
    world.reach(101)
    first = world.inside(101, "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1")
    assert world.power(101, "reboot") == "OK"
    world.reach(101)
    assert world.inside(101, "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1") != first
    assert world.status(101) == "running"
    world.ssh("pct", "exec", "101", "--", "systemctl", "reboot")
    time.sleep(1)  # it goes down first
    world.reach(101)
    assert world.status(101) == "running"
    shown = world.sim.call("GET", "/nodes/pve/lxc/101/interfaces").data
    assert any(row.get("inet") == f"{world.address(101)}/24" for row in shown)


def test_a_container_that_powers_itself_off_is_stopped(world: World) -> None:
    world.create(101, start=1)
    world.reach(101)
    world.ssh("pct", "exec", "101", "--", "systemctl", "poweroff")
    deadline = time.monotonic() + 20
    while world.status(101) != "stopped" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert world.status(101) == "stopped"
    assert world.power(101, "start") == "OK"
    assert world.reach(101).startswith(b"SSH-2.0")


def test_snapshot_rollback_and_clones(world: World) -> None:
    world.create(101, start=1)
    world.reach(101)
    world.inside(101, "echo one > /root/state; mkdir /root/kept; rm /etc/issue")
    assert world.sim.do("POST", "/nodes/pve/lxc/101/snapshot", {"snapname": "before"}) == "OK"
    world.inside(101, "echo two > /root/state; rm -r /root/kept; touch /root/late")
    assert world.sim.do("POST", "/nodes/pve/lxc/101/snapshot/before/rollback") == "OK"
    assert world.power(101, "start") == "OK"
    world.reach(101)
    assert (
        world.inside(101, "cat /root/state; ls -d /root/kept /root/late /etc/issue 2>/dev/null; true")
        == "one\n/root/kept\n"
    )

    copy = {"newid": 102, "snapname": "before", "full": 1, "hostname": "copy"}
    assert world.sim.do("POST", "/nodes/pve/lxc/101/clone", copy) == "OK"
    net = f"name=eth0,bridge=vmbr0,ip={world.address(102)}/24,gw={world.net}.254"
    assert world.sim.call("PUT", "/nodes/pve/lxc/102/config", {"net0": net}).status == 200
    assert world.sim.do("DELETE", "/nodes/pve/lxc/101/snapshot/before") == "OK"
    assert world.power(102, "start") == "OK"
    world.reach(102)
    world.inside(102, "echo three > /root/state")
    assert world.inside(101, "cat /root/state") == "one\n"
    assert world.inside(102, "cat /root/state /etc/hostname") == "three\ncopy\n"
    assert world.inside(101, "cat /etc/machine-id") != world.inside(102, "cat /etc/machine-id")


def test_mount_points_and_backups_hold_what_was_written(world: World) -> None:
    world.create(101, rootfs="btr:2", mp0="btr:1,mp=/data,backup=1", start=1)
    world.reach(101)
    world.inside(101, "echo here > /data/file; echo there > /root/file")
    assert world.sim.do("POST", "/nodes/pve/vzdump", {"vmid": 101, "storage": "local"}) == "OK"
    archive = world.sim.call("GET", "/nodes/pve/storage/local/content", {"content": "backup"}).data[0]["volid"]
    world.inside(101, "echo gone > /data/file")
    assert world.power(101, "stop") == "OK"
    assert world.sim.do("DELETE", "/nodes/pve/lxc/101") == "OK"
    restored = {"vmid": 101, "ostemplate": archive, "restore": 1, "storage": "btr", "start": 1}
    assert world.sim.do("POST", "/nodes/pve/lxc", restored) == "OK"
    world.reach(101)
    assert world.inside(101, "cat /data/file /root/file") == "here\nthere\n"


def test_ten_containers_in_one_go(world: World) -> None:
    vmids = range(101, 111)
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda vmid: world.create(vmid, start=1), vmids)) == {"OK"}
        assert all(
            answer.startswith(b"SSH-2.0") for answer in pool.map(lambda vmid: world.reach(vmid, seconds=60), vmids)
        )
        assert set(pool.map(lambda vmid: world.power(vmid, "stop"), vmids)) == {"OK"}
        assert set(pool.map(lambda vmid: world.sim.do("DELETE", f"/nodes/pve/lxc/{vmid}"), vmids)) == {"OK"}
    assert list((Path(world.sim.cafile).parent / "guests").iterdir()) == []


def test_two_simulators_with_the_same_addresses_do_not_disturb_each_other(begin: Begin) -> None:
    first = begin()
    second = begin(net=first.net)
    for world, text in ((first, "first"), (second, "second")):
        assert world.create(101, start=1) == "OK"
        world.inside(101, f"echo {text} > /root/name")
    first.reach(101)
    for world, text in ((first, "first"), (second, "second")):
        assert world.inside(101, "cat /root/name") == f"{text}\n"
        jump = " ".join(world.ssh_command()[:-1]) + " -W %h:%p root@127.0.0.1"
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"]
        words = ["ssh", *options, "-o", f"ProxyCommand={jump}", "-i", str(world.key)]
        deadline = time.monotonic() + 20
        while True:
            done = subprocess.run(
                [*words, f"root@{world.address(101)}", "cat", "/root/name"],
                capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
            if done.returncode == 0 or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert done.stdout == f"{text}\n", done.stderr
    second.power(101, "stop")
    assert first.reach(101).startswith(b"SSH-2.0")


def test_a_template_without_content_says_how_to_build_it(begin: Begin) -> None:
    from tests.pvesim.running import ONE_NODE

    alpine = {"volid": "local:vztmpl/alpine-3.20-default_amd64.tar.xz", "size": 3000000}
    world = begin(seed=ONE_NODE | {"volumes": [alpine]})
    ended = world.create(101, ostemplate=alpine["volid"], features=None)
    assert "has no content here: real containers are made of debian-12, debian-13" in ended
    assert world.sim.call("GET", "/nodes/pve/lxc").data == []


def test_a_container_reaches_the_api_where_this_machine_does(begin: Begin) -> None:
    world = begin()
    host, _, port = world.sim.ready["from_guests"]["pve"].removeprefix("https://").partition(":")
    here = http.client.HTTPSConnection(host, int(port), context=world.sim.tls, timeout=30)
    assert world.sim.call("GET", "/version", connection=here).data["release"]
    here.close()
    assert world.create(101, start=1) == "OK"
    world.reach(101)
    reached = f"import socket; print(socket.create_connection(('{host}', {port}), 5).getpeername()[0])"
    assert world.inside(101, f'python3 -c \\"{reached}\\"').strip() == host
