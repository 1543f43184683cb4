"""Every route of the application against every kind of caller; the routes are asked of the application itself."""

import re
import secrets
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from fastapi import APIRouter

from innkeeper.model.records import ROLES
from innkeeper.web import pages
from innkeeper.web.app import create_app
from innkeeper.web.deps import Least, table
from tests.innkeeper.web.serving import Served, cookie, serving

REFUSED = (401, 403)
OWN_RULES = ("/hooks/", "/whlisten", "/sign-in", "/setup")
"""Open to anyone, and refusing by themselves: tested where they live."""
VALUES = {"kind": "Container", "job": "1", "user": "999", "token": "999", "drift": "1"}


OURS = "the session's own token"
FORGED: tuple[Mapping[str, str], ...] = (
    {},
    {"x-csrf-token": "guessed"},
    {"x-csrf-token": OURS, "origin": "null"},
    {"x-csrf-token": OURS, "origin": "https://evil.example"},
    {"x-csrf-token": OURS, "sec-fetch-site": "cross-site"},
)


def routes(portal: Served) -> Iterator[tuple[str, str, Least]]:
    """Method, a path that fits the route, and its least role."""
    for (method, path), least in sorted(table(create_app(portal.parts)).items()):
        yield method, re.sub(r"\{(\w+)(:\w+)?\}", lambda found: VALUES.get(found[1], "lab"), path), least


async def status(client: httpx2.AsyncClient, method: str, path: str) -> int:
    """Streams are left as soon as they begin. A source's own rules (`write`) are not a matter of roles."""
    async with client.stream(method, path) as answer:
        if answer.status_code == 403 and "this needs" not in (await answer.aread()).decode():
            return 422
        return answer.status_code


async def test_each_route_lets_in_exactly_who_may(portal: Served) -> None:
    callers = {"anonymous": portal.browser(accept="application/json")}
    for role in ROLES:
        callers[role] = await portal.token(role, role)
    disabled = await portal.token("admin", "disabled")
    await portal.accounts.update_user((await portal.accounts.user("disabled")).id, disabled=True)  # type: ignore[union-attr]
    user = await portal.user("late", "admin")
    _, secret = await portal.accounts.add_token(user, "short", "admin", 1.0)
    late = portal.browser(accept="*/*", authorization=f"Bearer {secret}")
    portal.clock.ahead = timedelta(seconds=2)

    seen = 0
    for method, path, least in routes(portal):
        if path.startswith(OWN_RULES) or (least == "anyone" and method != "GET"):
            continue
        seen += 1
        for name, client in callers.items():
            got = await status(client, method, path)
            allowed = least == "anyone" or (name in ROLES and ROLES.index(name) >= ROLES.index(least))
            what = f"{method} {path} needs {least}; {name} got {got}"
            if allowed and method == "GET":
                assert got not in REFUSED and got < 500, what
            elif allowed:
                assert got not in REFUSED, what
            else:
                assert got == (401 if name == "anonymous" else 403), what
        for client in (disabled, late):
            assert await status(client, method, path) == 401, f"{method} {path} lets in who may not be here"
    assert seen > 40


async def test_nothing_is_changed_from_a_browser_without_its_pages_token(portal: Served) -> None:
    """Cross-site requests: with the cookie, without the token; and with both, from a foreign page."""
    browser = await portal.signed_in("ada", "admin")
    session = await portal.accounts.session(cookie(browser, "session"))
    assert session is not None
    for method, path, least in routes(portal):
        if method in ("GET", "HEAD") or path.startswith(("/hooks/", "/whlisten")):
            continue
        for headers in FORGED if path.endswith("/sync") else FORGED[::3]:
            sent = {key: session.csrf if value == OURS else value for key, value in headers.items()}
            answer = await browser.request(method, path, headers={"accept": "*/*"} | sent)
            assert answer.status_code == 403, f"{method} {path} ({least}) took {headers}"
    assert not await portal.store.jobs()
    assert [user.name for user in await portal.accounts.users()] == ["ada"]


async def test_the_token_of_another_session_is_not_good(portal: Served) -> None:
    ada = await portal.signed_in("ada", "admin")
    eve = await portal.signed_in("eve", "viewer")
    theirs = await portal.accounts.session(cookie(eve, "session"))
    assert theirs is not None
    answer = await ada.post("/api/v1/sources/lab/sync", json={}, headers={"x-csrf-token": theirs.csrf})
    assert answer.status_code == 403


async def test_a_page_s_token_is_compared_in_constant_time(portal: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = await portal.signed_in("ada", "operator")
    compared: list[bytes] = []
    real = secrets.compare_digest

    def spy(given: bytes, expected: bytes) -> bool:
        compared.append(given)
        return real(given, expected)

    monkeypatch.setattr(secrets, "compare_digest", spy)
    answer = await browser.post("/api/v1/sources/lab/sync", json={}, headers={"x-csrf-token": "guessed"})
    assert (answer.status_code, b"guessed" in compared) == (403, True)


async def test_our_own_page_may(portal: Served) -> None:
    browser = await portal.signed_in("ada", "operator")
    session = await portal.accounts.session(cookie(browser, "session"))
    assert session is not None
    headers = {"x-csrf-token": session.csrf, "origin": portal.url, "sec-fetch-site": "same-origin"}
    answer = await browser.post("/api/v1/sources/lab/sync", json={}, headers=headers)
    assert answer.status_code == 202 and answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"


async def test_every_answer_has_its_headers(portal: Served) -> None:
    """Whatever answers: pages, the API, refusals, nothing at all."""
    admin = await portal.token("admin")
    paths = [(method, path) for method, path, _ in routes(portal) if method == "GET"]
    for method, path in [*paths, ("GET", "/nothing"), ("POST", "/hooks/lab"), ("PUT", "/metrics")]:
        async with admin.stream(method, path) as answer:
            headers = answer.headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'", path
        assert policy["script-src"] == policy["style-src"] == "'self'", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert headers["cross-origin-opener-policy"] == "same-origin", path
        assert "server" not in headers and re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"]), path
        if not path.startswith("/static"):
            assert headers["cache-control"] in ("no-store", "no-cache"), path


async def test_a_mistake_of_ours_shows_nothing_of_itself(portal: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> object:
        raise RuntimeError("ink_canary in a traceback")

    admin = await portal.token("admin")
    monkeypatch.setattr(type(portal.store), "guests", broken)
    answer = await admin.get("/api/v1/guests")
    assert answer.status_code == 500 and answer.json()["error"] == "Unexpected"
    assert "canary" not in answer.text and "Traceback" not in answer.text
    assert answer.headers["content-security-policy"] and answer.headers["x-request-id"]
    browser = await portal.signed_in("ada", "viewer")
    page = await browser.get("/guests")
    assert page.status_code == 500 and page.headers["content-type"].startswith("text/html")
    assert "canary" not in page.text and "Innkeeper made a mistake" in page.text


async def test_the_peer_is_believed_only_where_it_is_a_trusted_proxy(tmp_path: Path) -> None:
    """What comes after the first stranger, counted from us, was made up by that stranger."""
    claimed = {"x-forwarded-for": "198.51.100.7, 203.0.113.5"}
    cases = ((), ("192.0.2.1",), ("127.0.0.1",), ("127.0.0.0/8",))
    found = []
    for number, proxies in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with serving(folder, server={"trustedProxies": proxies}) as served:
            client = await served.token("operator")
            await client.post("/api/v1/sources/lab/suspend", json={"on": True}, headers=claimed)
            found.append((await served.store.audits())[0].address)
    assert found == ["127.0.0.1", "127.0.0.1", "203.0.113.5", "203.0.113.5"]


def test_a_route_without_a_least_role_is_not_served(monkeypatch: pytest.MonkeyPatch, portal: Served) -> None:
    router = APIRouter()

    @router.get("/forgotten")
    async def forgotten() -> None: ...

    monkeypatch.setattr(pages, "routers", lambda: (router,))
    with pytest.raises(ValueError, match="/forgotten names no least role"):
        create_app(portal.parts)
