"""Where this machine itself gets packages from: what its apt, pip and npm say, so that guests may do the same.

No registry is named here: each tool knows its own default.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pvesim.template import recipe

_PIP_FILES = (Path("/etc/pip.conf"), Path("~/.config/pip/pip.conf"), Path("~/.pip/pip.conf"))
_NPM_FILES = (Path("/etc/npmrc"), Path("/usr/etc/npmrc"), Path("~/.npmrc"))
_NPM_SECONDS = 20


@dataclass(frozen=True)
class Named:
    """What the machine's settings name in place of the defaults: URLs, empty where they name none."""

    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()

    @property
    def index(self) -> str:
        """The index that guests are told; never one with a password in it."""
        return next(filter(_open, self.pip), "")

    @property
    def registry(self) -> str:
        return next(filter(_open, self.npm), "")


def named(environment: Mapping[str, str] = os.environ) -> Named:
    """The indexes of pip and registries of npm that environment variables and settings files name."""
    pip = [environment.get(name, "") for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS")]
    npm = [environment.get(name, "") for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry")]
    for path in _PIP_FILES:
        pip += re.findall(r"^(?:extra-)?index-url\s*=\s*(.+)$", _text(path), re.MULTILINE)
    for path in _NPM_FILES:
        npm += re.findall(r"^(?:@[^:]+:)?registry\s*=\s*(.+)$", _text(path), re.MULTILINE)
    return Named(_urls(pip), _urls(npm))


def hosts(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The hosts of packages that this machine itself uses. Asks npm for its default, which takes a moment."""
    found = named(environment)
    pip = _hosts(found.pip) or _pip_default()
    npm = _hosts(found.npm) or _npm_default()
    return frozenset(recipe.hosts() | pip | npm)


def _pip_default() -> set[str]:
    """pip keeps its index, and where that one's files lie, as a constant; `pip config` does not show it."""
    try:
        index = importlib.import_module("pip._internal.models.index").PyPI
    except (ImportError, AttributeError):
        return set()
    return {str(index.netloc), str(index.file_storage_domain)}


def _npm_default() -> set[str]:
    if (npm := shutil.which("npm")) is None:
        return set()
    try:
        command = [npm, "config", "get", "registry"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_NPM_SECONDS, check=False, cwd="/")  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return set()
    return _hosts(done.stdout.split())


def _urls(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(url for text in texts for url in text.split() if urlsplit(url).hostname))


def _hosts(urls: Iterable[str]) -> set[str]:
    return {host for url in urls if (host := urlsplit(url).hostname)}


def _open(url: str) -> bool:
    return urlsplit(url).username is None


def _text(path: Path) -> str:
    try:
        return path.expanduser().read_text(errors="replace")
    except OSError:
        return ""
