"""The API as programs use it: what comes back, and one shape for everything that goes wrong."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from innkeeper.control.errors import Denied, NotFound
from innkeeper.engine.errors import Conflict, EngineError, Stalled, Uncertain, Waiting
from innkeeper.model.jobs import Request
from innkeeper.model.objects import Ref
from innkeeper.model.records import GuestRecord
from tests.innkeeper.web.serving import PASSWORD, Served

GUEST = GuestRecord(
    source="lab",
    ref=Ref("Container", "db"),
    cluster="home",
    node="pve1",
    vmid=100,
    hostname="db",
    address="10.0.0.2",
    sync="Synced",
    health="Healthy",
    power="running",
    revision="1f" * 20,
    desired={"memory": "1Gi"},
    live={"memory": "1Gi"},
)


async def test_guests_are_searched_filtered_sorted_and_paged(portal: Served) -> None:
    web = replace(GUEST, ref=Ref("VirtualMachine", "web"), vmid=101, sync="OutOfSync", node="pve2", address="10.0.0.9")
    await portal.store.put_guests("lab", [GUEST, web], whole=True)
    viewer = await portal.token("viewer")

    async def names(query: str) -> list[str]:
        page = (await viewer.get(f"/api/v1/guests?{query}")).json()
        return [guest["name"] for guest in page["guests"]]

    assert await names("") == ["db", "web"]
    assert await names("descending=true") == ["web", "db"]
    assert await names("text=10.0.0.9") == ["web"]
    assert await names("sync=OutOfSync&sync=Unknown") == ["web"]
    assert await names("node=pve1&sync=OutOfSync") == []
    assert await names("limit=1&offset=1") == ["web"]
    assert (await viewer.get("/api/v1/guests?limit=1")).json()["total"] == 2
    one = (await viewer.get("/api/v1/guests/lab/Container/db")).json()
    assert (one["desired"], one["kind"], one["vmid"]) == ({"memory": "1Gi"}, "Container", 100)
    missing = await viewer.get("/api/v1/guests/lab/Container/gone")
    assert missing.status_code == 404 and "has no guest Container/gone" in missing.json()["message"]
    overview = (await viewer.get("/api/v1/overview")).json()
    assert overview["counts"]["guests"] == 2


async def test_jobs_are_listed_by_state_and_guest(portal: Served) -> None:
    first = await portal.store.add_job(Request("sync", "lab"))
    second = await portal.store.add_job(Request("power", "lab", only=("Container/db",), payload={"action": "stop"}))
    await portal.store.update_job(first.id, ("pending",), state="failed", error="it broke", result={"steps": []})
    viewer = await portal.token("viewer")
    jobs = (await viewer.get("/api/v1/jobs")).json()
    assert [job["id"] for job in jobs] == [second.id, first.id]
    assert [job["error"] for job in (await viewer.get("/api/v1/jobs?state=failed")).json()] == ["it broke"]
    assert [job["payload"] for job in (await viewer.get(f"/api/v1/jobs?before={second.id + 1}&limit=1")).json()] == [
        {"action": "stop"}
    ]


ERRORS: tuple[tuple[EngineError, int, str | None], ...] = (
    (Stalled("a right is missing", "grant it"), 422, None),
    (Conflict("the plan has changed", "look again"), 409, None),
    (Waiting("the node is away", "wait", 7.0), 503, "7"),
    (NotFound("there is no such job"), 404, None),
    (Denied("not yours", "ask"), 403, None),
    (Uncertain("the answer was lost", "look"), 502, None),
)


async def test_each_error_is_told_as_what_happens_next(portal: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = await portal.token("operator")
    for error, status, after in ERRORS:

        async def refused(*_: Any, error: EngineError = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(type(portal.parts.commands), "sync", refused)
        answer = await operator.post("/api/v1/sources/lab/sync", json={})
        assert (answer.status_code, answer.headers.get("retry-after")) == (status, after)
        told = {"error": type(error).__name__, "message": error.message, "advice": error.advice, "fields": {}}
        assert answer.json() == told


async def test_what_does_not_fit_is_told_by_field_and_never_repeated(portal: Served) -> None:
    admin = await portal.token("admin")
    wrong = {"name": "x", "role": "king", "password": "canary-secret", "more": 1}
    answer = await admin.post("/api/v1/users", json=wrong)
    assert answer.status_code == 422 and set(answer.json()["fields"]) == {"role", "more"}
    assert "canary" not in answer.text
    broken = await admin.post("/api/v1/users", content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["error"]) == (400, "NotJson")
    nothing = await admin.get("/api/v1/nothing")
    assert (nothing.status_code, set(nothing.json())) == (404, {"error", "message", "advice", "fields"})
    assert (await admin.put("/api/v1/me")).json()["error"] == "MethodNotAllowed"


async def test_admins_keep_users_and_one_is_always_left(portal: Served) -> None:
    admin = await portal.token("admin", "root")
    made = (await admin.post("/api/v1/users", json={"name": "ada", "role": "viewer", "password": PASSWORD})).json()
    assert made | {"created_at": "", "last_seen": ""} == {
        "id": made["id"], "name": "ada", "role": "viewer", "local": True, "disabled": False,
        "created_at": "", "last_seen": "",
    }  # fmt: skip
    taken = await admin.post("/api/v1/users", json={"name": "Ada", "role": "admin", "password": PASSWORD})
    assert taken.status_code == 409
    short = await admin.post("/api/v1/users", json={"name": "eve", "role": "admin", "password": "short"})
    assert short.status_code == 422
    more = await admin.patch(f"/api/v1/users/{made['id']}", json={"role": "operator"})
    assert more.json()["role"] == "operator"
    myself = next(user["id"] for user in (await admin.get("/api/v1/users")).json() if user["name"] == "root")
    assert (await admin.patch(f"/api/v1/users/{myself}", json={"role": "viewer"})).status_code == 409
    assert (await admin.delete(f"/api/v1/users/{myself}")).status_code == 409
    assert (await admin.delete(f"/api/v1/users/{made['id']}")).status_code == 204
    told = [(entry["actor"], entry["action"], entry["target"]) for entry in (await admin.get("/api/v1/audit")).json()]
    assert told == [("root", "remove user", "ada"), ("root", "change user", "ada"), ("root", "add user", "ada")]
    assert PASSWORD not in (await admin.get("/api/v1/audit")).text


async def test_a_token_is_never_more_than_who_made_it(portal: Served) -> None:
    """Neither above the user's role, nor above the token's that asks for another."""
    user = await portal.user("ada", "admin")
    _, lesser = await portal.accounts.add_token(user, "ci", "viewer")
    program = portal.browser(accept="*/*", authorization=f"Bearer {lesser}")
    made = (await program.post("/api/v1/tokens", json={"name": "more", "role": "admin"})).json()
    assert made["token"]["role"] == "viewer" and made["secret"].startswith("ink_")
    assert "secret" not in (await program.get("/api/v1/tokens")).text
    assert (await program.get("/api/v1/tokens?everybody=true")).status_code == 403

    other = await portal.token("operator")
    theirs = (await other.post("/api/v1/tokens", json={"name": "mine", "days": 1})).json()
    assert (await program.delete(f"/api/v1/tokens/{theirs['token']['id']}")).status_code == 404
    assert (await other.delete(f"/api/v1/tokens/{theirs['token']['id']}")).status_code == 204
    gone = portal.browser(accept="*/*", authorization=f"Bearer {theirs['secret']}")
    assert (await gone.get("/api/v1/me")).status_code == 401

    await portal.user("root", "admin")
    await portal.accounts.update_user(user, role="viewer")
    portal.clock.ahead = timedelta(days=91)
    late = portal.browser(accept="*/*", authorization=f"Bearer {made['secret']}")
    assert (await late.get("/api/v1/me")).status_code == 401, "90 days by itself"


async def test_sources_tell_what_they_are_and_where_they_stand(portal: Served) -> None:
    operator = await portal.token("operator")
    await portal.store.put_source("lab", seen="1f" * 20, error="git does not answer")
    (found,) = (await operator.get("/api/v1/sources")).json()
    assert (found["name"], found["url"], found["sync"]) == ("lab", "https://git.example.org/lab.git", "auto")
    assert (found["seen"], found["error"], found["suspended"]) == ("1f" * 20, "git does not answer", False)
    held = await operator.post("/api/v1/sources/lab/suspend", json={"on": True})
    assert held.json()["suspended"] is True
    assert (await operator.get("/api/v1/sources/gone")).status_code == 404
    assert (await operator.get("/api/v1/sources/lab/revisions")).json() == []
    assert (await operator.get("/api/v1/drifts")).json() == []


async def test_the_document_is_public_and_says_who_may(portal: Served) -> None:
    document = (await portal.browser().get("/api/v1/openapi.json")).json()
    assert document["paths"]["/api/v1/users"]["post"]["x-least-role"] == "admin"
    assert "/hooks/{source}" not in document["paths"]
    assert (await portal.browser().get("/docs")).status_code == 404
