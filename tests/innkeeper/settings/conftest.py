"""One simulator of each version for all tests here."""

from collections.abc import Iterator

import pytest

from tests.innkeeper.settings.laboratory import Laboratory, open_laboratory


@pytest.fixture(scope="session", params=["9.1.9", "8.4.21"])
def laboratory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    made = open_laboratory(tmp_path_factory.mktemp("pvesim"), request.param)
    yield made
    if made.connection:
        made.connection.close()
    made.sim.stop()
