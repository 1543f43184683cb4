"""A server that deploys itself onto a cluster, then keeps itself and all else from the same repository."""

import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.innkeeper.inside import wheels, world
from tests.innkeeper.inside.world import EXAMPLES, World

VMID = 10100
VERSION = version("innkeeper")
NEXT = f"{VERSION}.post1"
SECONDS = 900


@dataclass
class Plane:
    """The world, and what a person at a workstation has: the repository, a key, the wheels, a token once signed in."""

    world: World
    wheels: Path
    key: Path
    environment: dict[str, str]

    @property
    def address(self) -> str:
        return f"{self.world.net}.2"

    def git(self, *words: str) -> str:
        ssh = f"ssh -i {self.key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        command = ["git", "-C", str(self.world.manifests), *who, *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env={**os.environ, "GIT_SSH_COMMAND": ssh}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def push(self, message: str) -> str:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self.git("push", "--quiet", f"innkeeper@{self.address}:repositories/home.git", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def change(self, name: str, before: str, after: str) -> None:
        file = self.world.manifests / name
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))

    def asked(self, *words: str) -> Any:
        done = self.world.innkeeper(*words, "-o", "json", env=self.environment)
        return done.json if done.status == 0 else None

    def ended(self, revision: str) -> dict[str, Any]:
        """The job that brought a revision, once it has ended or waits."""
        return self._over(lambda job: job["revision"] == revision and job["type"] == "sync")

    def configured(self, name: str) -> dict[str, Any]:
        """The job by which the server ran the roles of a guest although nothing had changed."""
        kept = json.loads(Path(self.environment["XDG_CONFIG_HOME"], "innkeeper/tokens.json").read_text())
        request = urllib.request.Request(
            f"https://{self.address}/api/v1/sources/home/sync",
            json.dumps({"only": [name], "configure": "always"}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {next(iter(kept.values()))}"},
        )
        trust = ssl.create_default_context(cafile=self.environment["INNKEEPER_CA_FILE"])
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )
        with opener.open(request, timeout=30) as answer:
            number = json.load(answer)["id"]
        return self._over(lambda job: job["id"] == number)

    def _over(self, meant: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            mine = [job for job in self.asked("jobs") or [] if meant(job)]
            return mine[0] if mine and mine[0]["state"] not in ("pending", "running") else None

        return dict(until(found))

    def said(self, job: dict[str, Any]) -> str:
        """The job's log; a server that starts anew just now is waited for."""

        def log() -> str:
            done = self.world.innkeeper("logs", str(job["id"]), env=self.environment)
            return done.out if done.status == 0 else ""

        return str(until(log))

    def inside(self, script: str) -> str:
        return self.world.pct(VMID, script).strip()


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + SECONDS
    while not (seen := found()):
        assert time.monotonic() < end, "it did not become so in time"
        time.sleep(0.5)
    return seen


@pytest.fixture(scope="module")
def plane(template: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    folder = tmp_path_factory.mktemp("plane")
    here = folder / "wheels"
    here.mkdir()
    wheels.with_dependencies(wheels.build(folder, VERSION), here)
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    made = world.start(folder, 97)
    shutil.rmtree(made.manifests)
    shutil.copytree(EXAMPLES / "control-plane", made.manifests)
    shutil.copy(made.sim.cafile, made.manifests / "pve-root-ca.pem")
    plane = Plane(made, here, key, {"XDG_CONFIG_HOME": str(folder / "config")})
    plane.change("cluster.yaml", "https://pve1.example.org:8006", made.sim.ready["from_guests"]["pve"])
    plane.change("cluster.yaml", "innkeeper@pve!gitops", "root@pam!full")
    plane.change("cluster.yaml", "node: pve1, storage: local-zfs", "node: pve, storage: btr")
    plane.change("control-plane.yaml", "/srv/innkeeper-wheels", str(here))
    plane.change("control-plane.yaml", "ssh-ed25519 AAAA… you@workstation", key.with_suffix(".pub").read_text().strip())
    for name in ("control-plane.yaml", "server.yaml"):
        plane.change(name, "10.0.10.", f"{made.net}.")
    plane.git("init", "--quiet", "--initial-branch=main")
    yield plane
    made.close()


def test_it_deploys_itself_and_is_unchanged_after(plane: Plane) -> None:
    first = plane.world.innkeeper("apply", "--yes", "--wait", "120")
    assert first.status == 0, first.all
    again = plane.world.innkeeper("apply", "--yes")
    assert "No changes" in again.out, again.all
    assert plane.inside("systemctl is-active innkeeper caddy").split() == ["active", "active"]
    assert plane.inside("stat -c '%U:%G %a' /etc/innkeeper/environment") == "root:root 600"

    authority = plane.world.folder / "caddy.pem"
    authority.write_text(plane.inside("cat /var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"))
    told = plane.inside("journalctl --unit innkeeper --output cat --grep setup").splitlines()[-1]
    setup = json.loads(told)["setup"]
    assert urlsplit(setup).netloc == plane.address
    plane.environment |= {"INNKEEPER_SERVER": f"https://{plane.address}", "INNKEEPER_CA_FILE": str(authority)}
    signed = subprocess.run(
        [*world.COMMAND, "login", "--setup", setup], input="ada\na few words do well\n",
        capture_output=True, text=True, env=plane.world.environment(plane.environment), timeout=60,
    )  # fmt: skip
    assert signed.returncode == 0, signed.stdout + signed.stderr


def test_it_plans_itself_as_unchanged(plane: Plane) -> None:
    since = plane.inside("systemctl show -P ActiveEnterTimestamp innkeeper; stat -c %Y /proc/1")
    job = plane.ended(plane.push("The control plane itself"))
    assert job["state"] == "succeeded", plane.said(job)
    assert "planned: no changes" in plane.said(job)
    assert plane.inside("systemctl show -P ActiveEnterTimestamp innkeeper; stat -c %Y /proc/1") == since
    job = plane.configured("innkeeper")
    assert job["state"] == "succeeded", plane.said(job)
    assert "Keep the server running: ok" in plane.said(job)
    assert ": changed" not in plane.said(job), "a second run changes nothing"
    assert plane.inside("systemctl show -P ActiveEnterTimestamp innkeeper; stat -c %Y /proc/1") == since
    guests = plane.asked("status")["guests"]
    assert [(guest["name"], guest["sync"], guest["health"]) for guest in guests] == [("innkeeper", "Synced", "Healthy")]


def test_a_pushed_container_is_carried_out_and_lives_without_it(plane: Plane) -> None:
    roles = "configure: {roles: [{role: base}, {role: web, vars: {web_index: it works}}]}"
    plane.world.container("web", 10101, "node: pve", roles, "health: [{http: {port: 80}}]")
    job = plane.ended(plane.push("A website"))
    assert job["state"] == "succeeded", plane.said(job)
    assert plane.world.get(f"{plane.world.net}.101")[1].strip() == "it works"
    plane.inside("systemctl stop innkeeper")
    assert plane.world.get(f"{plane.world.net}.101")[0] == 200
    plane.inside("systemctl start innkeeper")
    until(lambda: plane.asked("status"))


def test_a_pushed_version_is_what_it_becomes(plane: Plane) -> None:
    born = plane.inside("stat -c %Y /proc/1")
    wheels.build(plane.wheels, NEXT)
    host = urlsplit(plane.world.sim.ready["from_guests"]["pve"]).hostname
    assert host is not None
    with wheels.index(plane.world.folder / "index", plane.wheels, host) as url:
        plane.inside(f"printf '[global]\\nindex-url = {url}\\ntrusted-host = {host}\\n' > /etc/pip.conf")
        plane.change("control-plane.yaml", f"innkeeper_version: {VERSION}", f"innkeeper_version: {NEXT}")
        plane.change("control-plane.yaml", f"          innkeeper_wheels: {plane.wheels}\n", "")
        job = plane.ended(plane.push("The next version"))
    said = plane.said(job)
    assert job["state"] == "succeeded", said
    assert "interrupted" not in said
    assert "Container/innkeeper" in said and "Container/web: configure" not in said
    process = "$(systemctl show -P MainPID innkeeper)"
    until(lambda: NEXT in plane.inside(f"tr '\\0' '\\n' < /proc/{process}/cmdline || true"))
    until(lambda: plane.asked("status"))
    assert plane.inside("readlink /opt/innkeeper; ls -d /opt/innkeeper-*").split() == [
        f"/opt/innkeeper-{NEXT}", f"/opt/innkeeper-{VERSION}", f"/opt/innkeeper-{NEXT}",
    ]  # fmt: skip
    assert plane.inside("stat -c %Y /proc/1") == born
    job = plane.ended(plane.push("Nothing new"))
    assert "planned: no changes" in plane.said(job), plane.said(job)


def test_what_would_end_it_waits_for_a_person(plane: Plane) -> None:
    born = plane.inside("stat -c %Y /proc/1")
    plane.change("control-plane.yaml", "features: {nesting: true}", "features: {nesting: true, fuse: true}")
    plane.change("control-plane.yaml", "protected: true", "protected: true\n  restart: whenNeeded")
    job = plane.ended(plane.push("Another feature"))
    assert job["state"] == "waiting", plane.said(job)
    assert plane.inside("stat -c %Y /proc/1") == born
