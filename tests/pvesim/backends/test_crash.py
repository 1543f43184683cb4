"""A pvesim that was killed: what it leaves, and what the next one makes of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.pvesim.backends.conftest import Begin, World, leftovers


def kill(world: World) -> None:
    """As a power cut is for pvesim alone; the state of a moment before is on disk."""
    state = Path(world.sim.cafile).parent / "state.json"
    deadline = time.monotonic() + 5
    while state.exists() and time.monotonic() - state.stat().st_mtime < 0.3 and time.monotonic() < deadline:
        time.sleep(0.05)
    world.sim.process.send_signal(signal.SIGKILL)
    world.sim.process.wait(5)


def monitors(folder: Path) -> list[str]:
    """The containers that run from that directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().replace("\0", " ").strip()
        except OSError:
            continue
        if words.startswith(f"[lxc monitor] {folder}/guests "):
            found.append(words.rpartition(" ")[2])
    return sorted(found)


def test_the_next_start_takes_over_what_still_runs(begin: Begin, tmp_path: Path) -> None:
    home = tmp_path / "state"
    first = begin("--state", str(home))
    first.create(101, start=1)
    first.create(102)
    first.reach(101)
    started = first.inside(101, "stat -c %Y /proc/1")
    kill(first)
    assert monitors(home) == ["101"]

    again = begin("--state", str(home), net=first.net)
    assert again.status(101) == "running"
    assert again.inside(101, "stat -c %Y /proc/1") == started
    assert again.reach(101).startswith(b"SSH-2.0")
    assert again.power(102, "start") == "OK"
    assert again.reach(102).startswith(b"SSH-2.0")
    assert again.power(101, "shutdown") == "OK"
    for vmid in (101, 102):
        assert again.sim.do("DELETE", f"/nodes/pve/lxc/{vmid}", {"force": 1}) == "OK"
    again.sim.stop()
    assert monitors(home) == []
    assert leftovers([first.sim.process.pid]) == []


def test_what_ran_at_a_clean_end_runs_again(begin: Begin, tmp_path: Path) -> None:
    home = tmp_path / "state"
    first = begin("--state", str(home))
    first.create(101, start=1)
    first.reach(101)
    first.inside(101, "echo kept > /root/file")
    assert first.sim.stop() == 0
    assert monitors(home) == []
    again = begin("--state", str(home), net=first.net)
    assert again.status(101) == "running"
    again.reach(101)
    assert again.inside(101, "cat /root/file") == "kept\n"


def test_what_died_meanwhile_is_started_again(begin: Begin, tmp_path: Path) -> None:
    home = tmp_path / "state"
    first = begin("--state", str(home))
    first.create(101, start=1)
    first.reach(101)
    kill(first)
    monitor = int((home / "guests/101/monitor").read_text())
    init = int(Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()[0])
    subprocess.run(["kill", "-9", str(init)], check=True)
    deadline = time.monotonic() + 10
    while monitors(home) and time.monotonic() < deadline:
        time.sleep(0.05)
    again = begin("--state", str(home), net=first.net)
    assert again.status(101) == "running"
    assert again.reach(101).startswith(b"SSH-2.0")


def test_without_a_state_nothing_outlives_it(begin: Begin) -> None:
    world = begin()
    world.create(101, start=1)
    world.reach(101)
    home = Path(world.sim.cafile).parent
    kill(world)
    deadline = time.monotonic() + 20
    while home.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not home.exists()
    assert monitors(home) == []


def test_clean_removes_all_of_it(begin: Begin, tmp_path: Path) -> None:
    home = tmp_path / "state"
    world = begin("--state", str(home))
    world.create(101, start=1)
    world.reach(101)
    command = [sys.executable, "-m", "pvesim", "clean", "--state", str(home)]
    busy = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (busy.returncode, busy.stderr) == (2, f"pvesim: {home} is in use: end that pvesim first\n")
    kill(world)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{home}: removed, 1 container ran\n", "")
    assert not home.exists()
    assert monitors(home) == []
    assert leftovers([world.sim.process.pid]) == []


def test_a_directory_serves_one_pvesim_at_a_time(begin: Begin, tmp_path: Path) -> None:
    home = tmp_path / "state"
    begin("--state", str(home))
    words = [sys.executable, "-m", "pvesim", "--port", "0", "--backend", "lxc", "--state", str(home)]
    second = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 2
    assert "is in use by another pvesim" in second.stderr
