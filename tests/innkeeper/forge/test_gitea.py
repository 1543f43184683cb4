"""Against a real Gitea."""

import pytest
from pydantic import SecretStr

from innkeeper.control.ports import Forge
from innkeeper.engine.errors import Conflict, Stalled
from innkeeper.forge.forges import forge_of
from innkeeper.model.diagnostics import Location
from innkeeper.model.objects import Origin, SecretSource
from innkeeper.model.sources import Source, SourceSpec
from tests.innkeeper.forge.giteaserver import Gitea

RIGHTS = ("write:repository", "write:issue", "read:user")


@pytest.fixture
def repository(gitea_server: Gitea) -> str:
    return gitea_server.repository()


def forge(server: Gitea, repository: str, token: str) -> Forge:
    spec = {"url": f"{server.url}/{repository}.git", "forge": {"type": "gitea", "token": {"env": "TOKEN"}}}
    source = Source("home", SourceSpec.model_validate(spec), Origin(Location("server.yaml")))

    def read(secret: SecretSource) -> SecretStr:
        assert secret.env == "TOKEN"
        return SecretStr(token)

    found = forge_of(source, read)
    assert found is not None
    return found


async def test_a_status_on_a_commit(gitea_server: Gitea, repository: str) -> None:
    bot = forge(gitea_server, repository, gitea_server.token(scopes=RIGHTS))
    revision = gitea_server.write(repository, "web.yaml", "a: 1\n")
    await bot.status(revision, "pending", "planning", "")
    await bot.status(revision, "success", "1 to create" + "!" * 500, "https://innkeeper.example.org/jobs/1")
    state, context, text, url = gitea_server.statuses(repository, revision)[0]
    assert (state, context, url) == ("success", "innkeeper/home", "https://innkeeper.example.org/jobs/1")
    assert text.startswith("1 to create!")


async def test_one_comment_is_kept_and_found_again(gitea_server: Gitea, repository: str) -> None:
    token = gitea_server.token(scopes=RIGHTS)
    gitea_server.write(repository, "web.yaml", "a: 1\n", new="change")
    pull = gitea_server.pull(repository, "change")
    await forge(gitea_server, repository, token).comment(pull, "first <b>text</b>", "plan/home")
    await forge(gitea_server, repository, token).comment(pull, "another", "plan/lab")
    (first, author, body), (other, _, _) = gitea_server.comments(repository, pull)
    assert author == "boss"
    assert body.startswith("first")

    await forge(gitea_server, repository, token).comment(pull, "second", "plan/home")
    comments = {number: body for number, _, body in gitea_server.comments(repository, pull)}
    assert set(comments) == {first, other}
    assert comments[first].startswith("second")
    assert comments[other].startswith("another")


async def test_a_stranger_who_knows_the_marker_owns_nothing(gitea_server: Gitea, repository: str) -> None:
    mallory = gitea_server.user("mallory")
    bot = forge(gitea_server, repository, gitea_server.token(scopes=RIGHTS))
    gitea_server.write(repository, "web.yaml", "a: 1\n", new="change")
    pull = gitea_server.pull(repository, "change")
    theirs = {"body": "all is well\n\n<!-- innkeeper:plan/home -->"}
    gitea_server.call("POST", f"/repos/{repository}/issues/{pull}/comments", theirs, user=mallory)
    await bot.comment(pull, "a plan", "plan/home")
    assert [(author, body) for _, author, body in gitea_server.comments(repository, pull)] == [
        (mallory, theirs["body"]),
        ("boss", "a plan\n\n<!-- innkeeper:plan/home -->"),
    ]


async def test_text_that_ends_like_another_marker_does_not_take_its_place(gitea_server: Gitea, repository: str) -> None:
    bot = forge(gitea_server, repository, gitea_server.token(scopes=RIGHTS))
    gitea_server.write(repository, "web.yaml", "a: 1\n", new="change")
    pull = gitea_server.pull(repository, "change")
    await bot.comment(pull, "holds <!-- innkeeper:plan/home -->", "plan/lab")
    await bot.comment(pull, "home", "plan/home")
    assert len(gitea_server.comments(repository, pull)) == 2


async def test_a_pull_request_is_opened_once(gitea_server: Gitea, repository: str) -> None:
    bot = forge(gitea_server, repository, gitea_server.token(scopes=RIGHTS))
    gitea_server.write(repository, "web.yaml", "a: 1\n", new="innkeeper/web")
    number, url = await bot.open_pull("innkeeper/web", "Create web", "from the form")
    assert url == f"{gitea_server.url}/{repository}/pulls/{number}"
    assert gitea_server.call("GET", f"/repos/{repository}/pulls/{number}")["base"]["ref"] == "main"
    with pytest.raises(Conflict):
        await bot.open_pull("innkeeper/web", "Create web", "from the form")


async def test_a_token_that_may_not_and_one_that_is_none(gitea_server: Gitea, repository: str) -> None:
    reader = gitea_server.token(scopes=("read:repository",))
    revision = gitea_server.write(repository, "web.yaml", "a: 1\n")
    with pytest.raises(Stalled, match="needs read and write for repository and issue") as refused:
        await forge(gitea_server, repository, reader).status(revision, "success", "x", "")
    assert reader not in str(refused.value)
    with pytest.raises(Stalled, match="make a new one"):
        await forge(gitea_server, repository, "0" * 40).status(revision, "success", "x", "")
    with pytest.raises(Stalled, match=r"check forge\.url and forge\.repository"):
        await forge(gitea_server, "boss/none", gitea_server.token(scopes=RIGHTS)).comment(1, "x", "plan/home")
