"""Who gets in, how, and who does not."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.exceptions import HTTPException

from innkeeper.web.limits import MAX_KEYS, Limiter
from innkeeper.web.signin import local
from tests.innkeeper.web.serving import PASSWORD, Clock, Served, cookie, form_token, serving, sign_in


async def test_the_one_time_link_makes_the_first_admin_once(portal: Served) -> None:
    secret = await portal.accounts.setup_secret()
    browser = portal.browser()
    csrf = await form_token(browser, f"/setup?secret={secret}")
    form = {"secret": secret, "name": "ada", "password": PASSWORD, "csrf": csrf}

    short = await browser.post("/setup", data=form | {"password": "short"})
    assert short.status_code == 422 and "characters" in short.text
    wrong = await browser.post("/setup", data=form | {"secret": "guessed"})
    assert wrong.status_code == 403
    made = await browser.post("/setup", data=form)
    assert (made.status_code, made.headers["location"]) == (303, "/")
    assert (await browser.get("/api/v1/me")).json() == {"name": "ada", "role": "admin"}

    other = portal.browser()
    again = await other.post("/setup", data=form | {"name": "eve", "csrf": await form_token(other, "/setup")})
    assert again.status_code == 403
    assert [user.name for user in await portal.accounts.users()] == ["ada"]


async def test_a_password_opens_a_new_session(portal: Served) -> None:
    await portal.user("ada", "operator")
    browser = portal.browser()
    assert (await browser.get("/api/v1/me")).status_code == 401
    refused = await sign_in(browser, "ada", "wrong password")
    assert refused.status_code == 401 and "do not go together" in refused.text
    answer = await sign_in(browser, "ada", next="/guests?sync=OutOfSync")
    assert (answer.status_code, answer.headers["location"]) == (303, "/guests?sync=OutOfSync")
    assert (await browser.get("/api/v1/me")).json() == {"name": "ada", "role": "operator"}
    entries = [(entry.action, entry.detail) for entry in await portal.store.audits()]
    assert entries == [("sign-in", "password"), ("sign-in refused", "password")]


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    async with serving(tmp_path, url="https://innkeeper.example.org") as portal:
        await portal.user("ada", "viewer")
        browser = portal.browser()
        page = await browser.get("/sign-in")
        # httpx keeps Secure cookies back from http; a proxy that ends TLS is what stands here.
        form = page.cookies["__Host-innkeeper-form"]
        answer = await browser.post(
            "/sign-in",
            data={"name": "ada", "password": PASSWORD, "csrf": form},
            headers={"cookie": f"__Host-innkeeper-form={form}", "origin": "https://innkeeper.example.org"},
        )
        assert answer.status_code == 303
        set_cookie = next(item for item in answer.headers.get_list("set-cookie") if "session" in item)
        name, *attributes = set_cookie.split("; ")
        assert name.startswith("__Host-innkeeper-session=")
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= set(attributes)
        assert not any(item.lower().startswith("domain") for item in attributes)
        assert page.headers["strict-transport-security"].startswith("max-age=")


async def test_a_session_that_was_planted_is_not_taken_over(portal: Served) -> None:
    await portal.user("eve", "viewer")
    await portal.user("ada", "admin")
    attacker = portal.browser()
    await sign_in(attacker, "eve")
    planted = cookie(attacker, "session")

    victim = portal.browser()
    victim.cookies.set("innkeeper-session", planted, domain="127.0.0.1", path="/")
    csrf = (await portal.accounts.session(planted)).csrf  # type: ignore[union-attr]
    answer = await victim.post("/sign-in", data={"name": "ada", "password": PASSWORD, "csrf": csrf})
    assert answer.status_code == 303
    assert (await victim.get("/api/v1/me")).json()["name"] == "ada"
    assert cookie(victim, "session") != planted
    assert await portal.accounts.session(planted) is None


async def test_signing_out_ends_the_session_itself(portal: Served) -> None:
    browser = await portal.signed_in("ada", "viewer")
    kept = cookie(browser, "session")
    session = await portal.accounts.session(kept)
    assert session is not None
    assert (await browser.post("/sign-out", data={"csrf": "guessed"})).status_code == 403
    left = await browser.post("/sign-out", data={"csrf": session.csrf})
    assert (left.status_code, left.headers["location"]) == (303, "/sign-in")
    thief = portal.browser()
    thief.cookies.set("innkeeper-session", kept, domain="127.0.0.1", path="/")
    assert (await thief.get("/api/v1/me")).status_code == 401


ELSEWHERE = (
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "javascript:alert(1)",
    "/ok\n//evil.example",
    "/%0d\t/evil",
    "",
    "guests",
    "http:/evil",
)


async def test_next_never_leads_elsewhere(portal: Served) -> None:
    browser = await portal.signed_in("ada", "viewer")
    for target in ELSEWHERE:
        assert local(target) == "/"
        assert (await browser.get(f"/sign-in?next={quote(target)}")).headers["location"] == "/"


def test_next_leads_to_our_own_pages() -> None:
    assert local("/guests?text=a%20b&sync=Synced") == "/guests?text=a%20b&sync=Synced"


async def test_a_page_leads_to_sign_in_and_back(portal: Served) -> None:
    answer = await portal.browser().get("/api/v1/me", headers={"accept": "text/html"})
    assert answer.status_code == 401, "the API never redirects"


async def test_guessing_is_slowed_down_per_user_and_per_address(portal: Served) -> None:
    await portal.user("ada", "admin")
    portal.clock.stopped = portal.clock()
    browser = portal.browser()
    csrf = await form_token(browser)

    async def guess(name: str, password: str) -> int:
        form = {"name": name, "password": password, "csrf": csrf}
        return (await browser.post("/sign-in", data=form)).status_code

    spelt = ("ada", "Ada", "ADA", " ada ", "ａｄａ")
    assert [await guess(spelt[n % 5], f"guess number {n}") for n in range(10)] == [401] * 10
    assert await guess("ada", PASSWORD) == 429, "the right one is not told from the wrong ones any more"
    assert [await guess(f"user{n}", "some password") for n in range(9)] == [401] * 9
    limited = await browser.post("/sign-in", data={"name": "new", "password": "x", "csrf": csrf})
    assert limited.status_code == 429 and int(limited.headers["retry-after"]) >= 1
    portal.clock.ahead += timedelta(minutes=6)
    csrf = await form_token(browser)
    assert await guess("ada", PASSWORD) == 303


async def test_local_passwords_can_be_switched_off(tmp_path: Path) -> None:
    async with serving(tmp_path, server={"signIn": {"local": False}}) as portal:
        await portal.user("ada", "admin")
        browser = portal.browser()
        assert 'name="password"' not in (await browser.get("/sign-in")).text
        assert (await sign_in(browser, "ada")).status_code == 403


async def test_a_disabled_user_is_out_at_once(portal: Served) -> None:
    browser = await portal.signed_in("ada", "viewer")
    program = await portal.token("operator", "grace")
    for name in ("ada", "grace"):
        user = await portal.accounts.user(name)
        assert user is not None
        await portal.accounts.update_user(user.id, disabled=True)
    assert (await browser.get("/api/v1/me")).status_code == 401
    assert (await program.get("/api/v1/me")).status_code == 401


async def test_sessions_and_tokens_end(portal: Served) -> None:
    browser = await portal.signed_in("ada", "viewer")
    user = await portal.user("grace", "viewer")
    _, secret = await portal.accounts.add_token(user, "short", "viewer", 3600)
    bearer = {"authorization": f"Bearer {secret}"}
    assert (await portal.browser().get("/api/v1/me", headers=bearer)).status_code == 200
    portal.clock.ahead += timedelta(hours=13)
    assert (await browser.get("/api/v1/me")).status_code == 401
    assert (await portal.browser().get("/api/v1/me", headers=bearer)).status_code == 401


async def test_a_bad_token_is_not_passed_over_for_a_session(portal: Served) -> None:
    browser = await portal.signed_in("ada", "viewer")
    assert (await browser.get("/api/v1/me", headers={"authorization": "Bearer ink_guessed"})).status_code == 401


def test_what_is_remembered_of_tries_is_bounded() -> None:
    limiter = Limiter(1, 60, Clock())
    for number in range(MAX_KEYS + 100):
        limiter.take(f"198.51.100.{number}")
    assert len(limiter._buckets) == MAX_KEYS
    with pytest.raises(HTTPException):
        limiter.take(f"198.51.100.{MAX_KEYS + 99}")
    limiter.take("198.51.100.0")
