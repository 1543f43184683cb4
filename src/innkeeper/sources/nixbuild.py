"""Images that Nix builds from a flake: what they are made of, and the file itself.

Unlike the output `proxnix`, an image may take what its flake's lock file names, and is built in the store of the
machine, in Nix's own sandbox. So it is done for whom that is allowed only; its place in the store is its identity.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from innkeeper.engine.errors import Stalled
from innkeeper.engine.ports import Log
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.images import Build
from innkeeper.sources.nix import options, plain, reason

EVALUATION_SECONDS = 300
BUILD_SECONDS = 3 * 3600
_OPTIONS = {
    "experimental-features": "nix-command flakes",
    "accept-flake-config": "false",
    "pure-eval": "true",
    "sandbox": "true",
    "warn-dirty": "false",
}
_KEPT = re.compile(r"^(PATH|HOME|USER|LANG|XDG_(CACHE|CONFIG|DATA|STATE)_HOME|NIX_.*|SSL_CERT_FILE|TMPDIR)$")
_DERIVATION = re.compile(r"/nix/store/[0-9a-z]{32}-[^/\s]+\.drv")
_BUILDER = re.compile(r"\S+> ")
_LINES = 20


def derive(directory: Path, output: str) -> str | Diagnostic:
    """The path of the derivation of an output, or why there is none. Blocks for at most EVALUATION_SECONDS."""
    flake = Location(str(directory / "flake.nix"))
    if shutil.which("nix") is None:
        advice = "Install nix (Debian: nix-bin)."
        return Diagnostic("error", "NixMissing", "an image that Nix builds needs the command nix", advice, flake)
    advice = f"See the whole of it: nix path-info --derivation .#{output}"
    try:
        done = subprocess.run(  # noqa: S603 (an argument list without a shell)
            [*_command("path-info"), "--derivation", _installable(str(directory), output)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=EVALUATION_SECONDS,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        problem = f"its output {output} took longer than {EVALUATION_SECONDS} seconds to evaluate"
        return Diagnostic("error", "NixFailed", problem, advice, flake)
    except OSError as error:
        return Diagnostic("error", "NixMissing", f"nix cannot be run: {error.strerror}", "Install nix.", flake)
    found = _DERIVATION.search(done.stdout)
    if done.returncode == 0 and found:
        return found[0]
    problem = f"its output {output} cannot be evaluated: {reason(done.stderr.splitlines())}"
    return Diagnostic("error", "NixFailed", problem, advice, flake)


@asynccontextmanager
async def built(build: Build, log: Log) -> AsyncIterator[Path]:
    """The image's file, kept from the store's collector until it is let go; `log` gets what Nix says.

    Raises Stalled where it cannot be built, or is not one file.
    """
    with tempfile.TemporaryDirectory(prefix="innkeeper-image-") as place:
        link = Path(place) / "result"
        output = await _build(build, link, log)
        yield _file(Path(output), build)


async def _build(build: Build, link: Path, log: Log) -> str:
    words = [*_command("build"), "--print-build-logs", "--json", "--out-link", str(link)]
    problem, said = "", deque[str](maxlen=_LINES)
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            _installable(build.directory, build.output),
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            limit=1 << 20,
        )
    except OSError as error:
        problem = error.strerror or "it is not there"
    if problem:
        raise Stalled(f"nix cannot be run: {problem}", "Install nix (Debian: nix-bin).")
    assert process.stdout is not None
    assert process.stderr is not None
    errors = process.stderr

    async def listen() -> None:
        async for raw in errors:
            if line := plain(raw.decode(errors="replace")):
                said.append(line)
                log(line)

    try:
        async with asyncio.timeout(BUILD_SECONDS):
            answer, _ = await asyncio.gather(process.stdout.read(), listen())
            await process.wait()
    except TimeoutError:
        problem = f"it took longer than {BUILD_SECONDS // 3600} hours"
    except ValueError:
        problem = "it wrote a line that is too long"
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if problem or process.returncode != 0:
        why = problem or reason(said)
        if last := next((line for line in reversed(said) if _BUILDER.match(line)), ""):
            why += f"; the last that it said: {last}"
        advice = f"Try it by hand: nix build {build.directory}#{build.output}"
        raise Stalled(f"image {build.output} cannot be built: {why}", advice)
    outputs: Mapping[str, str] = json.loads(answer)[0]["outputs"]
    return outputs.get("out") or next(iter(outputs.values()))


def _file(output: Path, build: Build) -> Path:
    """The output itself, or the one file in it that has the image's format."""
    if output.is_file():
        return output
    found = sorted(path for path in output.rglob(f"*.{build.format}") if path.is_file())
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} files" if found else "no file"
    raise Stalled(
        f"image {build.output} was built to {output}, which holds {what} *.{build.format}",
        "Name the output that holds one, or its format.",
    )


def _command(word: str) -> list[str]:
    return ["nix", *options(_OPTIONS), word, "--no-update-lock-file"]


def _installable(directory: str, output: str) -> str:
    return f"path:{quote(directory)}#{output}"


def _environment() -> dict[str, str]:
    """What Nix needs of ours: no secret that the server was given this way reaches it."""
    return {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
