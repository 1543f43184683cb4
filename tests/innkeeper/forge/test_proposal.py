"""A form's change as a pull request on a real Gitea: a branch is pushed with git, and proposed."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from innkeeper.control.committing import commit
from innkeeper.control.house import House
from innkeeper.control.running import Outcome, running
from innkeeper.engine.errors import Stalled
from innkeeper.forge.forges import forge_of
from innkeeper.model.diagnostics import Location
from innkeeper.model.jobs import Request
from innkeeper.model.objects import Origin
from innkeeper.model.plan import Json
from innkeeper.model.server import ServerSpec
from innkeeper.model.sources import Source, SourceSpec
from innkeeper.sources.git import GitRepository
from innkeeper.sources.gitcommand import Login
from innkeeper.store import open_store
from innkeeper.store.bus import LocalBus
from tests.innkeeper.forge.giteaserver import Gitea

FILES: list[Json] = [{"path": "guests/web.yaml", "text": "a: 1\n"}]


@pytest.fixture
def repository(gitea_server: Gitea) -> str:
    return gitea_server.repository()


@pytest.fixture
async def house(gitea_server: Gitea, repository: str, tmp_path: Path) -> AsyncIterator[House]:
    token = gitea_server.token(scopes=("write:repository", "write:issue", "read:user"))
    spec = {"url": f"{gitea_server.url}/{repository}.git", "forge": {"type": "gitea", "token": {"env": "TOKEN"}}}
    source = Source("home", SourceSpec.model_validate({**spec, "write": "guests"}), Origin(Location("server.yaml")))
    forge = forge_of(source, lambda secret: SecretStr(token))
    assert forge is not None
    store, _ = await open_store(tmp_path)
    yield House(
        sources={"home": source},
        clusters={},
        server=ServerSpec(),
        store=store,
        queue=cast(Any, None),
        bus=LocalBus(),
        links=cast(Any, None),
        insides=cast(Any, None),
        repositories={"home": GitRepository("home", source.spec.url, tmp_path, login=Login("boss", token))},
        now=lambda: datetime.now(UTC),
        forges={"home": forge},
    )
    await store.close()


async def proposed(house: House, **payload: Json) -> Outcome:
    message = "Create web\n\nAsked for in the portal."
    said: Mapping[str, Json] = {"files": FILES, "below": "guests", "message": message, "pull": True, **payload}
    job = await house.store.add_job(Request("commit", "home", trigger="portal", actor="kate", payload=said))
    async with running(house, job, asyncio.Event()) as run:
        return await commit(run)


async def test_a_form_s_change_is_proposed(house: House, gitea_server: Gitea, repository: str) -> None:
    outcome = await proposed(house)
    number = outcome.result["pull"]
    pull = gitea_server.call("GET", f"/repos/{repository}/pulls/{number}")
    assert (pull["title"], pull["body"]) == ("Create web", "Asked for in the portal.")
    assert (pull["base"]["ref"], pull["head"]["sha"]) == ("main", outcome.revision)
    assert outcome.result["url"] == f"{gitea_server.url}/{repository}/pulls/{number}"
    file = gitea_server.call("GET", f"/repos/{repository}/contents/guests/web.yaml?ref={pull['head']['ref']}")
    assert base64.b64decode(file["content"]) == b"a: 1\n"
    made = gitea_server.call("GET", f"/repos/{repository}/git/commits/{outcome.revision}")
    assert made["commit"]["author"]["name"] == "kate"
    files = [
        item["path"] for item in gitea_server.call("GET", f"/repos/{repository}/git/trees/main?recursive=1")["tree"]
    ]
    assert files == ["README.md"]


async def test_nothing_is_proposed_outside_the_approved_path(
    house: House, gitea_server: Gitea, repository: str
) -> None:
    for path in ("web.yaml", "guests/../web.yaml", ".git/config", "/etc/passwd"):
        with pytest.raises(Stalled):
            await proposed(house, files=[{"path": path, "text": "a: 1\n"}])
    assert gitea_server.call("GET", f"/repos/{repository}/pulls") == []
    assert [item["name"] for item in gitea_server.call("GET", f"/repos/{repository}/branches")] == ["main"]
