"""Gitea is an OpenID Connect provider, too: people come in with the account that they have where the repository is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import pytest

from innkeeper.model.server import Oidc
from innkeeper.web.oidc import Provider
from tests.innkeeper.forge.giteaserver import Gitea
from tests.innkeeper.web.serving import Served, serving


@pytest.fixture
def team(gitea_server: Gitea) -> str:
    """An organization with a team `keepers`; its name."""
    name = gitea_server.organization()
    body = {"name": "keepers", "permission": "read", "units": ["repo.code"]}
    gitea_server.call("POST", f"/orgs/{name}/teams", body)
    return name


@pytest.fixture
async def portal(gitea_server: Gitea, team: str, tmp_path: Path) -> AsyncIterator[Served]:
    """Whoever is in the team is an operator; whoever is not has no role."""
    providers: dict[str, Provider] = {}
    async with serving(tmp_path, providers=providers) as served:
        client, secret = gitea_server.provider(f"{served.url}/sign-in/gitea/callback")
        spec: dict[str, Any] = {
            "name": "gitea",
            "issuer": gitea_server.url,
            "clientID": client,
            "clientSecret": {"env": "SECRET"},
            "roles": {"operator": (f"{team}:keepers",)},
        }

        async def trust() -> Any:
            return httpcore2.default_ssl_context()

        providers["gitea"] = Provider(Oidc.model_validate(spec), lambda: secret, trust)
        yield served


def join(server: Gitea, team: str, user: str) -> None:
    number = server.call("GET", f"/orgs/{team}/teams/search?q=keepers")["data"][0]["id"]
    server.call("PUT", f"/teams/{number}/members/{user}")


async def come_in(server: Gitea, browser: httpx2.AsyncClient, user: str) -> httpx2.Response:
    begun = await browser.get("/sign-in/gitea", params={"next": "/guests"})
    assert begun.status_code in (302, 303), begun.text
    back = server.consent(begun.headers["location"], user=user)
    return await browser.get(back)


async def test_a_member_of_the_team_is_an_operator(gitea_server: Gitea, team: str, portal: Served) -> None:
    user = gitea_server.user("kate")
    join(gitea_server, team, user)
    browser = portal.browser()
    answer = await come_in(gitea_server, browser, user)
    assert (answer.status_code, answer.headers["location"]) == (303, "/guests")
    account = next(item for item in await portal.accounts.users() if item.name == user)
    assert account.role == "operator"
    assert account.subject.startswith(f"{gitea_server.url}|")

    again = await come_in(gitea_server, portal.browser(), user)
    assert again.status_code == 303
    assert len(await portal.accounts.users()) == 1


async def test_nobody_comes_in_without_the_team(gitea_server: Gitea, portal: Served) -> None:
    user = gitea_server.user("mallory")
    answer = await come_in(gitea_server, portal.browser(), user)
    assert answer.status_code == 403
    assert "has no role here" in answer.text
    assert await portal.accounts.users() == ()


async def test_another_browser_cannot_finish_what_this_one_began(
    gitea_server: Gitea, team: str, portal: Served
) -> None:
    user = gitea_server.user("kate")
    join(gitea_server, team, user)
    begun = await portal.browser().get("/sign-in/gitea")
    back = gitea_server.consent(begun.headers["location"], user=user)
    assert (await portal.browser().get(back)).status_code == 403
    assert await portal.accounts.users() == ()
