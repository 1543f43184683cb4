"""Builds the wheel and tries both commands from an empty directory, in a virtual environment of their own."""

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str | Path, cwd: Path) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=clean, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(str(part) for part in command)} failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="innkeeper-wheel-") as name:
        place = Path(name)
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place / "dist", ROOT, cwd=place)
        (wheel,) = (place / "dist").glob("*.whl")
        names = zipfile.ZipFile(wheel).namelist()
        for needed in ("innkeeper/py.typed", "pvesim/py.typed"):
            if needed not in names:
                sys.exit(f"{wheel.name} lacks {needed}")
        venv.create(place / "venv", with_pip=True)
        python, empty = place / "venv" / "bin" / "python", place / "empty"
        empty.mkdir()
        run(
            python,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "-c",
            ROOT / "requirements/core.txt",
            wheel,
            cwd=empty,
        )
        version = run(place / "venv/bin/innkeeper", "--version", cwd=empty).strip()
        run(place / "venv/bin/innkeeper", "--help", cwd=empty)
        run(place / "venv/bin/pvesim", "--help", cwd=empty)
        run(place / "venv/bin/innkeeper", "demo", cwd=empty)
        bare = subprocess.run(
            [place / "venv/bin/innkeeper", "demo", "--serve"], cwd=empty, capture_output=True, text=True
        )
        if "libraries are not installed" not in bare.stderr:
            sys.exit(f"without the extra `server`, demo --serve says: {bare.stderr}")
        print(f"{wheel.name}: {len(names)} files, installs, both commands work, the demo runs ({version})")


if __name__ == "__main__":
    main()
