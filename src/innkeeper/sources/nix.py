"""The output `proxnix` of a flake, evaluated where a flake can do nothing else: no network, no time, no place to write.

A flake is a program of whoever writes the repository. It is evaluated purely, in a store of its own that is thrown
away, without substitutes and without builds during evaluation; inputs must be in its lock file or not be asked for.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from innkeeper.model.diagnostics import Diagnostic, Location

OUTPUT = "proxnix"
SECONDS = 60
_LARGEST_FLAKE = 64 << 20
_LARGEST_ANSWER = 8 << 20
_LONGEST_REASON = 1 << 16
_MEMORY = 4 << 30
_LIMITS = ("prlimit", f"--as={_MEMORY}", f"--cpu={SECONDS}", f"--fsize={_LARGEST_FLAKE}")
_OPTIONS = {
    "experimental-features": "nix-command flakes",
    "accept-flake-config": "false",
    "allow-import-from-derivation": "false",
    "flake-registry": "",
    "plugin-files": "",
    "pure-eval": "true",
    "substitute": "false",
    "warn-dirty": "false",
}
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def evaluate(directory: Path) -> str | Diagnostic:
    """The output as JSON, or why there is none. Blocks for at most SECONDS."""
    flake = directory / "flake.nix"
    nix = shutil.which("nix")
    if nix is None:
        return _failed(
            flake, "NixMissing", "evaluating a flake needs the command nix", "Install nix (Debian: nix-bin)."
        )
    size = 0
    for path in directory.rglob("*"):
        size += path.lstat().st_size
        if size > _LARGEST_FLAKE:
            problem = f"the flake's directory holds more than {_LARGEST_FLAKE >> 20} MiB"
            return _failed(flake, "TooLarge", problem, "Keep what is that large elsewhere.")
    with tempfile.TemporaryDirectory(prefix="innkeeper-nix-") as home:
        return _run(nix, directory, flake, Path(home))


def _run(nix: str, directory: Path, flake: Path, home: Path) -> str | Diagnostic:
    words = [
        nix,
        *options(_OPTIONS),
        "eval",
        "--json",
        "--offline",
        "--no-write-lock-file",
        "--store",
        str(home / "store"),
    ]
    # A network of its own has no way out. Who is not root needs a user of its own to make one.
    alone = ("unshare", "--net") if os.geteuid() == 0 else ("unshare", "--user", "--map-current-user", "--net")
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    answer, errors = home / "answer", home / "errors"
    with answer.open("wb") as stream, errors.open("wb") as said:
        try:
            done = subprocess.run(  # noqa: S603 (an argument list without a shell)
                [*alone, *_LIMITS, *words, f"path:{directory.resolve()}#{OUTPUT}"],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=said,
                timeout=SECONDS,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            problem = f"its output {OUTPUT} took longer than {SECONDS} seconds to evaluate"
            return _failed(flake, "NixFailed", problem, "Look for a loop: nix eval .#proxnix")
        except OSError as error:
            return _failed(flake, "NixMissing", f"nix cannot be run: {error.strerror}", "Install util-linux and nix.")
    if done.returncode != 0:
        with errors.open("rb") as stream:
            told = stream.read(_LONGEST_REASON).decode(errors="replace")
        problem = f"its output {OUTPUT} cannot be evaluated: {reason(told.splitlines())}"
        return _failed(flake, "NixFailed", problem, "See the whole of it: nix eval --json .#proxnix")
    if answer.stat().st_size > _LARGEST_ANSWER:
        return _failed(flake, "TooLarge", f"its output {OUTPUT} is too large", "It holds machines, nothing else.")
    return answer.read_text(encoding="utf-8")


def options(settings: Mapping[str, str]) -> list[str]:
    """Nix's settings as words of its command line."""
    return [word for name, value in settings.items() for word in ("--option", name, value)]


def plain(line: str) -> str:
    """A line that Nix wrote, without its colours and the blanks around it."""
    return _COLOUR.sub("", line).strip()


def reason(lines: Iterable[str]) -> str:
    """Why Nix failed, of all that it wrote: its last error, else its last words."""
    clean = [plain(line) for line in lines]
    said = [line.removeprefix("error:").strip() for line in clean if line.startswith("error:")]
    words = next(filter(None, reversed([*clean, *said])), "")
    return words[:400] or "nix gave no reason"


def _failed(flake: Path, code: str, problem: str, advice: str) -> Diagnostic:
    return Diagnostic("error", code, problem, advice, Location(str(flake)))
