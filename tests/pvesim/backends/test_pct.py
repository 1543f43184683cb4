"""What a client finds that logs in to a node."""

from __future__ import annotations

from tests.pvesim.backends.conftest import World


def test_pct_on_the_node(world: World) -> None:
    assert world.create(101, start=1) == "OK"
    world.reach(101)
    assert world.ssh("pct", "status", "101").stdout == "status: running\n"
    assert world.ssh("pct", "list").stdout.split() == ["VMID", "Status", "Lock", "Name", "101", "running", "ct101"]

    done = world.ssh("pct", "exec", "101", "--", "sh", "-c", "'cat; echo bad >&2; exit 7'", stdin="given")
    assert (done.returncode, done.stdout, done.stderr) == (7, "given", "bad\n")

    pushed = world.ssh("pct", "push", "101", "/dev/stdin", "/root/file", "--perms", "600", stdin="content\n")
    assert (pushed.returncode, pushed.stderr) == (0, "")
    assert world.inside(101, "cat /root/file; stat -c %a:%U /root/file") == "content\n600:root\n"
    assert world.ssh("pct", "pull", "101", "/root/file", "/kept").returncode == 0
    assert world.ssh("pct", "push", "101", "/kept", "/root/again").returncode == 0
    assert world.inside(101, "cat /root/again") == "content\n"


def test_what_pct_refuses(world: World) -> None:
    world.create(101)
    stopped = world.ssh("pct", "exec", "101", "--", "true")
    assert (stopped.returncode, stopped.stderr) == (1, "CT 101 not running\n")
    missing = world.ssh("pct", "exec", "102", "--", "true")
    assert (missing.returncode, missing.stderr) == (255, "Configuration file 'nodes/pve/lxc/102.conf' does not exist\n")
    assert world.ssh("ls", "/").returncode == 127
    outside = world.ssh("pct", "push", "101", "../../ca.key", "/root/x")
    assert outside.returncode != 0


def test_packages_come_through_the_nodes_proxy(world: World) -> None:
    world.create(101, start=1)
    world.reach(101)
    assert "Reading package lists" in world.inside(101, "apt-get update 2>&1")
    world.inside(101, "apt-get install -y --no-install-recommends hello 2>&1")
    assert world.inside(101, "hello") == "Hello, world!\n"
