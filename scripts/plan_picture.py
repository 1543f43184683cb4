"""The picture of a plan, from the real output of the real command on a simulated cluster."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
_WIDTH = 100
_COLOURS = {
    # black, red, green, yellow, blue, magenta, cyan, white
    "plan.svg": ("fafaf8", "282c34", "282c34 c0262c 227c3c 966200 1c5aaa 8a3296 007482 5a5e66"),
    "plan-dark.svg": ("181a1f", "d6dae0", "181a1f f06460 6ebe78 deb256 68a4f0 c882dc 5abec8 a0a6b0"),
}
_EDITS = (
    (
        "apps.yaml",
        "network: [{name: eth0, ip: 10.0.10.21/24",
        "memory: 1Gi\n  network: [{name: eth0, ip: 10.0.10.21/24",
    ),
    ("machines.yaml", "cpu: {cores: 4, type: host}", "cpu: {cores: 6, type: host}"),
)
_NEW = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Container
metadata: {name: chat}
spec:
  profile: small
  memory: 1Gi
  network: [{name: eth0, ip: 10.0.10.22/24, gateway: 10.0.10.1}]
  needs: [Container/db, Container/proxy]
"""


def pictures() -> dict[str, str]:
    """SVG by file name, light and dark: a plan with a creation, a live change, one that restarts, and a deletion."""
    with tempfile.TemporaryDirectory() as place, _homelab(Path(place)) as (manifests, environment):
        _innkeeper("apply", "--yes", cwd=manifests, env=environment)
        apps = manifests / "apps.yaml"
        documents = apps.read_text(encoding="utf-8").split("\n---\n")
        kept = [text for text in documents if "{name: media}" not in text]
        apps.write_text("\n---\n".join([*kept, _NEW]), encoding="utf-8")
        for name, old, new in _EDITS:
            file = manifests / name
            text = file.read_text(encoding="utf-8")
            assert old in text, f"{name} has changed: {old!r} is not in it"
            file.write_text(text.replace(old, new), encoding="utf-8")
        said = _innkeeper("plan", "--prune", cwd=manifests, env=environment | {"FORCE_COLOR": "1"})
    shown = said[: said.index("\n", said.index("Plan:"))]
    return {name: _svg(f"$ innkeeper plan --prune\n{shown}", name) for name in _COLOURS}


def _svg(text: str, name: str) -> str:
    background, foreground, colours = _COLOURS[name]
    theme = TerminalTheme(_rgb(background), _rgb(foreground), [_rgb(colour) for colour in colours.split()])
    console = Console(record=True, width=_WIDTH, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115, PTH123
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title="", theme=theme, unique_id=Path(name).stem)
    console.file.close()
    # No font from elsewhere: the reader's own will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour)
    return red, green, blue


@contextmanager
def _homelab(place: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """The example's manifests beside its running cluster, and the environment that its commands need."""
    seed = ROOT / "examples/homelab-sim.yaml"
    command = [sys.executable, "-m", "pvesim", "--seed", str(seed), "--port", "0", "--exit-on-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            manifests = place / "homelab"
            manifests.mkdir()
            for file in (ROOT / "examples/homelab").glob("*.yaml"):
                text = re.sub(r"endpoints: .*", f"endpoints: [{', '.join(ready['nodes'].values())}]", file.read_text())
                (manifests / file.name).write_text(re.sub(r"caFile: [^}]*", f"caFile: {ready['cafile']}", text))
            kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "HOME", "LANG")}
            secret = next(iter(ready["tokens"].values()))
            yield manifests, kept | {"PVE_TOKEN_SECRET": secret, "COLUMNS": str(_WIDTH)}
        finally:
            process.terminate()


def _innkeeper(*words: str, cwd: Path, env: Mapping[str, str]) -> str:
    command = [sys.executable, "-m", "innkeeper", *words]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
