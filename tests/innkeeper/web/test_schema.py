"""The whole API as each role, over a portal without clusters; `test_schema_deep.py` has one with all that there is."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

import pytest

from innkeeper.model.jobs import Request
from innkeeper.model.records import ROLES, Role
from tests.innkeeper.web.fuzz import fuzz
from tests.innkeeper.web.serving import serving

EXAMPLES = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A portal in a thread of its own: its address, and a token of each role."""
    ready: Future[tuple[str, dict[str, str]]] = Future()
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def run() -> None:
        folder: Path = tmp_path_factory.mktemp("schema")
        async with serving(folder) as portal:
            tokens: dict[str, str] = {}
            for role in ROLES:
                user = await portal.user(role, role)
                tokens[role] = (await portal.accounts.add_token(user, "fuzz", role))[1]
            for _ in range(3):
                job = await portal.store.add_job(Request("sync", "lab"))
                await portal.store.log(job.id, "info", "a line")
            ready.set_result((portal.url, tokens))
            await ended.wait()

    thread = Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    yield ready.result(30)
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


@pytest.mark.parametrize("role", ROLES)
def test_nothing_breaks_and_nothing_slips(server: tuple[str, dict[str, str]], role: Role) -> None:
    url, tokens = server
    fuzz(url, tokens[role], role, EXAMPLES)
