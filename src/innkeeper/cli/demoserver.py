"""`innkeeper demo --serve`: the portal on a simulated cluster, with a local git repository; no configuration."""

import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import typer

_SETTINGS = """\
---
apiVersion: innkeeper.dev/v1alpha1
kind: Source
metadata: {{name: homelab}}
spec: {{url: {url}, interval: 5s, prune: true, write: guests}}
"""


def serve(examples: Path, listen: str) -> None:
    """Until Ctrl-C; nothing is left behind."""
    from innkeeper.cli import simulation
    from innkeeper.serving.server import serve as run
    from innkeeper.serving.settings import read_settings

    place = Path(tempfile.mkdtemp(prefix="innkeeper-demo-"))
    try:
        with simulation.simulation(examples / "homelab-sim.yaml", "--speed", "real") as simulated:
            os.environ["PVE_TOKEN_SECRET"] = simulated.secret
            logging.disable(logging.INFO)  # a person reads this terminal
            config = _prepare(examples / "homelab", place, simulated.cluster)
            run(read_settings(place / "data", config, "", os.environ), listen, lambda ready: _told(ready, place))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _prepare(homelab: Path, place: Path, cluster: Mapping[str, object]) -> Path:
    """The homelab in a repository that can be pushed to, and a configuration that follows it."""
    from innkeeper.manifests.writing import manifest, to_yaml

    work, bare = place / "work", place / "homelab.git"
    (work / "guests").mkdir(parents=True)
    for file in homelab.glob("*.yaml"):
        if file.name != "cluster.yaml":
            shutil.copy(file, work / "guests" / file.name)
    _git(place, "init", "-q", "--bare", "-b", "main", str(bare))
    _git(work, "init", "-q", "-b", "main")
    _git(work, "add", "-A")
    _git(work, "commit", "-q", "-m", "A homelab: five containers, two virtual machines")
    _git(work, "push", "-q", str(bare), "main")
    spec = {**cluster, "defaults": {"storage": "fast", "bridge": "vmbr0", "template": "debian-12"}}
    config = place / "server.yaml"
    text = to_yaml([manifest("Cluster", "home", spec)]) + _SETTINGS.format(url=bare)
    config.write_text(text, encoding="utf-8")
    return config


def _git(place: Path, *words: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", "-C", str(place), *identity, *words], check=True, capture_output=True)  # noqa: S603, S607


def _told(ready: Mapping[str, object], place: Path) -> None:
    typer.echo(f"The portal: {ready['setup'] or ready['url']}  (this link makes the first admin)")
    typer.echo(f"Its repository: git clone {place / 'homelab.git'}; push to main, and watch. Ctrl-C ends the demo.")
