"""A cluster for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.innkeeper.formats.world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    home = tmp_path / "world"
    home.mkdir()
    async with running(home) as made:
        yield made
