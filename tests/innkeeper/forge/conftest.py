from collections.abc import Iterator

import pytest

from tests.innkeeper.forge.giteaserver import Gitea, Missing, running


@pytest.fixture(scope="session")
def gitea_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitea]:
    """One for all tests: each makes a repository of its own."""
    try:
        with running(tmp_path_factory.mktemp("gitea")) as server:
            yield server
    except Missing as missing:
        pytest.skip(f"needs: {missing}")
