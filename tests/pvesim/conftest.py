"""Fixtures that start a real `pvesim` and end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.pvesim import running

Start = Callable[..., running.Sim]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(seed, *options)` runs a `pvesim`; all of them end with the test."""
    started: list[running.Sim] = []

    def begin(seed: Mapping[str, Any] | None = running.ONE_NODE, *options: str) -> running.Sim:
        folder = tmp_path / f"sim{len(started)}"
        folder.mkdir()
        started.append(running.start(folder, seed, *options))
        return started[-1]

    yield begin
    for sim in started:
        sim.stop()


@pytest.fixture
def sim(start: Start) -> running.Sim:
    """One node, freshly seeded."""
    return start()


@pytest.fixture
def cluster(start: Start) -> running.Sim:
    """Three nodes with a shared storage, freshly seeded."""
    return start(running.THREE_NODES)
