"""The whole way on real parts: Gitea, its signed webhooks, `innkeeper serve`, git, and pvesim for Proxmox."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from innkeeper.model.jobs import ENDED
from tests.innkeeper.forge.giteaserver import Gitea
from tests.pvesim.running import ONE_NODE, SECRET, Sim, start

WEBHOOK, CANARY = "the webhook's secret", "canary-0b3d"
CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {{name: {name}}}
spec:
  endpoints: ["{proxmox}"]
  tls: {{caFile: "{cafile}"}}
  credentials: {{tokenID: root@pam!full, tokenSecret: {{env: PVE_SECRET}}}}
  defaults: {{storage: local, bridge: vmbr0, template: debian-12}}
"""
SOURCE = """\
---
apiVersion: innkeeper.dev/v1alpha1
kind: Source
metadata: {{name: home}}
spec:
  url: "{repository}.git"
  interval: 1d
  write: guests
  prune: true
  allow: [clusters, roles, secrets]
  credentials: {{username: boss, password: {{env: FORGE_TOKEN}}}}
  webhook: {{secret: {{env: WEBHOOK_SECRET}}}}
  forge: {{type: gitea, token: {{env: FORGE_TOKEN}}}}
"""
INSIDE = """\
  configure:
    secrets: {own: {files: /etc}}
    roles:
      - role: evil
        vars: {evil_word: {secretRef: {name: env, key: CANARY}}, evil_key: {secretRef: {name: own, key: not-there}}}
"""
Found = TypeVar("Found")


def container(name: str, vmid: int, cores: int = 1, more: str = "") -> str:
    return f"""\
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {{name: {name}}}
spec:
  vmid: {vmid}
  cpu: {{cores: {cores}}}
  memory: 512Mi
  rootDisk: {{size: 4Gi}}
  network: [{{name: eth0, ip: dhcp}}]
  unprivileged: true
  running: true
{more}"""


def until(look: Callable[[], Found], what: str, patience: float = 90.0) -> Found:
    """What is found, as soon as it is something."""
    end = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class House:
    """A repository on Gitea that a running server keeps on a simulated node."""

    gitea: Gitea
    repository: str
    sim: Sim
    server: "Server"
    data: Path

    def running(self) -> list[str]:
        found = self.sim.call("GET", "/nodes/pve/lxc").data
        return sorted(str(item.get("name")) for item in found if item["status"] == "running")

    def writes(self) -> list[str]:
        return [f"{item['method']} {item['path']}" for item in self.sim.calls() if item["method"] != "GET"]

    def plan(self, pull: int, revision: str) -> tuple[int, str]:
        """The one comment, once it is about this revision: its id and text."""

        def look() -> tuple[int, str] | None:
            found = self.gitea.comments(self.repository, pull)
            assert len(found) <= 1
            return next(((number, text) for number, _, text in found if revision[:12] in text), None)

        found = until(look, f"a plan of {revision[:12]}")
        assert found is not None
        return found

    def status(self, revision: str) -> tuple[str, str]:
        """State and text, once it is not pending."""

        def look() -> tuple[str, str] | None:
            found = self.gitea.statuses(self.repository, revision)
            return next(((item[0], item[2]) for item in found if item[0] != "pending"), None)

        found = until(look, f"a status of {revision[:12]}")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def house(gitea_server: Gitea, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for all: what each test proposes goes to a branch and guests of its own; one merges, the last."""
    tmp_path = tmp_path_factory.mktemp("house")
    repository = gitea_server.repository()
    sim = start(tmp_path, ONE_NODE)
    server = Server(gitea_server, repository, sim, tmp_path)
    try:
        server.start()
        gitea_server.webhook(repository, f"http://{server.address}/hooks/home", WEBHOOK)
        gitea_server.write(repository, "db.yaml", container("db", 101))
        found = House(gitea_server, repository, sim, server, tmp_path)
        until(lambda: found.running() == ["db"], "the guest after the first push")
        yield found
    finally:
        server.end(signal.SIGTERM)
        sim.stop()
    log = (tmp_path / "serve.log").read_text()
    assert not any(secret in log for secret in server.secrets.values())


class Server:
    """`innkeeper serve` as a process, at one address for all of its lives."""

    def __init__(self, gitea: Gitea, repository: str, sim: Sim, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        proxmox = next(iter(sim.urls.values()))
        cluster = CLUSTER.format(name="home", proxmox=proxmox, cafile=sim.cafile)
        (folder / "server.yaml").write_text(cluster + SOURCE.format(repository=f"{gitea.url}/{repository}"))
        self.secrets = {
            "PVE_SECRET": SECRET,
            "WEBHOOK_SECRET": WEBHOOK,
            "FORGE_TOKEN": gitea.token(scopes=("write:repository", "write:issue", "read:user")),
            "CANARY": CANARY,
        }

    def start(self) -> None:
        options = {"--listen": self.address, "--data": str(self.folder / "data")}
        words = [*(word for pair in options.items() for word in pair), "--config", str(self.folder / "server.yaml")]
        with (self.folder / "serve.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "innkeeper", "serve", *words],
                stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **self.secrets},
            )  # fmt: skip
        assert self.process.stdout
        if not (line := self.process.stdout.readline()):
            self.end(signal.SIGTERM)
            raise AssertionError((self.folder / "serve.log").read_text())
        self.setup = str(json.loads(line)["setup"])

    @contextmanager
    def portal(self) -> Iterator[httpx2.Client]:
        """A browser of the first admin, who came by the one-time link, with the token that forms carry."""
        with httpx2.Client(base_url=f"http://{self.address}", timeout=60) as browser:
            form = {"secret": self.setup.partition("secret=")[2], "name": "kate", "password": "correct horse battery"}
            assert browser.post("/setup", data={**form, "csrf": _token(browser, self.setup)}).status_code == 303
            browser.headers["x-csrf-token"] = _token(browser, "/settings")
            yield browser

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(20)
        assert self.process.stdout
        self.process.stdout.close()


def _token(browser: httpx2.Client, page: str) -> str:
    return browser.get(page, headers={"accept": "text/html"}).text.partition('name="csrf" value="')[2].partition('"')[0]


def test_manifests_with_errors_fail_the_status(house: House) -> None:
    head = house.gitea.write(house.repository, "bad.yaml", container("bad", 103, more="  cpus: 3\n"), new="bad")
    pull = house.gitea.pull(house.repository, "bad")
    _, text = house.plan(pull, head)
    assert "There is no plan" in text
    assert "cpus" in text
    assert house.status(head)[0] == "failure"


def test_a_stranger_s_pull_request_is_planned_and_nothing_else(house: House) -> None:
    gitea, repository = house.gitea, house.repository
    before = house.writes()
    mallory = gitea.user("mallory")
    fork = gitea.fork(repository, mallory)
    text = container("theirs", 106, more='  description: "@boss </details><script>alert(1)</script> ``` /close"\n')
    head = gitea.write(fork, "theirs.yaml", text, new="change", user=mallory)
    pull = gitea.pull(repository, f"{mallory}:change", user=mallory)
    number, text = house.plan(pull, head)
    assert "From a fork" in text
    assert "Container/theirs" in text
    assert "@boss" not in text
    assert house.status(head) == ("success", "1 to create")
    shown = gitea.rendered(repository, pull)
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)" in shown

    touched = house.data / "touched"
    role = f"- name: Touch\n  ansible.builtin.command: touch {touched}\n  delegate_to: localhost\n"
    gitea.write(fork, "roles/evil/tasks/main.yml", role, branch="change", user=mallory)
    head = gitea.write(fork, "theirs.yaml", container("theirs", 106, more=INSIDE), branch="change", user=mallory)
    again, text = house.plan(pull, head)
    assert again == number
    assert house.status(head) == ("success", "1 to create")
    assert CANARY not in text

    cluster = CLUSTER.format(name="other", proxmox="https://127.0.0.1:9", cafile=house.sim.cafile)
    head = gitea.write(fork, "cluster.yaml", cluster, branch="change", user=mallory)
    _, text = house.plan(pull, head)
    assert "There is no plan" in text
    assert r"Cluster\/other" in text
    assert house.status(head)[0] == "failure"

    assert house.writes() == before
    assert house.running() == ["db"]
    assert not touched.exists()
    assert gitea.call("GET", f"/repos/{repository}/pulls/{pull}")["state"] == "open"


def test_a_closed_pull_request_leads_to_nothing(house: House) -> None:
    gitea, repository = house.gitea, house.repository
    head = gitea.write(repository, "gone.yaml", container("gone", 104), new="gone")
    pull = gitea.pull(repository, "gone")
    house.plan(pull, head)
    gitea.call("PATCH", f"/repos/{repository}/pulls/{pull}", {"state": "closed"})
    other = gitea.write(repository, "more.yaml", container("more", 105), new="other")
    second = gitea.pull(repository, "other")
    house.plan(second, other)
    assert len(gitea.comments(repository, pull)) == 1
    assert house.running() == ["db"]


def test_a_form_proposes_and_merging_brings_the_guest(house: House) -> None:
    gitea, repository = house.gitea, house.repository
    form = {
        "source": "home",
        "name": "formed",
        "cluster": "home",
        "cores": 1,
        "memory": 512,
        "disk": 4,
        "bridge": "vmbr0",
    }
    with house.server.portal() as portal:
        answer = portal.post("/api/v1/forms", params={"pull": True}, json=form)
        assert answer.status_code == 202, answer.text
        job = f"/api/v1/jobs/{answer.json()['id']}"
        done = until(lambda: found if (found := portal.get(job).json())["state"] in ENDED else None, "the proposal")
    assert done and done["state"] == "succeeded", done
    pull = gitea.call("GET", f"/repos/{repository}/pulls/{done['result']['pull']}")
    assert done["result"]["url"] == pull["html_url"]
    _, text = house.plan(pull["number"], pull["head"]["sha"])
    assert "Container/formed" in text
    assert "guests/" in text
    assert "formed" not in house.running()
    gitea.merge(repository, pull["number"])
    until(lambda: "formed" in house.running(), "the guest that was asked for")


def test_a_killed_server_that_lost_its_database_goes_on(house: House) -> None:
    gitea, repository = house.gitea, house.repository
    head = gitea.write(repository, "kept.yaml", container("kept", 107), new="kept")
    pull = gitea.pull(repository, "kept")
    number, _ = house.plan(pull, head)
    before = house.writes()
    house.server.end(signal.SIGKILL)
    shutil.rmtree(house.data / "data")
    house.server.start()
    head = gitea.write(repository, "kept.yaml", container("kept", 107, cores=2), branch="kept")
    assert house.plan(pull, head)[0] == number
    assert house.status(head) == ("success", "1 to create")
    assert house.writes() == before


def test_from_pull_request_to_guests(house: House) -> None:
    gitea, repository = house.gitea, house.repository
    before = house.writes()
    head = gitea.write(repository, "web.yaml", container("web", 102), new="change")
    pull = gitea.pull(repository, "change")
    number, text = house.plan(pull, head)
    assert "1 to create" in text
    assert "Container/web" in text
    assert "web&#46;yaml" in text
    assert house.status(head) == ("success", "1 to create")

    head = gitea.write(repository, "db.yaml", container("db", 101, cores=2), branch="change")
    again, text = house.plan(pull, head)
    assert again == number
    assert "cpu.cores: 2" in text
    assert house.status(head) == ("success", "1 to create, 1 to update")
    assert house.writes() == before
    assert "web" not in house.running()

    gitea.merge(repository, pull)
    until(lambda: "web" in house.running(), "the guest after the merge")
    until(lambda: house.sim.call("GET", "/nodes/pve/lxc/101/config").data["cores"] == 2, "the cores")


def test_the_last_guest_of_a_merged_request_goes_by_an_approval(house: House) -> None:
    gitea, repository = house.gitea, house.repository
    tree = gitea.call("GET", f"/repos/{repository}/git/trees/main?recursive=1")["tree"]
    first, *others = [item["path"] for item in tree if item["path"].endswith(".yaml")]
    head = gitea.remove(repository, first, new="nobody")
    for path in others:
        head = gitea.remove(repository, path, branch="nobody")
    pull, names = gitea.pull(repository, "nobody"), house.running()
    _, text = house.plan(pull, head)
    assert "nothing of ours would stay declared" in text
    assert text.count("Waits for an approval") == len(names)
    assert house.status(head) == ("success", f"{len(names)} to delete; {len(names)} to be approved after the merge")
    gitea.merge(repository, pull)
    with house.server.portal() as portal:

        def waiting() -> dict[str, Any] | None:
            jobs = portal.get("/api/v1/jobs", params={"state": "waiting"}).json()
            return next((job for job in jobs if job["type"] == "sync"), None)

        job = until(waiting, "the job that waits")
        assert job and house.running() == names
        approved = f"/api/v1/jobs/{job['id']}/approve"
        assert portal.post(approved, json={"digest": job["digest"]}).status_code == 422
        assert portal.post(approved, json={"digest": job["digest"], "names": names}).status_code < 300
    until(lambda: not house.sim.call("GET", "/nodes/pve/lxc").data, "the end of the last guest")
