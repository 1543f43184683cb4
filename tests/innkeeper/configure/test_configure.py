"""Roles run by the real Ansible over a real OpenSSH server."""

import asyncio
import contextlib
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from innkeeper.configure.bounds import Bounds
from innkeeper.configure.insider import Insides
from innkeeper.engine.errors import Stalled, Waiting
from tests.innkeeper.configure.conftest import Sshd, inside, role, target


async def test_roles_run_with_their_variables_and_tell_what_they_do(
    guest: Sshd, insides: Insides, tmp_path: Path
) -> None:
    page = tmp_path / "page"
    web = role(
        tmp_path,
        "web",
        "- name: Write the page\n  ansible.builtin.copy:\n    content: '{{ text }} {{ port + 1 }}'\n"
        "    dest: '{{ page }}'\n    mode: '0644'\n",
    )
    item = inside(tmp_path, [(web, {"text": "hello {{ 1 + 1 }}", "port": 80, "page": str(page)})])
    heard: list[str] = []
    await insides.configure(item, target(tmp_path, guest.address), heard.append)
    assert page.read_text() == "hello {{ 1 + 1 }} 81"
    assert "web : Write the page: changed" in heard
    heard.clear()
    await insides.configure(item, target(tmp_path, guest.address), heard.append)
    assert "web : Write the page: ok" in heard


WAIT = """
- name: Use the secret
  ansible.builtin.copy:
    content: '{{ password }}'
    dest: '{{ place }}/secret'
    mode: '0600'
  no_log: true
- name: Wait for a word
  ansible.builtin.wait_for:
    path: '{{ place }}/go'
    sleep: 1
    timeout: 60
"""


def _everywhere_in_proc(word: bytes) -> list[str]:
    """The processes that show a word in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if word in (process / name).read_bytes() and int(process.name) != os.getpid():
                    found.append(f"{process.name} {name}")
    return found


def _working_in(directory: Path) -> list[str]:
    """The processes whose working directory this is, or was."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str((process / "cwd").readlink()).removesuffix(" (deleted)") == str(directory):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


@pytest.fixture
def own_temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A short directory of this test's own: others run beside it, and the paths of sockets are short."""
    with tempfile.TemporaryDirectory(prefix="i-") as place:
        monkeypatch.setattr(tempfile, "tempdir", place)
        yield


def _run_directories() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("innkeeper-*"))


async def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_secret_is_seen_nowhere_but_in_its_place(
    guest: Sshd, insides: Insides, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(runs))
    store, place = tmp_path / "store", tmp_path / "place"
    store.mkdir()
    place.mkdir()
    canary = "canary-{{ 7 * 7 }}-" + secrets.token_hex(12)
    (store / "password").write_text(canary + "\n")
    app = role(
        tmp_path,
        "app",
        WAIT + "- name: Say it aloud\n  ansible.builtin.command: \"sh -c 'cat {{ place }}/secret >&2; exit 3'\"\n",
    )
    values = {"password": {"secretRef": {"name": "files", "key": "password"}}, "place": str(place)}
    item = inside(tmp_path, [(app, values)], stores={"files": {"files": str(store)}})
    ready = await insides.prepare([item])
    heard: list[str] = []
    running = asyncio.create_task(insides.configure(item, target(tmp_path, guest.address), heard.append))
    await _until((place / "secret").exists)
    assert (place / "secret").read_text() == canary
    tail = canary.rpartition("-")[2]
    assert _everywhere_in_proc(tail.encode()) == []
    held = [path for path in runs.rglob("*") if path.is_file() and tail in path.read_text(errors="replace")]
    assert held == []
    assert [path.stat().st_mode & 0o777 for path in runs.iterdir()] == [0o700]
    (place / "go").touch()
    with pytest.raises(Stalled) as caught:
        await running
    assert "Say it aloud" in str(caught.value)
    assert tail not in f"{caught.value!r} {caught.value} {heard} {ready}"
    assert list(runs.iterdir()) == []
    kept = [path for path in (tmp_path / "data").rglob("*") if path.is_file() and tail.encode() in path.read_bytes()]
    assert kept == []


async def test_a_failed_task_is_named_with_its_reason_and_the_next_run_recovers(
    guest: Sshd, insides: Insides, tmp_path: Path
) -> None:
    marker = tmp_path / "there"
    app = role(
        tmp_path,
        "app",
        f"- name: Look for the database\n  ansible.builtin.command: ls {marker}\n  changed_when: false\n",
    )
    item = inside(tmp_path, [(app, {})])
    with pytest.raises(Stalled) as caught:
        await insides.configure(item, target(tmp_path, guest.address), print)
    assert "Container/web (guest 101 on pve)" in caught.value.message
    assert "app : Look for the database" in caught.value.message
    assert "No such file or directory" in caught.value.message
    marker.touch()
    await insides.configure(item, target(tmp_path, guest.address), print)


async def test_what_was_notified_is_done_although_the_role_fails_later(
    guest: Sshd, insides: Insides, tmp_path: Path
) -> None:
    """Else a service whose settings were written would never be started again: the next run finds them unchanged."""
    tasks = (
        "- name: Write the settings\n  ansible.builtin.copy:\n    content: new\n    dest: '{{ place }}/settings'\n"
        "    mode: '0644'\n  notify: Restart\n"
        "- name: Look for the database\n  ansible.builtin.command: ls {{ place }}/there\n  changed_when: false\n"
    )
    restart = "- name: Restart\n  ansible.builtin.shell: echo restarted >> '{{ place }}/restarts'\n"
    item = inside(
        tmp_path, [(role(tmp_path, "app", tasks, **{"handlers/main.yml": restart}), {"place": str(tmp_path)})]
    )
    with pytest.raises(Stalled, match="`app : Look for the database` failed"):
        await insides.configure(item, target(tmp_path, guest.address), print)
    (tmp_path / "there").touch()
    await insides.configure(item, target(tmp_path, guest.address), print)
    assert (tmp_path / "restarts").read_text() == "restarted\n"


async def test_a_role_that_is_no_yaml_and_a_wrong_argument_are_told_as_ansible_tells_them(
    guest: Sshd, insides: Insides, tmp_path: Path
) -> None:
    broken = role(tmp_path, "broken", "- name: x\n  ansible.builtin.nosuchmodule:\n")
    with pytest.raises(Stalled, match="nosuchmodule"):
        await insides.configure(inside(tmp_path, [(broken, {})]), target(tmp_path, guest.address), print)
    specs = "argument_specs: {main: {options: {port: {type: int, required: true}}}}\n"
    strict = role(tmp_path, "strict", "- name: x\n  ansible.builtin.ping:\n", **{"meta/argument_specs.yml": specs})
    with pytest.raises(Stalled, match="missing required arguments: port"):
        await insides.configure(inside(tmp_path, [(strict, {})]), target(tmp_path, guest.address), print)


def _mount(*command: str) -> int:
    return subprocess.run(command, check=False).returncode


async def test_a_full_disk_is_called_that(guest: Sshd, insides: Insides, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if await asyncio.to_thread(_mount, "mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)):
        pytest.skip("needs: the right to mount a tmpfs")
    try:
        fill = f"- name: Fill\n  ansible.builtin.command: dd if=/dev/zero of={disk}/file bs=64k count=4\n"
        with pytest.raises(Stalled) as caught:
            item = inside(tmp_path, [(role(tmp_path, "app", fill), {})])
            await insides.configure(item, target(tmp_path, guest.address), print)
    finally:
        await asyncio.to_thread(_mount, "umount", str(disk))
    assert "No space left on device" in caught.value.message
    assert "rootDisk.size" in caught.value.advice


async def test_cancelling_ends_ansible_and_all_that_it_started(
    guest: Sshd, insides: Insides, tmp_path: Path, own_temporary: None
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    item = inside(tmp_path, [(role(tmp_path, "app", WAIT), {"password": "x", "place": str(place)})])
    running = asyncio.create_task(insides.configure(item, target(tmp_path, guest.address), print))
    await _until((place / "secret").exists)
    (mine,) = _run_directories()
    assert len(_working_in(mine)) > 1
    with pytest.raises(Waiting, match="another run is configuring guest-101"):
        await insides.configure(item, target(tmp_path, guest.address), print)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert mine not in _run_directories()
    await _until(lambda: _working_in(mine) == [])
    (place / "go").touch()
    await insides.configure(item, target(tmp_path, guest.address), print)


async def test_a_run_that_takes_too_long_is_ended(guest: Sshd, tmp_path: Path) -> None:
    insides = Insides({}, tmp_path / "data", Bounds(reach=10, configure=4))
    item = inside(tmp_path, [(role(tmp_path, "app", WAIT), {"password": "x", "place": str(tmp_path)})])
    with pytest.raises(Stalled, match=r"took longer than 4 seconds"):
        await insides.configure(item, target(tmp_path, guest.address), print)


async def test_the_inventory_holds_the_desired_state(guest: Sshd, insides: Insides, tmp_path: Path) -> None:
    show = (
        "- name: Show\n  ansible.builtin.copy:\n    dest: '{{ place }}'\n    mode: '0644'\n    content: >-\n"
        "      {{ group_names | sort | join(' ') }}; {{ groups['app_all'] | sort | join(' ') }};"
        " {{ hostvars['db'].ansible_host }} {{ innkeeper_vmid }} {{ innkeeper_node }}\n"
    )
    place = tmp_path / "place"
    web = inside(
        tmp_path, [(role(tmp_path, "app", show), {"place": str(place)})], groups=["app_all", "profile_web-app"]
    )
    db = inside(tmp_path, name="db", groups=["app_all"])
    await insides.prepare([web, db])
    await insides.configure(web, target(tmp_path, guest.address), print)
    assert place.read_text() == "app_all profile_web_app; db web; 127.0.0.1 101 pve"


PCT = '#!/bin/sh\n[ "$1 $2 $3" = "exec 101 --" ] || exit 64\nshift 3\nINSIDE=101 exec "$@"\n'


async def test_a_guest_without_a_network_is_configured_by_pct_exec_on_its_node(
    guest: Sshd, insides: Insides, tmp_path: Path
) -> None:
    pct = guest.directory / "bin/pct"
    pct.write_text(PCT)
    pct.chmod(0o755)
    write = (
        "- name: Write\n  ansible.builtin.copy:\n    dest: '{{ place }}'\n    mode: '0644'\n"
        "    content: \"{{ lookup('file', 'big') }} it's {{ ansible_env.INSIDE }}\"\n"
    )
    place = tmp_path / "it's a place"
    app = role(tmp_path, "app", write, **{"files/big": "x" * 300_000})
    item = inside(tmp_path, [(app, {"place": str(place)})], health=[{"command": 'echo "in $INSIDE"'}])
    at = target(tmp_path, None, {"hosts": {"pve": guest.address}})
    await insides.configure(item, at, print)
    assert place.read_text() == "x" * 300_000 + " it's 101"
    assert [(result.ok, result.detail) for result in await insides.check(item, at)] == [(True, "in 101")]


async def test_a_guest_behind_its_node_is_configured_through_it(
    guest: Sshd, insides: Insides, tmp_path: Path, another_sshd: Sshd
) -> None:
    another_sshd.allow(*insides.authorized_keys("home"))
    item = inside(tmp_path, [(role(tmp_path, "app", WAIT), {"password": "x", "place": str(tmp_path)})])
    (tmp_path / "go").touch()
    at = target(tmp_path, guest.address, {"hosts": {"pve": f"{another_sshd.address}:22"}, "jump": True})
    await insides.configure(item, at, print)
    assert (tmp_path / "secret").read_text() == "x"
    another_sshd.stop()
    short = Insides({}, tmp_path / "data", Bounds(reach=0.5))
    with pytest.raises(Stalled, match="the node of Container/web"):
        await short.configure(item, at, print)
