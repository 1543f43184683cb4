"""Containers of a monorepo on real containers: the published recipe as it is, Ansible tasks, and what changes later."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.innkeeper.formats.world import EXAMPLES
from tests.innkeeper.inside import world as inside
from tests.innkeeper.inside.world import World

pytestmark = pytest.mark.timeout(1200)
CANARY = "can'ary \"p$w\\d"


@pytest.fixture(scope="module")
def world(template: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = inside.start(tmp_path_factory.mktemp("monorepo"), 93)
    source = EXAMPLES / "container-monorepo"
    for name in ("apache", "files", "broker"):
        shutil.copytree(source / "libs" / name, made.manifests / "libs" / name)
    # The node's own network and storage; what configures the containers stays as it is. Directories and devices of the
    # machine are nothing that this simulator mounts: a new volume stands in for the one.
    for file in [*made.manifests.glob("libs/*/*.env")]:
        text = file.read_text().replace("192.168.178.", f"{made.net}.").replace("local-lvm:", "btr:")
        text = text.replace('MOUNT="/mnt/ext/broker:/app/broker/data"', 'MOUNT="btr:1:/app/broker/data"')
        file.write_text(text.replace("MOUNT=/dev/net/tun", ""))
    settings = (source / "globals.json").read_text().replace("192.168.178.1", f"{made.net}.254", 1)
    (made.manifests / "globals.json").write_text(settings)
    (made.manifests / "local").mkdir()
    (made.manifests / "local/config.json").write_text('{"login": "steven", "password": "not read"}')
    yield made
    made.close()


def test_the_published_example_works_unchanged(world: World) -> None:
    original = EXAMPLES / "container-monorepo/libs/apache/recipes/default.rb"
    assert (world.manifests / "libs/apache/recipes/default.rb").read_text() == original.read_text()
    world.apply("--only", "apache")
    assert world.get(f"{world.net}.142") == (200, "<h1>Hello from steven</h1>")
    told = world.pct(142, "stat -c '%U %G %a' /var/www/html/index.html; systemctl is-enabled apache2; itamae version")
    assert told.split()[:4] == ["app", "config", "644", "enabled"]
    assert world.innkeeper("plan", "--source", "inside", "--only", "apache", "--detailed-exitcode").status == 0
    again = world.innkeeper("configure", "--yes", "--source", "inside", "--only", "apache", "--configure", "always")
    assert again.status == 0, again.all


def test_a_changed_recipe_is_run_again_and_what_was_damaged_is_mended(world: World) -> None:
    file = world.manifests / "libs/apache/recipes/default.rb"
    before = file.read_text()
    file.write_text(before.replace("Hello", "Good evening"))
    assert world.innkeeper("plan", "--source", "inside", "--only", "apache", "--detailed-exitcode").status == 2
    world.pct(142, "systemctl stop apache2")
    world.apply("--only", "apache")
    assert world.get(f"{world.net}.142") == (200, "<h1>Good evening from steven</h1>")
    file.write_text(before + "\nCommon.application(self, 'no-such-unit')\n")
    failed = world.apply("--only", "apache", ok=False)
    assert "no-such-unit" in failed.all
    assert "Traceback" not in failed.all
    file.write_text(before)
    world.apply("--only", "apache")
    assert world.get(f"{world.net}.142") == (200, "<h1>Hello from steven</h1>"), "as it was before the failure"


def test_templates_attributes_and_a_unit_of_its_own(world: World) -> None:
    world.apply("--only", "broker")
    assert world.pct(109, "systemctl is-active mosquitto; cat /app/broker/mosquitto.conf").splitlines()[:2] == [
        "active",
        "listener 1883",
    ]
    kept = world.pct(109, "cat /var/lib/innkeeper/recipe/variables.json")
    assert f"mqtt://{world.net}.109:1883" in kept
    assert world.pct(109, "mountpoint -q /app/broker/data && stat -c %U /app/broker/data").strip() == "app"


def test_a_stage_is_an_environment_and_a_container_of_its_own(world: World) -> None:
    world.apply("--env", "stage")
    assert world.pct(209, "hostname; systemctl is-active mosquitto").split() == ["stage-broker", "active"]
    assert f"mqtt://{world.net}.209:1883" in world.pct(209, "cat /var/lib/innkeeper/recipe/variables.json")


def test_converted_it_is_already_there(world: World) -> None:
    native = world.folder / "native"
    converted = world.innkeeper("convert", str(world.manifests), "--output-dir", str(native))
    assert converted.status == 0, converted.all
    shutil.copy(world.manifests / "cluster.yaml", native)
    chosen = [word for name in ("apache", "broker", "stage-broker") for word in ("--only", name)]
    plan = world.innkeeper("plan", "--source", "inside", *chosen, "--detailed-exitcode", str(native))
    assert plan.status == 0, plan.all


def test_ansible_tasks_beside_a_container(world: World) -> None:
    world.apply("--only", "files")
    assert world.pct(110, "cat /etc/broker").strip() == "mqtt://192.168.178.109:1883"


def test_a_password_is_in_no_log_and_on_no_command_line(world: World) -> None:
    file = world.manifests / "libs/files/recipes/default.rb"
    shutil.move(world.manifests / "libs/files/tasks", world.folder / "tasks")
    file.parent.mkdir()
    file.write_text(
        "file '/root/secret' do\n  content Env.get(node, 'password')\n  mode '0600'\n  sensitive true\nend\n"
    )
    missing = world.apply("--only", "files", ok=False)
    assert "PASSWORD" in missing.all
    done = world.apply("--only", "files", env={"PASSWORD": CANARY}, watch=True)
    assert world.pct(110, "cat /root/secret") == CANARY
    assert "can'ary" not in done.all
    assert [line for line in world.processes if "can'ary" in line and "PASSWORD=" not in line] == []


def test_cinc_client_runs_recipes_where_it_is_there(world: World) -> None:
    """Cinc itself is in no Debian; a stand-in shows that it is called, and with what."""
    lines = ["#!/bin/sh", "printf '%s\\n' \"$@\" >/root/called", "ls $INNKEEPER_COOKBOOK >/root/parts", ""]
    stand_in = "\n".join(lines)
    world.pct(110, f"cat >/usr/bin/cinc-client <<'EOF'\n{stand_in}EOF\nchmod 755 /usr/bin/cinc-client")
    file: Path = world.manifests / "libs/files/recipes/default.rb"
    file.write_text("package 'tree'\n")
    world.apply("--only", "files")
    assert "recipe[innkeeper],recipe[files]" in world.pct(110, "cat /root/called").splitlines()
    assert {"metadata.rb", "recipes"} <= set(world.pct(110, "cat /root/parts").split())
