"""`innkeeper dev` on real containers: a port forwarded, again on a change, kept or destroyed, read by programs."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.innkeeper.inside.world import get

CONTAINER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: box}
spec:
  configure: {roles: [{role: page}]}
  health: [{http: {port: 8000, contains: page}}, {tcp: 22}]
"""
PAGE = """\
- name: Make a place
  ansible.builtin.file: {path: /srv/www, state: directory, mode: "0755"}
- name: Write the page
  ansible.builtin.copy: {src: index.html, dest: /srv/www/index.html, mode: "0644"}
- name: Serve it
  ansible.builtin.command:
    cmd: systemd-run --unit page --property WorkingDirectory=/srv/www python3 -m http.server 8000
    creates: /run/systemd/transient/page.service
- name: Wait for it
  ansible.builtin.wait_for: {port: 8000, timeout: 20}
"""


@pytest.fixture
def directory(template: None, tmp_path: Path) -> Path:
    place = tmp_path / "box"
    for name, text in (("tasks/main.yml", PAGE), ("files/index.html", "page one\n")):
        file = place / "roles/page" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (place / "container.yaml").write_text(CONTAINER)
    return place


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "innkeeper", "dev", *map(str, words)]


def until(seconds: float, check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def routed(address: str) -> bool:
    """Whether this machine has a way to that container; it goes with the container."""
    found = subprocess.run(["ip", "route", "show", f"{address}/32"], capture_output=True, text=True, check=True)
    return bool(found.stdout.strip())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_program_reads_one_object_and_nothing_is_left(directory: Path) -> None:
    done = subprocess.run(command(directory, "--once", "-o", "json"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert list(report) == ["guest", "address", "health", "checks", "steps"]
    assert (report["guest"], report["health"]) == ("box", "Healthy")
    assert report["checks"] == [
        {"name": "http 8000/", "ok": True, "detail": "answered 200"},
        {"name": "tcp 22", "ok": True, "detail": "port 22 is open"},
    ]
    assert [(set(step), step["name"], step["ok"]) for step in report["steps"]] == [
        ({"name", "ok", "seconds", "detail"}, name, True) for name in ("create", "configure", "check", "destroy")
    ]
    assert not routed(report["address"])


def test_what_fails_is_said_to_a_program(directory: Path) -> None:
    (directory / "roles/page/tasks/main.yml").write_text("- {name: Give up, ansible.builtin.fail: {msg: no page}}\n")
    done = subprocess.run(command(directory, "--once", "-o", "json"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["health"] == "Degraded"
    failed = [step for step in report["steps"] if not step["ok"]]
    assert [step["name"] for step in failed] == ["configure"]
    assert "the task `page : Give up` failed: no page" in failed[0]["detail"]


def test_a_port_is_forwarded_and_a_changed_file_is_applied_until_ctrl_c(directory: Path, tmp_path: Path) -> None:
    port, output = free_port(), tmp_path / "output"
    page, manifest = f"http://127.0.0.1:{port}/", directory / "container.yaml"
    with (
        output.open("w") as file,
        subprocess.Popen(command(directory, "-p", f"{port}:8000"), stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        try:
            assert until(180, lambda: get(page) == (200, "page one\n")), output.read_text()
            (directory / "roles/page/files/index.html").write_text("page two\n")
            assert until(90, lambda: get(page) == (200, "page two\n")), output.read_text()
            manifest.write_text(CONTAINER.replace("health", "helth"))
            assert until(60, lambda: "helth" in output.read_text()), output.read_text()
            assert get(page) == (200, "page two\n"), "what runs stays reachable"
            manifest.write_text(CONTAINER)
            (directory / "roles/page/files/index.html").write_text("page three\n")
            assert until(90, lambda: get(page) == (200, "page three\n")), output.read_text()
            assert until(30, lambda: output.read_text().count("Healthy at") == 3), output.read_text()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(90)
    said = output.read_text()
    assert process.returncode == 0, said
    address = re.search(r"Healthy at (\S+)", said)
    assert address is not None, said
    assert not routed(address[1])
    assert get(page) == (0, "")


def test_ctrl_c_while_it_configures_ends_it(directory: Path, tmp_path: Path) -> None:
    slow = "- {name: Take time, ansible.builtin.command: {cmd: sleep 4}, changed_when: false}\n"
    (directory / "roles/page/tasks/main.yml").write_text(slow)
    output = tmp_path / "output"
    with (
        output.open("w") as file,
        subprocess.Popen(command(directory), stdout=file, stderr=subprocess.STDOUT) as process,
    ):
        try:
            assert until(180, lambda: "configuring" in output.read_text()), output.read_text()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)
    assert "Waiting for changes" not in output.read_text()
    assert process.returncode == 1


def test_a_container_that_is_kept_stays_until_it_is_ended(directory: Path) -> None:
    done = subprocess.run(command(directory, "--once", "--keep"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    kept = re.search(r"left running at (\S+); kill (\d+) destroys it", done.stdout)
    assert kept is not None, done.stdout
    page, pid = f"http://{kept[1]}:8000/", int(kept[2])
    try:
        assert get(page) == (200, "page one\n")
        assert routed(kept[1])
    finally:
        os.kill(pid, signal.SIGTERM)
    assert until(60, lambda: not Path(f"/proc/{pid}").exists())
    assert not routed(kept[1])


def test_a_directory_that_describes_no_container(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, "--once"), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {tmp_path} holds no container.yaml")
    assert shutil.which("innkeeper") is None or "Traceback" not in done.stderr
