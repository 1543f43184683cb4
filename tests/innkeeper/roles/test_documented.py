"""What roles say of themselves: every variable is declared, has its default, and stands in the README."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from innkeeper.configure.roles import BUNDLED

ROLES = sorted(path for path in BUNDLED.iterdir() if (path / "tasks").is_dir())


def declared(role: Path) -> dict[str, dict[str, object]]:
    text = (role / "meta/argument_specs.yml").read_text()
    return dict(yaml.safe_load(text)["argument_specs"]["main"]["options"])


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_declared_defaults_are_the_defaults(role: Path) -> None:
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    assert {name: option["default"] for name, option in declared(role).items()} == defaults


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_readme_describes_every_variable(role: Path) -> None:
    text = (role / "README.md").read_text()
    for name, option in declared(role).items():
        assert f"| `{name}` |" in text
        assert str(option["description"]).strip() in text


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_what_may_be_secret_is_never_shown(role: Path) -> None:
    words = ("password", "key", "env", "database", "smtp")
    for name, option in declared(role).items():
        open_anyway = ("authorized_keys", "env_file", "databases")
        if name.endswith(words) and not name.endswith(open_anyway):
            assert option.get("no_log") is True, name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_a_role_treats_each_guest_for_itself_and_counts_on_no_facts(role: Path) -> None:
    """They run without facts, and several guests share a play."""
    alone = re.compile(
        r"\b(run_once|end_play|end_batch|add_host|ansible\.builtin\.pause|play_hosts)\b|\bansible_(?!managed\b|check_mode\b)\w+"
    )
    for path in (path for part in ("tasks", "handlers", "templates") for path in (role / part).rglob("*.*")):
        assert not (found := alone.findall(path.read_text())), f"{path}: {found}"


def test_the_roles_keep_the_rules_of_ansible_lint() -> None:
    lint = Path(sys.executable).with_name("ansible-lint")
    if not lint.exists() and not shutil.which("ansible-lint"):
        pytest.skip("needs: ansible-lint")
    command = [str(lint), "--offline", "--nocolor", "-q", "--profile", "production", str(BUNDLED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=BUNDLED.parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
