"""The whole API as each role, many times over, against a server that keeps a cluster: with guests and drift."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from innkeeper.model.records import ROLES, Role
from tests.innkeeper.control.home import container
from tests.innkeeper.portal.house import House, opened
from tests.innkeeper.publish.services import until
from tests.innkeeper.web.fuzz import fuzz

EXAMPLES = 30


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place: Path = tmp_path_factory.mktemp("house")
    with opened(place, source="selfHeal: false\nsnapshots: {every: 1d}") as one:
        files = {f"guests/{name}": container(name, vmid, running="true") for name, vmid in (("web", 101), ("db", 102))}
        one.upstream.push("Two guests", **files)
        until(lambda: {101, 102} <= set(one.guests()), 60)
        yield one


@pytest.fixture(scope="module")
def tokens(house: House) -> dict[str, str]:
    """One of each role, by a browser of the first admin."""
    with httpx2.Client(base_url=house.url, headers={"accept": "text/html"}, timeout=30) as browser:
        secret = house.setup.partition("secret=")[2]
        form = {"secret": secret, "name": "ada", "password": "correct horse battery"}
        made = browser.post("/setup", data={**form, "csrf": csrf(browser, house.setup)})
        assert made.status_code == 303, made.text
        browser.headers["x-csrf-token"] = csrf(browser, "/settings")
        asked = [browser.post("/api/v1/tokens", json={"name": role, "role": role}) for role in ROLES]
    return {role: str(answer.json()["secret"]) for role, answer in zip(ROLES, asked, strict=True)}


def csrf(browser: httpx2.Client, page: str) -> str:
    return browser.get(page).text.partition('name="csrf" value="')[2].partition('"')[0]


def call(house: House, token: str, method: str, path: str, body: object = None) -> Any:
    headers = {"authorization": f"Bearer {token}"}
    answer = httpx2.request(method, f"{house.url}/api/v1{path}", json=body, headers=headers, timeout=30)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
    return answer.json()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("role", ROLES)
def test_nothing_breaks_and_nothing_slips(house: House, tokens: dict[str, str], role: Role) -> None:
    admin = tokens["admin"]
    house.sim.call("PUT", f"/nodes/{house.node(101)}/lxc/101/config", {"memory": 768})
    until(lambda: bool(call(house, admin, "GET", "/drifts")), 30)
    known = {
        "source": ("homelab",),
        "cluster": ("attic",),
        "kind": ("Container",),
        "name": ("web", "db"),
        "snapshot": ("before",),
        "job": tuple(item["id"] for item in call(house, admin, "GET", "/jobs")),
        "drift": tuple(item["id"] for item in call(house, admin, "GET", "/drifts")),
    }
    before = {vmid: dict(house.config(vmid)) for vmid in (101, 102)}
    seen = fuzz(house.url, tokens[role], role, EXAMPLES, known)
    assert call(house, admin, "GET", "/me")["role"] == "admin", "whoever asks is still there"
    assert any("/guests/" in path for path in seen.paths(200)), "a guest that exists was looked at"
    if role == "viewer":
        assert {vmid: house.config(vmid) for vmid in (101, 102)} == before, "nothing that a viewer may changes a guest"
    else:
        assert any("/guests/" in path for path in seen.paths(202)), "something was done to a guest"
    assert "Traceback" not in (house.data.parent / "serve.log").read_text()
