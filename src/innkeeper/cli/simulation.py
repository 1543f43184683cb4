"""A simulated Proxmox VE cluster in a process of its own: the command `pvesim`, started and ended from here."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from innkeeper.engine.errors import Stalled

_END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Simulation:
    """`ready` is what pvesim says once it serves: nodes, cafile, tokens and, with real containers, ssh and ssh_key."""

    ready: Mapping[str, Any]
    pid: int

    @property
    def secret(self) -> str:
        return str(next(iter(self.ready["tokens"].values())))

    @property
    def cluster(self) -> dict[str, object]:
        """The part of a Cluster's spec that tells the way to it; the token's secret is in PVE_TOKEN_SECRET."""
        spec: dict[str, object] = {
            "endpoints": list(self.ready["nodes"].values()),
            "tls": {"caFile": self.ready["cafile"]},
            "credentials": {"tokenID": next(iter(self.ready["tokens"])), "tokenSecret": {"env": "PVE_TOKEN_SECRET"}},
        }
        if "ssh_key" in self.ready:
            hosts = {name: f"{way['host']}:{way['port']}" for name, way in self.ready["ssh"].items()}
            spec["ssh"] = {"keyFile": self.ready["ssh_key"], "hosts": hosts}
        return spec


@contextmanager
def simulation(seed: Path, *words: str) -> Iterator[Simulation]:
    """A `pvesim` that ends with the block, and with this process however that ends. Stalled: it did not start."""
    process, ready = _started([*_command(seed), *words, "--exit-on-eof"], detached=False)
    try:
        yield Simulation(ready, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def detached(seed: Path, *words: str) -> Simulation:
    """A `pvesim` that outlives this process."""
    process, ready = _started([*_command(seed), *words], detached=True)
    return Simulation(ready, process.pid)


def without_containers() -> str:
    """Why real containers cannot be had here; empty where they can."""
    if shutil.which("lxc-start") is None:
        return "lxc is not installed"
    if find_spec("ansible") is None or find_spec("asyncssh") is None:
        return "pip install 'innkeeper[guests]'"
    done = subprocess.run([sys.executable, "-m", "pvesim", "doctor"], capture_output=True, text=True, check=False)
    missing = [line.removeprefix("missing").strip() for line in done.stdout.splitlines() if line.startswith("missing")]
    return "" if done.returncode == 0 else "; ".join(missing) or done.stderr.strip() or "pvesim doctor finds something"


def without_template(template: str) -> str:
    """How to get a template for real containers that was not built here yet; empty where it is there."""
    words = [sys.executable, "-m", "pvesim", "template", "list"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    known = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    return "" if template in known else f"the template {template} (once: pvesim template build {template})"


def built(template: str, *, fat: bool) -> None:
    """Make sure that this template for real containers is there; building one takes about half a minute."""
    words = [sys.executable, "-m", "pvesim", "template", "build", template, *(["--fat"] if fat else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise Stalled(f"the template {template} cannot be built: {done.stderr.strip()}", "pvesim doctor says more")


def _command(seed: Path) -> list[str]:
    return [sys.executable, "-m", "pvesim", "--seed", str(seed), "--port", "0"]


def _started(command: Sequence[str], *, detached: bool) -> tuple["subprocess.Popen[str]", Mapping[str, Any]]:
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            # Ctrl-C is for us; what runs in the simulator is ended in order.
            start_new_session=True,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if line:
            return process, json.loads(line)
        process.wait()
        errors.seek(0)
        why = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
    raise Stalled(f"pvesim did not start: {why or 'it said nothing'}", "`pvesim doctor` says what this machine lacks")
