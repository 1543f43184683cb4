"""Skips, with what is missing, where this machine cannot run containers."""

import shutil

import pytest

from pvesim.backends.lxc import needs
from pvesim.template import build, recipe

LIMIT = 1500


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Packages are installed for real, and the first of these tests may have to build the template."""
    for item in items:
        if "tests/innkeeper/inside" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def template() -> None:
    if shutil.which("git") is None:
        pytest.skip("needs: git")
    try:
        needs.require()
        build.build(recipe.find("debian-12"))
    except (needs.NeedsError, recipe.RecipeError) as error:
        pytest.skip(f"needs: {str(error).removeprefix('needs: ')}")
