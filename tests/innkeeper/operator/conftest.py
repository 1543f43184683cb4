"""One API server for all of the operator's tests; an empty Proxmox and no objects for each."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.innkeeper.operator.controlplane import ControlPlane, Missing, parts
from tests.innkeeper.operator.world import SEED, World
from tests.pvesim.running import start


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    try:
        binaries = parts()
    except Missing as missing:
        pytest.skip(f"needs: {missing}")
    plane = ControlPlane(tmp_path_factory.mktemp("kubernetes"), binaries)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def definitions(kubernetes: ControlPlane) -> ControlPlane:
    """The API server with our kinds."""
    printed = subprocess.run([sys.executable, "-m", "innkeeper", "crds"], capture_output=True, text=True, check=True)
    kubernetes.kubectl("apply", "--server-side", "-f", "-", given=printed.stdout)
    kubernetes.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    return kubernetes


@pytest.fixture
def world(definitions: ControlPlane, tmp_path: Path) -> Iterator[World]:
    sim = start(tmp_path, SEED)
    made = World(definitions, sim, tmp_path)
    try:
        yield made
    finally:
        made.close()
        made.sim.stop()
        made.forget()
