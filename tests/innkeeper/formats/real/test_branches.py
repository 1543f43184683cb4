"""Branches of a monorepo on a real container, by the real server: configured, kept in a snapshot, and taken back."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.innkeeper.formats.world import EXAMPLES
from tests.innkeeper.inside.world import World, get
from tests.innkeeper.portal.house import House, opened
from tests.pvesim import running

pytestmark = pytest.mark.timeout(1200)
NET = f"10.{30 + os.getpid() % 90}.96"
SITE = f"http://{NET}.142/"
SECRET = "the-webhook-secret"
RECIPE = "libs/apache/recipes/default.rb"
MINUTES = 600.0


@dataclass
class Server:
    house: House
    world: World
    place: Path

    def push(self, *branches: str) -> str:
        """Commit what the work tree holds, set the branches to it, and tell the server as a forge does."""
        git = self.house.upstream.git
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", "more")
        head = git("rev-parse", "HEAD")
        self.set(head, *branches)
        return head

    def set(self, commit: str, *branches: str) -> None:
        for branch in branches:
            self.house.upstream.git("push", "-q", "-f", "origin", f"{commit}:refs/heads/{branch}")
            body = json.dumps({"ref": f"refs/heads/{branch}", "after": commit}).encode()
            proof = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            asked = urllib.request.Request(
                f"{self.house.url}/hooks/homelab", body, {"X-Innkeeper-Signature-256": proof}, method="POST"
            )
            with urllib.request.urlopen(asked, timeout=20) as answer:
                assert answer.status == 202, answer.read()

    def innkeeper(self, *words: str, typed: str = "") -> str:
        own = {"INNKEEPER_SERVER": self.house.url, "XDG_CONFIG_HOME": str(self.place), "XDG_DATA_HOME": str(self.place)}
        done = subprocess.run(
            [sys.executable, "-m", "innkeeper", *words],
            input=typed,
            env={**os.environ, **own},
            capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def until(condition: Callable[[], object], server: Server) -> None:
    end = time.monotonic() + MINUTES
    while not condition():
        assert time.monotonic() < end, (server.place / "serve.log").read_text()[-4000:]
        time.sleep(0.5)


@pytest.fixture(scope="module")
def server(template: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place: Path = tmp_path_factory.mktemp("branches")
    (place / "hook").write_text(SECRET)

    def cluster(sim: running.Sim) -> str:
        way = sim.ready["ssh"]["pve"]
        return (
            "  defaults: {node: pve, storage: btr, bridge: vmbr0, template: debian-12}\n"
            f"  ssh: {{keyFile: {sim.ready['ssh_key']}, hosts: {{pve: '{way['host']}:{way['port']}'}}}}"
        )

    source = (
        f"format: container-monorepo\nbranch: release\nallow: [roles]\nwebhook: {{secret: {{file: {place / 'hook'}}}}}"
    )
    with opened(place, cluster=cluster, source=source, seed=running.ONE_NODE, options=("--backend", "lxc")) as house:
        work, example = house.upstream.work, EXAMPLES / "container-monorepo"
        shutil.copytree(example / "libs/apache", work / "libs/apache")
        file = work / "libs/apache/config.env"
        file.write_text(file.read_text().replace("192.168.178.", f"{NET}.").replace("local-lvm:", "btr:"))
        settings = (example / "globals.json").read_text().replace("192.168.178.1", f"{NET}.254", 1)
        (work / "globals.json").write_text(settings)
        (work / "local").mkdir()
        (work / "local/config.json").write_text('{"login": "steven"}')
        yield Server(house, World(house.sim, place, NET), place)


def test_released_configured_kept_and_taken_back(server: Server) -> None:
    house, recipe = server.house, server.house.upstream.work / RECIPE
    kept = server.push("release")
    until(lambda: get(SITE) == (200, "<h1>Hello from steven</h1>"), server)
    before = house.config(142)

    server.world.pct(142, "echo precious >/srv/data")
    server.set(kept, "snapshot")
    snapshots = "/nodes/pve/lxc/142/snapshot"
    name = f"innkeeper-at-{kept[:12]}"
    until(lambda: name in {item["name"] for item in house.sim.call("GET", snapshots).data}, server)

    recipe.write_text(recipe.read_text().replace("Hello", "Good evening"))
    server.push("main")
    until(lambda: get(SITE) == (200, "<h1>Good evening from steven</h1>"), server)
    after = house.config(142)
    assert {key: after[key] for key in ("memory", "cores", "net0", "rootfs")} == {
        key: before[key] for key in ("memory", "cores", "net0", "rootfs")
    }

    server.world.pct(142, "rm /srv/data")
    server.innkeeper("login", "--setup", house.setup, typed="ada\ncorrect horse battery\n")
    server.set(kept, "rollback")

    def waiting() -> Any:
        found = json.loads(server.innkeeper("jobs", "--state", "waiting", "-o", "json"))
        return next((job for job in found if job["type"] == "rollback"), None)

    until(waiting, server)
    job = waiting()
    assert name in job["summary"]
    assert get(SITE)[1] == "<h1>Good evening from steven</h1>", "nothing is taken back before a person agrees"
    server.innkeeper("approve", str(job["id"]), "--yes", "--digest", job["digest"], "--destroy", "apache")
    until(lambda: get(SITE) == (200, "<h1>Hello from steven</h1>"), server)
    assert server.world.pct(142, "cat /srv/data").strip() == "precious"
