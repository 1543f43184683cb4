"""Real containers for tests: skipped, with what is missing, where this machine cannot run them."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pvesim.backends.lxc import needs
from pvesim.template import build, recipe
from tests.pvesim import running
from tests.pvesim.running import ONE_NODE, TEMPLATE, Sim

_counter = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first of these tests may have to build the template."""
    for item in items:
        if "template" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def template() -> Path:
    """Debian 12's archive, built once; skips the test where containers cannot be run or built."""
    try:
        needs.require()
        return build.build(recipe.find("debian-12"))[0]
    except (needs.NeedsError, recipe.RecipeError) as error:
        reason = str(error)
        pytest.skip(reason if reason.startswith("needs: ") else f"needs: {reason}")


@dataclass
class World:
    """One simulator with real containers, and what a test asks of it. `net` is a /24 that no other test uses."""

    sim: Sim
    folder: Path
    key: Path
    net: str = field(default_factory=lambda: f"10.{128 + os.getpid() % 100}.{next(_counter) % 250}")

    def address(self, vmid: int) -> str:
        return f"{self.net}.{vmid % 250}"

    def wanted(self, vmid: int) -> dict[str, Any]:
        """The parameters of an ordinary container."""
        return {
            "vmid": vmid, "ostemplate": TEMPLATE, "storage": "btr", "hostname": f"ct{vmid}", "memory": 256, "cores": 1,
            "features": "nesting=1", "ssh-public-keys": self.key.with_suffix(".pub").read_text(),
            "net0": f"name=eth0,bridge=vmbr0,ip={self.address(vmid)}/24,gw={self.net}.254",
        }  # fmt: skip

    def create(self, vmid: int, **params: Any) -> str:
        """Make a container; its task's exit status. None leaves a parameter out."""
        given = {name: value for name, value in (self.wanted(vmid) | params).items() if value is not None}
        return self.sim.do("POST", "/nodes/pve/lxc", given)

    def power(self, vmid: int, verb: str, **params: Any) -> str:
        return self.sim.do("POST", f"/nodes/pve/lxc/{vmid}/status/{verb}", params)

    def status(self, vmid: int) -> str:
        return str(self.sim.call("GET", f"/nodes/pve/lxc/{vmid}/status/current").data["status"])

    def ssh(self, *words: str, stdin: str = "", node: str = "pve") -> subprocess.CompletedProcess[str]:
        """A command on the node."""
        return subprocess.run(
            [*self.ssh_command(node), *words], input=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    def ssh_command(self, node: str = "pve") -> list[str]:
        where = self.sim.ready["ssh"][node]
        known = self.folder / f"known-{node}"
        known.write_text(f"[{where['host']}]:{where['port']} {where['hostkey']}\n")
        options = ["-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes"]
        return ["ssh", *options, "-i", str(self.key), "-p", str(where["port"]), "root@127.0.0.1"]

    def inside(self, vmid: int, command: str) -> str:
        """What a command in the container prints; the test fails when the command does."""
        done = self.ssh("pct", "exec", str(vmid), "--", "sh", "-c", f'"{command}"')
        assert done.returncode == 0, done.stderr
        return done.stdout

    def reach(self, vmid: int, port: int = 22, seconds: float = 20) -> bytes:
        """The first bytes that the container's own address answers with."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with socket.create_connection((self.address(vmid), port), timeout=2) as connection:
                    return connection.recv(100)
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


Begin = Callable[..., World]


@pytest.fixture
def begin(tmp_path: Path, template: Path) -> Iterator[Begin]:
    """`begin(*options)` runs a `pvesim --backend lxc`; all of them end with the test, and leave nothing."""
    started: list[World] = []
    key = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = str(key.with_suffix(".pub"))

    def go(*options: str, seed: dict[str, Any] = ONE_NODE, net: str | None = None) -> World:
        folder = tmp_path / f"sim{len(started)}"
        folder.mkdir()
        sim = running.start(folder, seed, "--backend", "lxc", "--ssh-key", public, *options)
        started.append(World(sim, folder, key) if net is None else World(sim, folder, key, net))
        return started[-1]

    yield go
    for world in started:
        if world.sim.process.poll() is None:
            world.sim.process.terminate()
            world.sim.process.wait(40)
        world.sim.stop()
    assert leftovers([world.sim.process.pid for world in started]) == []


def leftovers(pids: list[int]) -> list[str]:
    """What simulators with these process ids have left on this machine."""
    names = [f"pvs{pid}" for pid in pids]
    found = [name for name in names if Path(f"/sys/class/net/{name}").exists()]
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    found += [line for line in routes.splitlines() if any(f"dev {name} " in f"{line} " for name in names)]
    for pid in pids:
        found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/pvesim.{pid}")]
    return found


@pytest.fixture
def world(begin: Begin) -> World:
    return begin()
