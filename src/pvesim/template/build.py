"""Building a template with mmdebstrap, once for each recipe."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import time
from pathlib import Path

from pvesim.template import cache
from pvesim.template.recipe import Recipe, RecipeError

_BUILD_SECONDS = 1800
_AGE = 7200
"""No file is younger than this many seconds: by their date apt's empty lists would pass for fresh ones."""


def build(recipe: Recipe, output: Path | None = None) -> tuple[Path, bool]:
    """The template's archive, and whether it had to be made; `output` is a directory that gets a copy.

    RecipeError with the end of mmdebstrap's own words when it fails.
    """
    folder = cache.folder() / "templates"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / recipe.file_name
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = not target.exists()
        if made:
            _make(recipe, target)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        shutil.copy2(target, output / target.name)
        return output / target.name, made
    return target, made


def _make(recipe: Recipe, target: Path) -> None:
    for program in ("mmdebstrap", "zstd"):
        if shutil.which(program) is None:
            raise RecipeError(f"{program} is missing: apt-get install {program}")
    fresh = target.with_name(f".new-{target.name}")
    fresh.unlink(missing_ok=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(int(time.time()) - _AGE)}
    try:
        done = subprocess.run(  # noqa: S603
            recipe.command(fresh),
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_BUILD_SECONDS,
            env=environment,
        )
    except subprocess.TimeoutExpired as error:
        raise RecipeError(f"mmdebstrap did not end within {_BUILD_SECONDS} s") from error
    if done.returncode:
        fresh.unlink(missing_ok=True)
        raise RecipeError("mmdebstrap failed:\n" + "\n".join(done.stderr.strip().splitlines()[-8:]))
    fresh.rename(target)
