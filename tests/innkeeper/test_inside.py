"""From manifests to what answers: the real command, real containers, real Ansible."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CANARY = "canary-7f3a9c"
SEED: dict[str, Any] = {
    "version": "9.1.9",
    "nodes": [{"name": "pve", "cpus": 4, "memory": "24Gi"}],
    "bridges": ["vmbr0"],
    "storages": [
        {"storage": "local", "type": "dir", "path": "/var/lib/vz", "content": ["vztmpl"]},
        {"storage": "fast", "type": "dir", "path": "/mnt/fast", "content": ["images", "rootdir"]},
    ],
    "volumes": [{"volid": "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst", "size": 60000000}],
}
CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: home}}
spec:
  endpoints: [{url}]
  tls: {{caFile: {cafile}}}
  credentials: {{tokenID: "{token}", tokenSecret: {{env: PVE}}}}
  defaults: {{storage: fast, bridge: vmbr0, template: debian-12}}
"""
GUEST = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {{name: {name}}}
spec:
  vmid: {vmid}
  memory: 256Mi
  rootDisk: {{size: 2Gi}}
  network: [{{name: eth0, ip: {address}/24, gateway: {net}.254}}]
  configure:
    roles: [{{role: hello, vars: {{greeting: {greeting}, password: {{secretRef: {{name: env, key: pw}}}}}}}}]
  health: [{{tcp: 22}}, {{systemd: ssh}}, {{command: "grep -q {greeting} /srv/hello", name: greeting}}]
"""
HELLO = """\
- name: Write the greeting
  ansible.builtin.copy: {dest: /srv/hello, content: "{{ greeting }} {{ password }}", mode: "0600"}
  no_log: true
"""


def missing() -> str:
    """Why real containers cannot be had here."""
    doctor = subprocess.run([sys.executable, "-m", "pvesim", "doctor"], capture_output=True, text=True, check=False)
    return "" if doctor.returncode == 0 else " ".join(line for line in doctor.stdout.splitlines() if "missing" in line)


@pytest.fixture(scope="module")
def template() -> None:
    if why := missing():
        pytest.skip(f"needs: {why}")
    build = [sys.executable, "-m", "pvesim", "template", "build", "debian-12"]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs: {done.stderr}")


@dataclass
class Home:
    """A directory of manifests beside a cluster of real containers."""

    directory: Path
    ready: dict[str, Any]
    net: str
    said: list[str] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "VIRTUAL_ENV", "LANG")}
        secret = next(iter(self.ready["tokens"].values()))
        data = str(self.directory.parent / "data")
        return kept | {"PVE": secret, "PW": CANARY, "XDG_DATA_HOME": data, "COLUMNS": "100"}

    def guest(self, name: str, number: int, greeting: str = "hi", **changes: str) -> None:
        facts = {"address": f"{self.net}.{number}", "net": self.net, "vmid": str(100 + number)} | changes
        (self.directory / f"{name}.yaml").write_text(GUEST.format(name=name, greeting=greeting, **facts))

    def innkeeper(self, *words: str, expected: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "innkeeper", *words],
            cwd=self.directory, env=self.environment | environment,
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        self.said.append(said)
        assert done.returncode == expected, said
        assert CANARY not in said
        return said if "-o" not in words else done.stdout

    def status(self) -> dict[str, Any]:
        return {item["name"]: item for item in json.loads(self.innkeeper("status", "-o", "json"))["guests"]}

    def node(self, command: str) -> str:
        where = self.ready["ssh"]["pve"]
        options = ["-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        words = ["ssh", *options, "-i", self.ready["ssh_key"], "-p", str(where["port"]), "root@127.0.0.1", command]
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout


@pytest.fixture
def home(tmp_path: Path, template: None) -> Iterator[Home]:
    (tmp_path / "seed.yaml").write_text(json.dumps(SEED))
    directory = tmp_path / "home"
    (directory / "roles/hello/tasks").mkdir(parents=True)
    (directory / "roles/hello/tasks/main.yml").write_text(HELLO)
    command = [sys.executable, "-m", "pvesim", "--backend", "lxc", "--seed", str(tmp_path / "seed.yaml"), "--port", "0"]
    with subprocess.Popen(
        [*command, "--exit-on-eof"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            net = f"10.{100 + os.getpid() % 28}.{process.pid % 250}"
            facts = {"url": ready["nodes"]["pve"], "cafile": ready["cafile"], "token": next(iter(ready["tokens"]))}
            (directory / "cluster.yaml").write_text(CLUSTER.format(**facts))
            yield Home(directory, ready, net)
        finally:
            process.terminate()
            process.wait(60)


def test_from_nothing_to_healthy_and_back_again(home: Home) -> None:
    home.guest("web", 1)
    said = home.innkeeper("apply", "--yes", "--wait", "60")
    assert "web: configuring" in said
    assert "Applied: 1 created." in said
    again = home.innkeeper("apply", "--yes")
    assert "Configuration up to date: 1 guest." in again
    assert "configuring" not in again
    web = home.status()["web"]
    assert (web["sync"], web["health"]) == ("Synced", "Healthy")
    assert [check["name"] for check in web["checks"]] == ["tcp 22", "systemd ssh", "greeting"]
    # somebody damages it
    home.node("pct exec 101 -- rm /srv/hello")
    web = home.status()["web"]
    assert (web["sync"], web["health"]) == ("Synced", "Degraded")
    assert "Configuration up to date" in home.innkeeper("plan")
    home.innkeeper("configure", "--yes", "--wait", "30")
    assert home.status()["web"]["health"] == "Healthy"
    # a variable changes
    home.guest("web", 1, greeting="hello")
    assert "configure:" in home.innkeeper("plan", "--detailed-exitcode", expected=2)
    home.innkeeper("apply", "--yes", "--wait", "30")
    # a secret changes: the fingerprint tells, and tells nothing else
    assert "configure:" in home.innkeeper("plan", "--detailed-exitcode", expected=2, PW="another")
    # where the secret is, and where it is not
    assert home.node("pct exec 101 -- cat /srv/hello") == f"hello {CANARY}"
    journal = home.node("pct exec 101 -- journalctl --no-pager")
    assert CANARY not in journal


def test_one_guest_fails_and_the_others_go_on(home: Home) -> None:
    broken = home.directory / "roles/broken/tasks"
    broken.mkdir(parents=True)
    (broken / "main.yml").write_text("- {name: Give up, ansible.builtin.fail: {msg: on purpose}}\n")
    home.guest("good", 1)
    home.guest("bad", 2)
    text = (home.directory / "bad.yaml").read_text()
    (home.directory / "bad.yaml").write_text(text.replace("role: hello", "role: broken"))
    # a secret is missing: said at once, for both, and nothing is made
    said = home.innkeeper("apply", "--yes", expected=1, PW="")
    assert said.count("MissingSecret") == 2
    said = home.innkeeper("apply", "--yes", expected=1)
    assert "✓ Container/good created" in said
    assert "✗ Container/bad" in said
    assert "Give up" in said
    assert "on purpose" in said
    # its host key has been seen by now: another one is not believed
    (home.directory / "bad.yaml").write_text(text)
    home.node("pct exec 102 -- sh -c 'rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh'")
    assert "shows another SSH host key" in home.innkeeper("apply", "--yes", expected=1)
    (home.directory.parent / "data/innkeeper/home/known_hosts/guest-102").unlink()
    # mended, the next run goes on with what is left
    said = home.innkeeper("apply", "--yes", "--wait", "60")
    assert "Container/bad updated" in said
    assert {item["health"] for item in home.status().values()} == {"Healthy"}
    # an address that one of them has, and one that something answers at, are not given to another
    home.guest("third", 3, address=f"{home.net}.1")
    (home.directory / "good.yaml").rename(home.directory / "good.txt")
    said = home.innkeeper("plan", expected=1)
    assert "AddressInUse" in said
    assert "belongs to container 101" in said
    home.guest("third", 3, address="127.77.0.3")
    assert "something answers at" in home.innkeeper("plan", expected=1)
    assert "warning AddressInUse" in home.innkeeper("plan", "--allow-ip-conflicts")


def test_a_guest_that_was_destroyed_comes_back(home: Home) -> None:
    home.guest("web", 1)
    text = (home.directory / "web.yaml").read_text()
    (home.directory / "web.yaml").write_text(
        text.replace(f"ip: {home.net}.1/24", "ip: dhcp").replace(f", gateway: {home.net}.254", "")
    )
    home.innkeeper("apply", "--yes", "--wait", "60")
    before = home.node("pct exec 101 -- hostname -I")
    text = (home.directory / "cluster.yaml").read_text()
    where = home.ready["ssh"]["pve"]
    ssh = f"  ssh: {{keyFile: {home.ready['ssh_key']}, hosts: {{pve: '127.0.0.1:{where['port']}'}}}}\n"
    (home.directory / "cluster.yaml").write_text(text + ssh)
    _delete(home)
    said = home.innkeeper("apply", "--yes", "--wait", "60")
    assert "Container/web created" in said
    assert home.node("pct exec 101 -- hostname -I") == before
    assert home.status()["web"]["health"] == "Healthy"


def _delete(home: Home) -> None:
    """As somebody would by hand, beside Innkeeper."""
    url = home.ready["nodes"]["pve"].removeprefix("https://")
    context = ssl.create_default_context(cafile=home.ready["cafile"])
    token, secret = next(iter(home.ready["tokens"].items()))
    connection = http.client.HTTPSConnection(url, context=context)
    headers = {"Authorization": f"PVEAPIToken={token}={secret}"}
    connection.request("DELETE", "/api2/json/nodes/pve/lxc/101?force=1", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def test_dev_builds_checks_and_destroys(home: Home, tmp_path: Path) -> None:
    directory = tmp_path / "dev"
    (directory / "roles").mkdir(parents=True)
    (home.directory / "roles/hello").rename(directory / "roles/hello")
    text = GUEST.format(name="web", vmid=101, greeting="hi", address="ADDRESS", net="NET")
    kept = "".join(line for line in text.splitlines(keepends=True) if "network" not in line and "vmid" not in line)
    (directory / "container.yaml").write_text(kept)
    report = json.loads(home.innkeeper("dev", str(directory), "--once", "-o", "json"))
    assert (report["guest"], report["health"]) == ("web", "Healthy")
    assert [check["ok"] for check in report["checks"]] == [True, True, True]
    assert [step["name"] for step in report["steps"]] == ["create", "configure", "check", "destroy"]
    (directory / "container.yaml").write_text(kept.replace("{tcp: 22}", "{tcp: 23}"))
    report = json.loads(home.innkeeper("dev", str(directory), "--once", "-o", "json", "--wait", "3", expected=1))
    assert (report["health"], report["checks"][0]["ok"]) == ("Degraded", False)
