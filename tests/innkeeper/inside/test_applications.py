"""The shipped examples and profiles on real containers: from nothing, unchanged, damaged, destroyed, deployed anew."""

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.innkeeper.inside.world import EXAMPLES, Done, World, start
from tests.innkeeper.roles.lab import Repository

CANARY = "canary-8Xq"
DEV, POTE, SITE, GENERIC, MONITOR, APP, BLOG = 10201, 10211, 301, 302, 303, 304, 305
SHOP = {"backend": 3001, "frontend": 3000}
EVERYTHING = {"webshop-dev", "pote", "site", "blog", "generic", "monitor", "app"}


@pytest.fixture(scope="module")
def world(template: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = start(tmp_path_factory.mktemp("applications"), 61)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shop(world: World) -> Repository:
    return world.repository("webshop", EXAMPLES / "webshop/app")


@pytest.fixture(scope="module")
def declared(world: World, shop: Repository) -> None:
    """The examples as they are shipped, but for the URL and the network; a guest of each profile."""
    shop.run("push", "--quiet", str(shop.bare), "HEAD:refs/heads/dev")
    pote = world.repository("pote", EXAMPLES / "pote/app")
    for name, url in (("webshop", shop.url), ("pote", pote.url)):
        text = (EXAMPLES / name / f"{name}.yaml").read_text()
        # One environment of the webshop is enough here.
        world.declare(
            f"{name}/{name}.yaml",
            text.replace(f"git://10.0.20.1/{name}", url).partition("    prod:\n      name: webshop")[0],
        )
        (world.manifests / name / "secrets").mkdir()
        for key in ("database", "smtp"):
            (world.manifests / name / "secrets" / key).write_text(f"{CANARY}-{name}-{key}\n")
    for name, vmid in (("site", SITE), ("blog", BLOG)):  # these two share one Ansible
        index = f"configure: {{roles: [{{role: web, vars: {{web_index: '<h1>Our {name}</h1>'}}}}]}}"
        world.container(name, vmid, "profile: static-website", index)
    world.container("generic", GENERIC, "profile: generic-service")
    world.container("monitor", MONITOR, "profile: monitoring-node")
    world.container("app", APP, "profile: web-app")


def shop_page(world: World) -> str:
    status, page = world.get(f"{world.net}.11", SHOP["frontend"])
    assert status == 200, page
    assert "<td>Brass key</td>" in page, "from the database"
    return page


def sign_ins(world: World) -> list[str]:
    """How often each guest was signed in to."""
    script = "journalctl --no-pager -t sshd | grep -c 'Accepted publickey'"
    return [world.pct(vmid, script).strip() for vmid in (DEV, POTE, SITE, GENERIC, MONITOR, APP, BLOG)]


def test_one_environment_is_chosen_by_project_and_name(world: World) -> None:
    text = (EXAMPLES / "webshop/webshop.yaml").read_text().replace("10.0.20.1/webshop", "127.0.0.1/webshop")
    place = world.declare("../elsewhere/webshop.yaml", text).parent
    shutil.copy(world.manifests / "cluster.yaml", place)

    def validated(*words: str) -> Done:
        return world.innkeeper("status", str(place), "--source", "elsewhere", "-o", "json", *words)

    assert [item["name"] for item in validated("--project", "webshop", "--env", "dev").json["guests"]] == [
        "webshop-dev"
    ]
    assert {item["name"] for item in validated("--project", "webshop").json["guests"]} == {
        "webshop-dev",
        "webshop-prod",
    }
    unknown = validated("--project", "webshop", "--env", "staging")
    assert (unknown.status, unknown.out) == (1, "")
    assert unknown.err == "error: --env staging: no project has it\n    environments: dev, prod\n"


@pytest.fixture(scope="module")
def applied(world: World, declared: None) -> Done:
    """From nothing to healthy."""
    return world.apply("--wait", "120", watch=True)


def test_all_come_up_from_nothing_and_answer_from_outside(world: World, applied: Done) -> None:
    assert "Applied: 7 created." in applied.out
    assert {(name, item["sync"], item["health"]) for name, item in world.status().items()} == {
        (name, "Synced", "Healthy") for name in EVERYTHING
    }
    assert "The webshop (development)" in shop_page(world)
    assert "<h1>Prices</h1>" in world.get(f"{world.net}.21", 8000)[1]
    assert world.get(world.address(SITE))[1] == "<h1>Our site</h1>\n"
    assert world.get(world.address(BLOG))[1] == "<h1>Our blog</h1>\n"
    assert world.get(world.address(APP), 80, "/healthz") == (200, "ok\n")
    assert 'nodename="monitor"' in world.get(world.address(MONITOR), 9100, "/metrics")[1]


@pytest.mark.usefixtures("applied")
def test_the_firewall_is_felt_from_outside(world: World) -> None:
    serve = (
        "systemd-run -q --unit probe-{0} python3 -m http.server {0};"
        "for i in $(seq 50); do ss -Hltn sport = :{0} | grep -q . && exit; sleep 0.1; done; exit 1"
    )
    for port in (8081, 3002):
        world.pct(GENERIC, serve.format(port))
        assert world.get(world.address(GENERIC), port) == (0, ""), "nobody opened it"
    world.pct(GENERIC, "ufw allow 8081/tcp")
    assert world.get(world.address(GENERIC), 8081)[0] == 200
    world.pct(GENERIC, "ufw delete allow 8081/tcp; systemctl stop probe-8081 probe-3002")


@pytest.mark.usefixtures("applied")
def test_cron_runs_the_job_and_its_result_is_on_the_page(world: World) -> None:
    waiting = "for i in $(seq 75); do journalctl -q -t pote-collect | grep -q LODGE && exit; sleep 1; done; exit 1"
    world.pct(POTE, waiting)
    assert "LODGE" in world.get(f"{world.net}.21", 8000)[1]


@pytest.mark.usefixtures("applied")
def test_a_second_apply_changes_nothing_and_runs_no_ansible(world: World) -> None:
    before = sign_ins(world)
    again = world.apply()
    assert again.out == "No changes: 7 of 7 guests are as declared. Configuration up to date: 7 guests.\n"
    assert sign_ins(world) == before
    assert [call for call in world.sim.calls() if call["method"] != "GET" and "inside" in str(call)] == []


@pytest.mark.usefixtures("applied")
def test_the_secret_is_where_it_was_declared_and_nowhere_else(world: World) -> None:
    loud = [world.innkeeper("plan", "--source", "inside", "-o", "json").all]
    loud.append(world.innkeeper("status", "--source", "inside", "-o", "json").all)
    loud.append(world.innkeeper("apply", "--yes", "--source", "inside", "--configure", "always", watch=True).all)
    assert [text for text in loud if CANARY in text] == []
    assert any("ansible" in line for line in world.processes)
    assert [line for line in world.processes if CANARY in line] == []
    kept = [path for path in world.folder.rglob("*") if path.is_file() and "secrets" not in path.parts]
    assert [path for path in kept if CANARY.encode() in path.read_bytes()] == []
    for vmid, home in ((DEV, "/srv/app"), (POTE, "/srv/pote")):
        found = world.pct(vmid, f"grep -rls {CANARY} /etc /home /opt /root /run /srv /tmp /usr/local /var || true")
        assert found
        assert {path for path in found.split() if not path.startswith((f"{home}/.env.", f"{home}/releases/"))} == set()
        modes = world.pct(vmid, f"stat -L -c '%a %U %G' {' '.join(found.split())}").split("\n")
        assert {line for line in modes if line} <= {"640 root config", "600 root root", "640 root app"}, modes
        assert world.pct(vmid, f"journalctl --no-pager | grep -c {CANARY} || true").strip() == "0"


DAMAGE = {
    DEV: "systemctl stop app-backend app-frontend; rm /etc/systemd/system/app-frontend.service;systemctl daemon-reload",
    SITE: "systemctl stop nginx; rm -r /etc/nginx/sites-enabled",
    GENERIC: "ufw --force disable",
    MONITOR: "systemctl disable --now prometheus-node-exporter",
    POTE: "systemctl stop postgresql@15-main cron; cd /srv/pote/current/source/pote;"
    "sed -i s/Prices/Prizes/ serve.py; systemctl restart pote",
}


@pytest.mark.usefixtures("applied")
def test_what_was_damaged_by_hand_is_degraded_and_mended_by_configuring_always(world: World) -> None:
    for vmid, script in DAMAGE.items():
        world.pct(vmid, script)
    seen = world.status()
    assert {name: item["health"] for name, item in seen.items()} == {
        name: "Healthy" if name in ("app", "blog") else "Degraded" for name in EVERYTHING
    }
    assert {item["sync"] for item in seen.values()} == {"Synced"}
    late = world.apply("--wait", "2", ok=False)
    assert "not healthy after 2 seconds: systemd" in late.out or "not healthy after 2 seconds: http" in late.out
    world.apply("--configure", "always", "--wait", "60")
    assert {item["health"] for item in world.status().values()} == {"Healthy"}
    assert "<h1>Prices</h1>" in world.get(f"{world.net}.21", 8000)[1]


@pytest.mark.usefixtures("applied")
def test_what_was_destroyed_by_hand_comes_back_with_its_address_and_application(world: World) -> None:
    assert world.sim.do("DELETE", f"/nodes/pve/lxc/{DEV}", {"force": 1}) == "OK"
    gone = world.status()["webshop-dev"]
    assert (gone["sync"], gone["health"]) == ("OutOfSync", "Missing")
    assert "Container/webshop-dev created (10201 on pve)" in world.apply("--wait", "120").out
    shop_page(world)


@pytest.mark.usefixtures("applied")
def test_a_new_commit_is_planned_and_just_that_deployed_and_one_that_fails_leaves_the_old_version(
    world: World, shop: Repository
) -> None:
    before = shop.run("rev-parse", "HEAD")
    page = (EXAMPLES / "webshop/app/frontend/src/page.html").read_text()
    new = shop.commit("New", branch="dev", frontend___src___page__html=page.replace("<h1>", "<h1>New: "))
    (step,) = [
        item
        for item in json.loads(world.innkeeper("plan", "--source", "inside", "-o", "json").out)["steps"]
        if item["action"] != "noop"
    ]
    (change,) = step["changes"]
    assert (step["name"], change["field"]) == ("webshop-dev", "configure")
    assert (change["from"].partition("@")[2], change["to"].partition("@")[2]) == (before[:12], new[:12])
    broken: list[str] = []

    def push() -> None:
        broken.append(shop.commit("Broken", branch="dev", backend___server__js="throw new Error('no soup')\n"))

    world.apply_after(push, "--wait", "60")
    assert "<h1>New: " in shop_page(world), "what was planned, not what the branch has become"

    failed = world.apply(ok=False)
    for words in ("Container/webshop-dev (guest 10201 on pve)", "no soup", f"Version {new[:12]} of before", "`"):
        assert words in failed.out
    assert "<h1>New: " in shop_page(world)
    assert world.status()["webshop-dev"]["sync"] == "OutOfSync"

    shop.run("checkout", "--quiet", before, "--", "backend/server.js")
    mended = shop.commit("Mended", branch="dev")
    assert mended[:12] in world.apply("--wait", "60").out
    assert broken[0][:12] not in world.innkeeper("plan", "--source", "inside", "--env", "dev").all
