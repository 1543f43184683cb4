"""One `pvesim` a module for clients that others wrote; they trust its CA where they can."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.pvesim import running

IMAGE = "local:import/debian-12.qcow2"
SEED: dict[str, Any] = running.ONE_NODE | {
    "volumes": [*running.ONE_NODE["volumes"], {"volid": IMAGE, "size": 2 * 2**30}],
    "pools": [{"poolid": "apps"}],
    "acl": [{"path": "/vms", "roleid": "PVEAuditor", "ugid": "alice@pve"}],
}


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[running.Sim]:
    started = running.start(tmp_path_factory.mktemp("sim"), SEED)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def place(sim: running.Sim) -> tuple[str, int]:
    """Host and port of its first node."""
    url = urlsplit(next(iter(sim.urls.values())))
    assert url.hostname and url.port
    return url.hostname, url.port
