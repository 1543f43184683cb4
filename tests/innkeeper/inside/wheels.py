"""Wheels of this checkout and of all that it needs, in a directory or as an index that guests reach."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[3]


def build(place: Path, version: str) -> Path:
    """The wheel of this checkout's product, called `version`."""
    tree = place / f"tree-{version}"
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "examples", tree / "examples")
    for name in ("README.md", "LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, tree)
    project = tree / "pyproject.toml"
    project.write_text(re.sub(r'^version = ".*"$', f'version = "{version}"', project.read_text(), flags=re.MULTILINE))
    _run(sys.executable, "-m", "build", "--quiet", "--wheel", "--no-isolation", "--outdir", place, tree)
    (wheel,) = place.glob(f"innkeeper-{version}-*.whl")
    return wheel


def with_dependencies(wheel: Path, place: Path) -> None:
    """Fill a directory with a wheel and all that its server needs, in the versions that this checkout is locked to."""
    _run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--wheel-dir", place),
        *("-c", ROOT / "requirements/core.txt", f"{wheel}[server]"),
    )


@contextmanager
def index(place: Path, wheels: Path, host: str) -> Iterator[str]:
    """The URL of a package index (PEP 503) with these wheels, which ends with the block."""
    for wheel in wheels.glob("*.whl"):
        project = place / re.sub(r"[-_.]+", "-", wheel.name.partition("-")[0]).lower()
        project.mkdir(parents=True, exist_ok=True)
        os.link(wheel, project / wheel.name)
    with ThreadingHTTPServer((host, 0), partial(_Quiet, directory=str(place))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        pass


def _run(*words: str | Path) -> None:
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
