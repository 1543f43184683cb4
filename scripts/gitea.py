"""Build the forge that webhooks, pull requests and sign-in are tested against: Gitea, once, outside the checkout.

    python scripts/gitea.py          builds it where it is missing (minutes) and prints its place as JSON

The published Go module is compiled as it stands, with the versions and sums of its own go.mod. It holds everything but
the web pages' scripts and styles, which no test needs: pages, API, pull requests and webhooks work without them.
It needs Go, a C compiler (for SQLite) and a module proxy.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from go_parts import CACHE, Missing, go, run

VERSION = "1.26.0"
GO = "1.26.2"
_MODULE = f"code.gitea.io/gitea@v{VERSION}"
_PLACE = CACHE / f"gitea-{VERSION}"
STATIC = _PLACE / "static"
"""What the running server reads: options, templates, public."""


def found() -> Path | None:
    """The binary, where it is built already."""
    return binary if (binary := _PLACE / "gitea").exists() else None


def build() -> Path:
    """The binary, built where it is missing. Raises Missing where that cannot be."""
    if (binary := found()) is not None:
        return binary
    command = go(GO, "Gitea")
    if shutil.which(os.environ.get("CC", "cc")) is None:
        raise Missing("a C compiler (Debian: gcc and libc6-dev), to build Gitea's SQLite")
    env = {**os.environ, "CGO_ENABLED": "1", "GOFLAGS": f"{os.environ.get('GOFLAGS', '')} -mod=readonly".strip()}
    module = Path(json.loads(run([command, "mod", "download", "-json", _MODULE], Path.home(), env))["Dir"])
    _PLACE.mkdir(parents=True, exist_ok=True)
    for part in ("options", "templates", "public"):
        shutil.copytree(module / part, STATIC / part, dirs_exist_ok=True, copy_function=shutil.copyfile)
    unfinished = _PLACE / f".gitea.{os.getpid()}"
    tags, flags = "-tags=sqlite sqlite_unlock_notify", f"-ldflags=-s -w -X main.Version={VERSION}"
    run([command, "build", "-trimpath", tags, flags, "-o", str(unfinished), "."], module, env)
    return unfinished.rename(_PLACE / "gitea")


if __name__ == "__main__":
    try:
        print(json.dumps({"gitea": str(build())}, indent=2))
    except Missing as missing:
        sys.exit(f"needs: {missing}")
