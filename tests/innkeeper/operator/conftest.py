"""One API server for all of the operator's tests."""

from collections.abc import Iterator

import pytest

from tests.innkeeper.operator.controlplane import ControlPlane, Missing, parts


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    try:
        binaries = parts()
    except Missing as missing:
        pytest.skip(f"needs: {missing}")
    users = {"operator": ("operator-token", "innkeeper")}
    plane = ControlPlane(tmp_path_factory.mktemp("kubernetes"), binaries, users)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
