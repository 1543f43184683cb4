"""A portal for every test that asks for one, and what it logged."""

import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog

from innkeeper.web import logs
from tests.innkeeper.web.serving import Served, serving


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """All that the server writes, as it writes it when it is deployed."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    written = io.StringIO()
    logs.configure(written)
    yield written
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
async def portal(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as served:
        yield served
