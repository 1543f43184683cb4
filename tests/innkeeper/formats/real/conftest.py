"""Skips, with what is missing, where this machine cannot run containers."""

import pytest

from pvesim.backends.lxc import needs
from pvesim.template import build, recipe


@pytest.fixture(scope="session")
def template() -> None:
    try:
        needs.require()
        build.build(recipe.find("debian-12"))
    except (needs.NeedsError, recipe.RecipeError) as error:
        pytest.skip(f"needs: {str(error).removeprefix('needs: ')}")
