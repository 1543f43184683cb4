"""The published inventory on a real container: its vault, the application that it deploys, and nothing to do after."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.innkeeper.formats.world import EXAMPLES
from tests.innkeeper.inside.world import World, get, start
from tests.innkeeper.roles.lab import Repository
from tests.pvesim import running

pytestmark = pytest.mark.timeout(1200)
CANARY = "pro'ject \"p$w\\d"
ENVIRONMENTS = {"dev": (201, 101), "qa": (202, 102), "prod": (203, 103)}
_SERVER = """\
import { createServer } from 'node:http'
const known = `${process.env.APP_ENV} ${(process.env.DATABASE_PASSWORD ?? '').length}`
createServer((request, response) => response.end(NAMED)).listen(Number(process.env.PORT))
"""
APPLICATION = {
    "backend/package.json": '{"type": "module", "scripts": {"migrate": "touch migrated", "start": "node server.js"}}',
    "backend/server.js": _SERVER.replace("NAMED", "`backend ${known}`"),
    "frontend/package.json": '{"type": "module", "scripts": {"build": "touch built", "start": "node server.js"}}',
    "frontend/server.js": "import { existsSync } from 'node:fs'\n"
    + _SERVER.replace("NAMED", "`frontend ${known} ${existsSync('built')}`"),
}


@pytest.fixture(scope="module")
def world(template: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The stack's node has the storage that the inventory names."""
    storage = {"storage": "local-lvm", "type": "dir", "path": "/var/lib/lvm", "content": ["images", "rootdir"]}
    seed = running.ONE_NODE | {"storages": [*running.ONE_NODE["storages"], storage]}
    made = start(tmp_path_factory.mktemp("projects"), 95, seed)
    yield made
    made.close()


@pytest.fixture(scope="module")
def repository(world: World) -> Repository:
    files = world.folder / "application"
    for name, text in APPLICATION.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)
    made = world.repository("project-a", files)
    for branch in ("dev", "qa"):
        made.run("push", "--quiet", str(made.bare), f"HEAD:refs/heads/{branch}")
    return made


@pytest.fixture(scope="module")
def inventory(world: World, repository: Repository) -> Path:
    """As published, but for the addresses and the repository's URL; the vault is filled in and encrypted by Ansible."""
    place = world.manifests / "inventories/production/group_vars/all"
    shutil.copytree(EXAMPLES / "app-projects/inventories", world.manifests / "inventories")
    text = (place / "main.yml").read_text()
    text = text.replace("git@git.example.org:team/project-a.git", repository.url)
    (place / "main.yml").write_text(text.replace("10.0.10.101", f"{world.net}.101").replace(
        "10.0.10.102", f"{world.net}.102").replace("10.0.10.103", f"{world.net}.103").replace(
        "gateway: 10.0.10.1\n", f"gateway: {world.net}.254\n"))  # fmt: skip
    key = world.folder / "deploy_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    secrets = {
        "vault_proxmox_host": "pve.example.org",
        "vault_proxmox_user": "root@pam",
        "vault_project_a_key": key.read_text(),
        "vault_project_a_database": CANARY,
    }
    assert set(secrets) == {
        line.partition(":")[0] for line in (place / "vault.example.yml").read_text().splitlines() if line[:1] == "v"
    }
    (place / "vault.yml").write_text(json.dumps(secrets))
    (world.folder / "vault-password").write_text("correct horse\n")
    (world.manifests / "ansible.cfg").write_text(f"[defaults]\nvault_password_file = {world.folder}/vault-password\n")
    vault = [sys.executable, "-m", "ansible", "vault", "encrypt"]
    subprocess.run([*vault, str(place / "vault.yml")], check=True, cwd=world.manifests, capture_output=True)
    assert (place / "vault.yml").read_text().startswith("$ANSIBLE_VAULT")
    return place


def test_each_environment_is_planned_as_its_document_states(world: World, inventory: Path) -> None:
    plan = world.innkeeper("plan", "--source", "stack", "-o", "json")
    assert plan.status == 0, plan.all
    for word, (vmid, last) in ENVIRONMENTS.items():
        step = plan.steps[f"projecta-{word}"]
        assert (step["action"], step["vmid"], step["node"]) == ("create", vmid, "pve")
        planned = {change["field"]: change["to"] for change in step["changes"]}
        assert planned["network.eth0.ip"] == f"{world.net}.{last}/24"
        assert planned["network.eth0.firewall"] is True


def test_an_environment_comes_up_and_its_application_answers(world: World, inventory: Path) -> None:
    done = world.innkeeper(
        "apply", "--yes", "--source", "stack", "--project", "projecta", "--env", "prod", "--wait", "120", watch=True
    )
    assert done.status == 0, done.all
    address = f"{world.net}.103"
    made = world.sim.call("GET", "/nodes/pve/lxc/203/config").data
    nic = f"name=eth0,bridge=vmbr0,firewall=1,ip={address}/24,gw={world.net}.254"
    assert set(nic.split(",")) <= set(made["net0"].split(","))
    assert (made["hostname"], made["memory"], made["swap"], made["cores"]) == ("projecta-prod", 2048, 512, 2)
    assert made["rootfs"].startswith("local-lvm:")
    assert get(f"http://{address}:3001/") == (200, f"backend prod {len(CANARY)}")
    assert get(f"http://{address}:3000/") == (200, f"frontend prod {len(CANARY)} true")
    units = world.pct(203, "systemctl is-active app-backend app-frontend; ls /usr/local/bin/deploy_app.sh; ufw status")
    assert units.split()[:5] == ["active", "active", "/usr/local/bin/deploy_app.sh", "Status:", "active"]
    assert all(f"{port}/tcp" in units for port in (22, 3000, 3001)), units
    told = "stat -c '%a' /srv/app/.env.prod; test -e /srv/app/backend/migrated && sudo -nu appuser sudo -n id -u"
    assert world.pct(203, told).split() == ["640", "0"]
    assert "pro'ject" not in done.all
    assert [line for line in world.processes if "pro'ject" in line] == []


def test_a_second_apply_changes_nothing(world: World, inventory: Path) -> None:
    writes = len([call for call in world.sim.calls() if call["method"] != "GET"])
    again = world.innkeeper("apply", "--yes", "--source", "stack", "--project", "projecta", "--env", "prod")
    assert (again.status, "No changes: 1 of 1 guests" in again.out) == (0, True), again.all
    assert len([call for call in world.sim.calls() if call["method"] != "GET"]) == writes


def test_a_new_commit_of_the_branch_is_deployed(world: World, inventory: Path, repository: Repository) -> None:
    server = APPLICATION["backend/server.js"].replace("`backend", "`new backend")
    repository.commit("New", backend___server__js=server)
    chosen = ("--source", "stack", "--project", "projecta", "--env", "prod")
    assert world.innkeeper("plan", *chosen, "--detailed-exitcode").status == 2
    assert world.innkeeper("apply", "--yes", *chosen, "--wait", "120").status == 0
    assert get(f"http://{world.net}.103:3001/")[1].startswith("new backend prod")


def test_converted_it_is_already_there(world: World, inventory: Path) -> None:
    native = world.folder / "native"
    assert world.innkeeper("convert", str(world.manifests), "--output-dir", str(native)).status == 0
    shutil.copy(world.manifests / "cluster.yaml", native)
    plan = world.innkeeper(
        "plan", "--source", "stack", "--project", "projecta", "--env", "prod", "--detailed-exitcode", str(native)
    )
    assert plan.status == 0, plan.all
