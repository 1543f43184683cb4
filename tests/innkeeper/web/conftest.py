"""A portal for every test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.innkeeper.web.serving import Served, serving


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served
