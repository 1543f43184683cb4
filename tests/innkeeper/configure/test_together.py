"""Guests that need the same bundled roles share one Ansible, and nothing else."""

import asyncio
import tempfile
import time
from pathlib import Path

import pytest

from innkeeper.configure import inventory
from innkeeper.configure.bounds import Bounds
from innkeeper.configure.insider import Insides
from innkeeper.engine.errors import Stalled
from innkeeper.engine.inside import Inside, Target
from tests.innkeeper.configure.conftest import Sshd, cluster, inside, role

TASKS = """
- name: Write
  ansible.builtin.copy: {content: "{{ text }}", dest: "{{ place }}/{{ inventory_hostname }}", mode: "0644"}
- name: Wait for a word
  ansible.builtin.wait_for: {path: "{{ place }}/go-{{ inventory_hostname }}", sleep: 1, timeout: 60}
- name: Look for the end
  ansible.builtin.command: ls {{ place }}/end-{{ inventory_hostname }}
  changed_when: false
"""


@pytest.fixture
def targets(guest: Sshd, another_sshd: Sshd, insides: Insides, tmp_path: Path) -> tuple[Target, Target]:
    another_sshd.allow(*insides.authorized_keys("home"))
    home = cluster(tmp_path)
    return (
        Target(home, "pve", 101, "Container", guest.address),
        Target(home, "pve", 102, "Container", another_sshd.address),
    )


@pytest.fixture
def items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Inside, Inside]:
    """Two guests with a role that counts as bundled, each with a text of its own."""
    monkeypatch.setattr(inventory, "BUNDLED", tmp_path / "roles")
    path = role(tmp_path, "app", TASKS)
    web, db = (
        inside(tmp_path, [(path, {"text": f"for {name}", "place": str(tmp_path)})], name=name) for name in ("web", "db")
    )
    return web, db


async def until(*paths: Path) -> None:
    deadline = time.monotonic() + 60
    while not all(map(Path.exists, paths)):
        assert time.monotonic() < deadline, f"no {paths}"
        await asyncio.sleep(0.05)


def held(directory: Path) -> list[Path]:
    return list(directory.iterdir())


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where every Ansible has its directory."""
    place = tmp_path / "runs"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


async def test_nobody_waits_for_another_guest_nor_fails_with_it(
    insides: Insides, items: tuple[Inside, Inside], targets: tuple[Target, Target], tmp_path: Path, runs: Path
) -> None:
    heard: dict[str, list[str]] = {"web": [], "db": []}
    web, db = (
        asyncio.create_task(insides.configure(item, target, heard[item.ref.name].append))
        for item, target in zip(items, targets, strict=True)
    )
    await until(tmp_path / "web", tmp_path / "db")
    assert [(tmp_path / name).read_text() for name in ("web", "db")] == ["for web", "for db"]
    (mine,) = held(runs)
    for name in ("go-web", "end-web"):
        (tmp_path / name).touch()
    await asyncio.wait_for(web, 60)
    assert held(runs) == [mine], "the other one goes on"
    assert heard["web"][-3:] == ["app : Write: changed", "app : Wait for a word: ok", "app : Look for the end: ok"]
    assert heard["db"][-1:] == ["app : Write: changed"]
    (tmp_path / "go-db").touch()
    with pytest.raises(Stalled) as caught:
        await asyncio.wait_for(db, 60)
    assert caught.value.message.startswith("Container/db (guest 102 on pve): the task `app : Look for the end` failed")
    assert "end-db" in caught.value.message
    await insides.close()
    assert held(runs) == []


async def test_who_does_not_come_is_not_waited_for_and_cancelling_ends_all(
    items: tuple[Inside, Inside], targets: tuple[Target, Target], tmp_path: Path, runs: Path
) -> None:
    insides = Insides({}, tmp_path / "data", Bounds(reach=100))
    silent = Target(targets[1].cluster, "pve", 103, "Container", "127.255.255.254")
    lost = asyncio.create_task(insides.configure(items[1], silent, print))
    web = asyncio.create_task(insides.configure(items[0], targets[0], print))
    await until(tmp_path / "web")
    assert not lost.done()
    for task in (lost, web):
        task.cancel()
    assert [type(end) for end in await asyncio.gather(lost, web, return_exceptions=True)] == [
        asyncio.CancelledError,
        asyncio.CancelledError,
    ]
    assert held(runs) == []


async def test_roles_of_users_run_alone(
    insides: Insides,
    items: tuple[Inside, Inside],
    targets: tuple[Target, Target],
    tmp_path: Path,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(tempfile, "tempdir", str(runs))
    for name in ("web", "db"):
        (tmp_path / f"end-{name}").touch()
    both = [asyncio.create_task(insides.configure(*pair, print)) for pair in zip(items, targets, strict=True)]
    await until(tmp_path / "web", tmp_path / "db")
    assert len(held(runs)) == 2
    for name in ("web", "db"):
        (tmp_path / f"go-{name}").touch()
    await asyncio.gather(*both)
