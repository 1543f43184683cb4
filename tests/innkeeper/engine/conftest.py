"""A lab for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.innkeeper.engine.lab import Lab, running


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with running(tmp_path) as made:
        yield made
