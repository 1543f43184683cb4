"""Sign-in through a provider: who is believed, who becomes what, and everything that must fail."""

import io
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import RSAKey

from innkeeper.model.server import Oidc
from innkeeper.web.oidc import Provider
from tests.innkeeper.web.provider import CLIENT, SECRET, Idp, provider
from tests.innkeeper.web.serving import PASSWORD, Served, cookie, serving

ADA = {"sub": "42", "preferred_username": "ada", "groups": ["staff", "lab-admins"]}


@pytest.fixture
def idp() -> Iterator[Idp]:
    with provider() as running:
        running.claims = dict(ADA)
        yield running


@pytest.fixture
async def portal(tmp_path: Path, idp: Idp) -> AsyncIterator[Served]:
    spec = Oidc.model_validate(
        {
            "name": "forge",
            "issuer": idp.issuer,
            "clientID": CLIENT,
            "clientSecret": {"env": "UNUSED"},
            "roles": {"admin": ("lab-admins",), "operator": ("lab-operators",), "viewer": ("staff",)},
        }
    )

    async def trust() -> ssl.SSLContext:
        return ssl.create_default_context()

    async with serving(tmp_path, providers={"forge": Provider(spec, lambda: SECRET, trust)}) as served:
        yield served


async def begin(browser: httpx2.AsyncClient, path: str = "/sign-in/forge") -> str:
    answer = await browser.get(path)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


async def come_back(
    portal: Served, idp: Idp, path: str = "/sign-in/forge"
) -> tuple[httpx2.AsyncClient, httpx2.Response]:
    browser = portal.browser()
    back = idp.authorize(await begin(browser, path))
    return browser, await browser.get(back)


async def test_whoever_the_provider_names_is_in(portal: Served, idp: Idp) -> None:
    browser, answer = await come_back(portal, idp, "/sign-in/forge?next=/guests")
    assert (answer.status_code, answer.headers["location"]) == (303, "/guests")
    assert (await browser.get("/api/v1/me")).json() == {"name": "ada", "role": "admin"}
    user = await portal.accounts.user("ada")
    assert user is not None and user.subject == f"{idp.issuer}|42"
    assert not cookie(browser, "oidc")
    assert "/sign-in/forge" in (await portal.browser().get("/sign-in")).text


async def test_the_role_follows_the_claim_at_every_sign_in(portal: Served, idp: Idp) -> None:
    await portal.user("root", "admin")
    first, _ = await come_back(portal, idp)
    idp.claims["groups"] = ["staff"]
    second, _ = await come_back(portal, idp)
    assert (await second.get("/api/v1/me")).json()["role"] == "viewer"
    assert (await first.get("/api/v1/me")).status_code == 401, "sessions of the greater role are over"
    idp.claims["groups"] = ["others"]
    _, refused = await come_back(portal, idp)
    assert refused.status_code == 403 and "no role here" in refused.text


async def test_a_name_is_not_an_identity(portal: Served, idp: Idp) -> None:
    local = await portal.user("ada", "admin")
    idp.claims["groups"] = ["staff"]
    browser, _ = await come_back(portal, idp)
    assert (await browser.get("/api/v1/me")).json() == {"name": "ada@forge", "role": "viewer"}
    assert (await portal.accounts.by_password("ada", PASSWORD)).id == local  # type: ignore[union-attr]


async def test_who_is_disabled_here_stays_out(portal: Served, idp: Idp) -> None:
    await portal.user("root", "admin")
    await come_back(portal, idp)
    await portal.accounts.update_user((await portal.accounts.user("ada")).id, disabled=True)  # type: ignore[union-attr]
    browser, refused = await come_back(portal, idp)
    assert refused.status_code == 403 and "disabled" in refused.text
    assert (await browser.get("/api/v1/me")).status_code == 401


async def test_groups_may_come_from_userinfo_of_the_same_person(portal: Served, idp: Idp) -> None:
    del idp.claims["groups"]
    idp.userinfo = {"sub": "42", "groups": ["lab-operators"]}
    browser, _ = await come_back(portal, idp)
    assert (await browser.get("/api/v1/me")).json()["role"] == "operator"
    idp.userinfo["sub"] = "1"
    _, refused = await come_back(portal, idp)
    assert refused.status_code == 403


SPOILT: tuple[dict[str, object], ...] = (
    {"iss": "https://evil.example"},
    {"aud": "another-application"},
    {"aud": [CLIENT, "other"], "azp": "other"},
    {"nonce": "replayed"},
    {"nonce": None},
    {"exp": int(time.time()) - 600},
    {"exp": None},
    {"sub": None},
    {"iat": int(time.time()) + 6000},
)


async def test_a_token_that_is_not_for_us_now_is_refused(portal: Served, idp: Idp) -> None:
    portal.clock.stopped = portal.clock()
    for spoil in SPOILT:
        idp.spoil = spoil
        browser, refused = await come_back(portal, idp)
        assert refused.status_code == 403 and not cookie(browser, "session"), spoil
    assert not await portal.accounts.users()


async def test_a_token_by_another_key_is_refused(portal: Served, idp: Idp) -> None:
    idp.signing = RSAKey.generate_key(2048, {"kid": "one"})
    _, refused = await come_back(portal, idp)
    assert refused.status_code == 403 and "ID token" in refused.text


async def test_an_answer_is_good_in_the_browser_that_asked_and_once(portal: Served, idp: Idp) -> None:
    attacker = portal.browser()
    back = idp.authorize(await begin(attacker))
    victim = portal.browser()
    assert (await victim.get(back)).status_code == 403, "a link that was sent to somebody signs nobody in"
    await begin(victim)
    assert (await victim.get(back)).status_code == 403, "not in another attempt of theirs either"
    assert (await attacker.get(back)).status_code == 303
    assert (await attacker.get(back)).status_code == 403


async def test_another_providers_answer_is_not_taken(portal: Served, idp: Idp) -> None:
    browser = portal.browser()
    back = idp.authorize(await begin(browser)).replace(
        idp.issuer.replace(":", "%3A").replace("/", "%2F"), "https%3A%2F%2Fevil"
    )
    assert (await browser.get(back)).status_code == 403


async def test_what_is_sent_to_the_provider(portal: Served, idp: Idp) -> None:
    query = parse_qs(urlsplit(await begin(portal.browser())).query)
    assert query["code_challenge_method"] == ["S256"] and len(query["state"][0]) > 30 and len(query["nonce"][0]) > 30
    assert query["redirect_uri"] == [f"{portal.url}/sign-in/forge/callback"]


async def test_a_provider_that_is_down_is_a_wait(portal: Served, idp: Idp) -> None:
    idp.down = True
    answer = await portal.browser().get("/sign-in/forge")
    assert answer.status_code == 503 and "forge answers 500" in answer.text
    assert (await portal.browser().get("/sign-in/nobody")).status_code == 404


async def test_nothing_of_it_is_logged(portal: Served, idp: Idp, log: io.StringIO) -> None:
    browser = portal.browser()
    back = idp.authorize(await begin(browser))
    await browser.get(back)
    written = log.getvalue()
    assert "/sign-in/forge/callback" in written
    for secret in (SECRET, parse_qs(urlsplit(back).query)["code"][0], cookie(browser, "session")):
        assert secret and secret not in written
