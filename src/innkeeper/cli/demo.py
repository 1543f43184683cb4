"""`innkeeper demo`: the main job from start to finish on a simulated cluster, by the real commands."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from innkeeper.model.plan import Operation

_DOCUMENTS = "\n---\n"


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the directory of manifests at the end.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Open the portal on it, with a git repository of its own, until Ctrl-C.")
    ] = False,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where the portal answers; port 0: a free one.")
    ] = "127.0.0.1:8080",
) -> None:
    """Show the main job on a simulated Proxmox VE cluster. Needs nothing and changes nothing.

    \b
    Plan and apply a homelab (5 containers, 2 virtual machines, 2 nodes), apply again, heal what somebody changed
    and deleted, prune what is declared no more, refuse to prune what is protected. Ends by itself.
    Containers are real ones where this machine can run them (root, lxc, a template that was built once): then one is
    configured and checked inside.
    """
    from innkeeper.cli.simulation import without_containers, without_template

    if serve:
        from innkeeper.cli.demoserver import serve as served
        from innkeeper.cli.serve import need_libraries

        need_libraries()
        served(_examples(), listen)
        return
    began = time.monotonic()
    lacking = without_containers() or without_template("debian-12")
    typer.echo(
        f"Containers are records in a simulator; for real ones this machine lacks: {lacking}"
        if lacking
        else "Containers are real ones (LXC), behind a simulated Proxmox VE; virtual machines are records."
    )
    place = Path(tempfile.mkdtemp(prefix="innkeeper-demo-"))
    try:
        with _simulator(place / "homelab", real=not lacking) as secret:
            ok = _Demo(place / "homelab", secret).run()
        if ok and not lacking:
            ok = _Demo(_examples(), secret).inside()
    finally:
        if keep:
            typer.echo(f"The manifests are in {place / 'homelab'}.")
        else:
            shutil.rmtree(place, ignore_errors=True)
    typer.echo(f"The demo took {time.monotonic() - began:.0f} s.")
    raise typer.Exit(0 if ok else 1)


@dataclass(frozen=True, slots=True)
class _Demo:
    directory: Path
    secret: str

    def run(self) -> bool:
        """Whether every command ended as it should."""
        return all(self._acts())

    def inside(self) -> bool:
        self._title("Inside a guest", "One container with a page: created, configured, checked, destroyed.")
        return self._innkeeper("dev", "welcome", "--once")

    def _acts(self) -> Iterator[bool]:
        self._title("A homelab in git", "Five containers, two virtual machines, two nodes; nothing exists yet.")
        yield self._innkeeper("validate")
        self._title("Apply it", "Guests are made in the order of their needs, several at once.")
        yield self._innkeeper("apply", "--yes", "--source", "homelab")
        yield self._innkeeper("status", "--source", "homelab")
        self._title("Apply it again", "Everything is as declared: no writing call.")
        yield self._innkeeper("apply", "--yes", "--source", "homelab")
        self._title(
            "Somebody helps", "A colleague resizes web, points proxy at another DNS and deletes dns, all by hand."
        )
        self._behind_our_back()
        yield self._innkeeper("status", "--source", "homelab")
        self._title("Heal", "What drifted goes back to what is declared.")
        yield self._innkeeper("apply", "--yes", "--source", "homelab")
        self._title("A manifest is removed", "media is declared no more. Pruning is asked for, and confirmed.")
        self._remove("media")
        yield self._innkeeper("apply", "--prune", "--source", "homelab", answer="yes")
        self._title("A protected one", "db is declared no more as well, but it is protected.")
        self._remove("db")
        self._edit("apps.yaml", "needs: [Container/db, Container/proxy]", "needs: [Container/proxy]")
        yield self._innkeeper("apply", "--prune", "--yes", "--source", "homelab", expected=1)

    def _title(self, title: str, text: str) -> None:
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        typer.echo(f"\n\x1b[1;7m {title} \x1b[0m {text}" if colour else f"\n== {title} == {text}")

    def _innkeeper(self, *words: str, expected: int = 0, answer: str = "") -> bool:
        """Runs the real command, its output untouched."""
        typer.echo(f"$ {'echo ' + answer + ' | ' if answer else ''}innkeeper {' '.join(words)}")
        sys.stdout.flush()
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "innkeeper", *words],
            cwd=self.directory,
            env=_environment(self.secret),
            input=f"{answer}\n" if answer else None,
            text=True,
            check=False,
        )
        if done.returncode != expected:
            typer.echo(f"The demo expected exit status {expected}, not {done.returncode}.", err=True)
            return False
        return True

    def _behind_our_back(self) -> None:
        from innkeeper.model.plan import Operation

        os.environ["PVE_TOKEN_SECRET"] = self.secret
        calls = (
            Operation("", "PUT", "/nodes/{web}/config", (("memory", "2048"), ("cores", "4"))),
            Operation("", "PUT", "/nodes/{proxy}/config", (("nameserver", "8.8.8.8"),)),
            Operation("", "POST", "/nodes/{dns}/status/stop"),
            Operation("", "DELETE", "/nodes/{dns}"),
        )
        for command in asyncio.run(_by_hand(self.directory, calls)):
            typer.echo(f"# {command}")

    def _remove(self, name: str) -> None:
        file = self.directory / "apps.yaml"
        documents = file.read_text(encoding="utf-8").split(_DOCUMENTS)
        left = [text for text in documents if f"metadata: {{name: {name}}}" not in text]
        file.write_text(_DOCUMENTS.join(left), encoding="utf-8")
        typer.echo(f"# {name} is taken out of apps.yaml")

    def _edit(self, file: str, old: str, new: str) -> None:
        path = self.directory / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


async def _by_hand(directory: Path, calls: "tuple[Operation, ...]") -> list[str]:
    """Make these calls as a person beside us would; `{web}` in a path is that guest's. Returns what was done."""
    from dataclasses import replace

    from innkeeper import runtime
    from innkeeper.engine.ports import Scope
    from innkeeper.manifests.loading import load
    from innkeeper.planner.policy import Unreachable

    said: list[str] = []
    async with runtime.connected(load([directory]).declared.clusters) as clusters:
        for hypervisor in clusters.values():
            if isinstance(hypervisor, Unreachable):
                continue
            view = await hypervisor.observe(Scope())
            paths = {str(seen.name): f"{seen.node}/lxc/{seen.vmid}" for seen in view.guests.values()}
            for call in calls:
                path = call.path.format_map(paths)
                await hypervisor.call(replace(call, path=path), "", lambda line: None)
                words = " ".join(f"{name}={value}" for name, value in call.params)
                said.append(f"{call.method} {path} {words}".rstrip())
    return said


@contextmanager
def _simulator(directory: Path, *, real: bool) -> Iterator[str]:
    """A running `pvesim` and the homelab's manifests pointed at it; yields the token's secret."""
    from innkeeper.cli import simulation

    examples = _examples()
    words = ("--backend", "lxc") if real else ()
    with simulation.simulation(examples / "homelab-sim.yaml", "--speed", "real", *words) as simulated:
        _copy(examples / "homelab", directory, simulated.ready, real=real)
        yield simulated.secret


def _examples() -> Path:
    """Inside the installed package, or beside its source."""
    package = Path(__file__).parents[1]
    return next((path for path in (package / "examples", package.parents[1] / "examples") if path.is_dir()), package)


def _copy(examples: Path, directory: Path, ready: Mapping[str, Mapping[str, str]], *, real: bool) -> None:
    directory.mkdir()
    for file in examples.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        text = re.sub(r"endpoints: .*", f"endpoints: [{', '.join(ready['nodes'].values())}]", text)
        text = re.sub(r"caFile: [^}]*", f"caFile: {ready['cafile']}", text)
        if real:  # containers boot what is inside their template, and only Debian's is built here
            text = re.sub(r"template: alpine\S*", "template: debian-12", text)
        (directory / file.name).write_text(text, encoding="utf-8")


def _environment(secret: str) -> dict[str, str]:
    return os.environ | {"PVE_TOKEN_SECRET": secret}
