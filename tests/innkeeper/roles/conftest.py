"""One laboratory for all; skipped, with what is missing, where this machine cannot run containers."""

from collections.abc import Iterator

import pytest

from pvesim.backends.lxc import needs
from pvesim.template import build, recipe
from tests.innkeeper.roles.lab import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Packages are installed for real, and the first of these tests may have to build the template."""
    for item in items:
        if "lab" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(1200))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    try:
        needs.require()
        build.build(recipe.find("debian-12"))
    except (needs.NeedsError, recipe.RecipeError) as error:
        pytest.skip(f"needs: {str(error).removeprefix('needs: ')}")
    made = Lab.open(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()
