"""The demo runs to its end by itself, and every act of it shows what it promises."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(400)
def test_the_demo(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PVE_TOKEN_SECRET"}
    done = subprocess.run(
        [sys.executable, "-m", "innkeeper", "demo"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=390,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    acts = done.stdout.split("== ")
    promises = {
        "Apply it": "Applied: 7 created.",
        "Apply it again": "No changes: 7 of 7 guests",
        "Somebody helps": "Missing: declared, and not on the cluster",
        "Heal": "Applied: 1 created, 2 updated.",
        "A manifest is removed": "Container/media deleted",
        "A protected one": "! not allowed: it is protected",
    }
    for act, promise in promises.items():
        assert promise in acts[acts.index(f"{act} ") + 1], act
    first = done.stdout.splitlines()[0]
    if first.startswith("Containers are real ones"):
        assert "✓ http 80/: answered 200" in acts[acts.index("Inside a guest ") + 1]
    else:
        assert "for real ones this machine lacks: " in first
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
