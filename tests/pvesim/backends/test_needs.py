"""What is missing for real containers is said, wherever they are asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pvesim import running


def pvesim(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pvesim", *words],
        env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_doctor_says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    found = pvesim("doctor", PATH=str(tmp_path))
    assert (found.returncode, found.stderr) == (1, "")
    assert "missing  lxc-start: apt-get install lxc" in found.stdout.splitlines()


def test_pvesim_does_not_begin_without_them(tmp_path: Path) -> None:
    done = pvesim("--backend", "lxc", "--port", "0", "--state", str(tmp_path / "state"), PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("pvesim: needs: ")
    assert "lxc-start (apt-get install lxc)" in done.stderr
    assert "Traceback" not in done.stderr


def test_templates_that_there_are(tmp_path: Path) -> None:
    assert pvesim("template", "list", XDG_CACHE_HOME=str(tmp_path)).stdout == ""
    built = tmp_path / "pvesim/templates/debian-12-fat_0123456789ab.tar.zst"
    built.parent.mkdir(parents=True)
    built.write_bytes(bytes(2**20))
    line = pvesim("template", "list", XDG_CACHE_HOME=str(tmp_path)).stdout.split()
    assert (line[:3], line[-1]) == (["debian-12-fat", "1", "MiB"], str(built))


def test_the_record_backend_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sim = running.start(tmp_path)
    try:
        assert "ssh" not in sim.ready
        assert sim.call("GET", "/version").status == 200
    finally:
        sim.stop()
