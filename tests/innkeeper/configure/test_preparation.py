"""Fingerprints: equal means that nothing would change."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from innkeeper.configure.insider import Insides
from innkeeper.engine.inside import Inside
from tests.innkeeper.configure.conftest import inside, role

SECRET = {"secretRef": {"name": "files", "key": "password"}}


@pytest.fixture
def item(tmp_path: Path) -> Inside:
    (tmp_path / "store").mkdir()
    (tmp_path / "store/password").write_text("one")
    shared = role(tmp_path, "shared", "- name: a\n  ansible.builtin.ping:\n")
    used = role(tmp_path, "used", "- name: a\n  ansible.builtin.ping:\n")
    assert Path(shared).parent == Path(used).parent
    tasks = "- name: Use\n  block:\n    - name: Another\n      ansible.builtin.import_role:\n        name: used\n"
    app = role(tmp_path, "app", tasks, **{"meta/main.yml": "dependencies: [{role: shared}]\n", "files/page": "x"})
    return inside(tmp_path, [(app, {"a": [1, SECRET]})], stores={"files": {"files": "store"}})


async def _fingerprint(insides: Insides, item: Inside) -> str:
    ready = await insides.prepare([item])
    assert ready.diagnostics == ()
    return ready.fingerprints[item.ref]


async def test_the_same_input_is_the_same_word_in_another_run(insides: Insides, item: Inside, tmp_path: Path) -> None:
    first = await _fingerprint(insides, item)
    assert first == await _fingerprint(Insides({}, tmp_path / "data"), item)
    assert len(first) == 24


CHANGES: dict[str, Callable[[Path], object]] = {
    "a task": lambda path: (path / "roles/app/tasks/main.yml").write_text("[]"),
    "a file of the role": lambda path: (path / "roles/app/files/page").write_text("y"),
    "a new file": lambda path: (path / "roles/app/files/new").write_text(""),
    "an executable bit": lambda path: (path / "roles/app/files/page").chmod(0o755),
    "a role that it depends on": lambda path: (path / "roles/shared/tasks/main.yml").write_text("[]"),
    "a role that a task brings in": lambda path: (path / "roles/used/tasks/main.yml").write_text("[]"),
    "a secret": lambda path: (path / "store/password").write_text("two"),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_changes_it(insides: Insides, item: Inside, tmp_path: Path, change: str) -> None:
    first = await _fingerprint(insides, item)
    CHANGES[change](tmp_path)
    assert await _fingerprint(insides, item) != first


async def test_variables_and_user_change_it(insides: Insides, item: Inside) -> None:
    others = [
        replace(item, user="admin"),
        replace(item, groups=("app_all",)),
        replace(item, roles=(replace(item.roles[0], variables={"a": [2, SECRET]}),)),
        replace(item, roles=item.roles * 2),
    ]
    words = {await _fingerprint(insides, other) for other in (item, *others)}
    assert len(words) == 5


async def test_another_keeper_cannot_tell_a_secret_by_its_fingerprint(
    insides: Insides, item: Inside, tmp_path: Path
) -> None:
    elsewhere = Insides({}, tmp_path / "elsewhere")
    assert await _fingerprint(insides, item) != await _fingerprint(elsewhere, item)
    plain = replace(item, roles=(replace(item.roles[0], variables={}),))
    assert await _fingerprint(insides, plain) == await _fingerprint(elsewhere, plain)


async def test_roles_that_cannot_be_used(insides: Insides, tmp_path: Path) -> None:
    escaping = role(tmp_path, "escaping", "[]")
    (Path(escaping) / "files").symlink_to("/etc")
    (tmp_path / "empty").mkdir()
    paths = [str(tmp_path / "gone"), str(tmp_path / "empty"), escaping]
    ready = await insides.prepare([inside(tmp_path, [(path, {})], name=f"g{n}") for n, path in enumerate(paths)])
    assert [finding.code for finding in ready.diagnostics] == ["BadRole"] * 3
    assert [finding.summary.split(": ", 1)[1] for finding in ready.diagnostics] == [
        f"there is no role directory {paths[0]}",
        f"{paths[1]} is not an Ansible role: it has no tasks/main.yml",
        f"{escaping}/files is a link that leads out of its role",
    ]
    assert ready.fingerprints == {}
