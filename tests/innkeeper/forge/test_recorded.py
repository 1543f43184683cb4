"""GitHub and GitLab cannot be had here: their adapters make the calls that their documents state."""

import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from pydantic import SecretStr

from innkeeper.control.ports import Forge
from innkeeper.engine.errors import Conflict, EngineError, Stalled, Waiting
from innkeeper.forge.forges import forge_of
from innkeeper.model.diagnostics import Location
from innkeeper.model.objects import Origin
from innkeeper.model.sources import Source, SourceSpec
from tests.innkeeper.forge.recorded import TOKEN, Recorded, recorded

REVISION = "b" * 40
URL = "https://innkeeper.example.org/jobs/7"
MARKER = "\n\n<!-- innkeeper:plan/home -->"


def of(kind: str, url: str, repository: str | None = None, git: str = "git@git.example.org:acme/infra.git") -> Any:
    forge: dict[str, Any] = {"type": kind, "token": {"env": "TOKEN"}}
    forge |= {"url": url} if url else {}
    forge |= {"repository": repository} if repository else {}
    spec = SourceSpec.model_validate({"url": git, "forge": forge})
    return forge_of(Source("home", spec, Origin(Location("server.yaml"))), lambda secret: SecretStr(TOKEN))


@pytest.fixture
def github() -> Iterator[Recorded]:
    with recorded("/api/v3") as forge:
        yield forge
        forge.finished()
        for headers in forge.asked:
            assert headers["authorization"] == f"Bearer {TOKEN}"
            assert headers["accept"] == "application/vnd.github+json"
            assert headers["x-github-api-version"] == "2022-11-28"
            assert headers["user-agent"] == "innkeeper"


@pytest.fixture
def gitlab() -> Iterator[Recorded]:
    with recorded("/api/v4") as forge:
        yield forge
        forge.finished()
        assert all(headers["authorization"] == f"Bearer {TOKEN}" for headers in forge.asked)


def hub(forge: Recorded) -> Forge:
    found: Forge = of("github", forge.base)
    return found


def lab(forge: Recorded) -> Forge:
    found: Forge = of("gitlab", forge.base, "acme/net/infra")
    return found


async def test_github_status(github: Recorded) -> None:
    sent = {"state": "success", "context": "innkeeper/home", "description": "x" * 140, "target_url": URL}
    github.expect(f"POST /repos/acme/infra/statuses/{REVISION}", {"id": 1}, 201, body=sent)
    await hub(github).status(REVISION, "success", "x" * 200, URL)


async def test_github_comment_made_then_found_on_another_page_and_changed(github: Recorded) -> None:
    path = "/repos/acme/infra/issues/5/comments"
    stranger = {"id": 1, "user": {"login": "mallory"}, "body": f"plan{MARKER}"}
    github.expect("GET /user", {"login": "bot"})
    github.expect(f"GET {path}?per_page=100", [stranger])
    github.expect(f"POST {path}", {"id": 2}, 201, body={"body": f"first{MARKER}"})
    await hub(github).comment(5, "first", "plan/home")

    ours = {"id": 2, "user": {"login": "bot"}, "body": f"first{MARKER}\n"}
    ghost = {"id": 3, "user": None, "body": None}
    following = f'<{{base}}/api/v3{path}?per_page=100&page=2>; rel="next", <{{base}}/last>; rel="last"'
    github.expect("GET /user", {"login": "bot"})
    github.expect(f"GET {path}?per_page=100", [stranger, ghost], Link=following)
    github.expect(f"GET {path}?per_page=100&page=2", [ours])
    github.expect("PATCH /repos/acme/infra/issues/comments/2", {"id": 2}, body={"body": f"second{MARKER}"})
    await hub(github).comment(5, "second", "plan/home")


async def test_github_comment_that_says_the_same_is_left_alone(github: Recorded) -> None:
    github.expect("GET /user", {"login": "bot"})
    same = {"id": 2, "user": {"login": "bot"}, "body": f"first{MARKER}"}
    github.expect("GET /repos/acme/infra/issues/5/comments?per_page=100", [same])
    await hub(github).comment(5, "first", "plan/home")


async def test_github_pull(github: Recorded) -> None:
    sent = {"head": "innkeeper/web", "base": "main", "title": "Create web", "body": "text"}
    made = {"number": 9, "html_url": "https://github.com/acme/infra/pull/9"}
    github.expect("POST /repos/acme/infra/pulls", made, 201, body=sent)
    assert await hub(github).open_pull("innkeeper/web", "Create web", "text") == (9, made["html_url"])
    said = {"resource": "PullRequest", "code": "custom", "message": "A pull request already exists for acme:web."}
    message = {"message": "Validation Failed", "errors": [said], "documentation_url": "https://docs.github.com"}
    github.expect("POST /repos/acme/infra/pulls", message, 422, body=sent)
    with pytest.raises(Conflict, match="already exists"):
        await hub(github).open_pull("innkeeper/web", "Create web", "text")


async def test_a_list_that_leads_elsewhere_is_not_followed(github: Recorded) -> None:
    github.expect("GET /user", {"login": "bot"})
    path = "/repos/acme/infra/issues/5/comments?per_page=100"
    github.expect(f"GET {path}", [], Link='<https://evil.example/next>; rel="next"')
    with pytest.raises(Stalled, match="another address"):
        await hub(github).comment(5, "x", "plan/home")


async def test_gitlab_status_and_its_refusal_of_the_same_state(gitlab: Recorded) -> None:
    path = f"/projects/acme%2Fnet%2Finfra/statuses/{REVISION}"
    sent = {"state": "failed", "name": "innkeeper/home", "description": "no plan", "target_url": URL}
    gitlab.expect(f"POST {path}", {"id": 1}, 201, body=sent)
    await lab(gitlab).status(REVISION, "failure", "no plan", URL)

    pending = {"state": "pending", "name": "innkeeper/home", "description": "planning"}
    refused = {"message": "Cannot transition status via :enqueue from :pending"}
    known = f"/projects/acme%2Fnet%2Finfra/repository/commits/{REVISION}/statuses?name=innkeeper%2Fhome&per_page=100"
    gitlab.expect(f"POST {path}", refused, 400, body=pending)
    gitlab.expect(f"GET {known}", [{"name": "innkeeper/home", "status": "pending"}])
    await lab(gitlab).status(REVISION, "pending", "planning", "")

    gitlab.expect(f"POST {path}", refused, 400, body=pending)
    gitlab.expect(f"GET {known}", [{"name": "innkeeper/home", "status": "success"}])
    with pytest.raises(Stalled, match="Cannot transition"):
        await lab(gitlab).status(REVISION, "pending", "planning", "")


async def test_gitlab_status_of_a_fork_s_commit(gitlab: Recorded) -> None:
    """It is on no branch of this project, so GitLab asks what it refers to."""
    path = f"POST /projects/acme%2Fnet%2Finfra/statuses/{REVISION}"
    sent = {"state": "success", "name": "innkeeper/home", "description": "no changes", "target_url": URL}
    refused = {"message": "404 References for commit Not Found"}
    gitlab.expect(path, refused, 404, body=sent)
    gitlab.expect(path, {"id": 1}, 201, body=sent | {"ref": "refs/merge-requests/5/head"})
    await lab(gitlab).status(REVISION, "success", "no changes", URL, "refs/merge-requests/5/head")
    gitlab.expect(path, refused, 404, body=sent)
    with pytest.raises(Stalled, match="References for commit"):
        await lab(gitlab).status(REVISION, "success", "no changes", URL)


async def test_gitlab_s_refusals_by_field_are_told(gitlab: Recorded) -> None:
    sent = {"state": "success", "name": "innkeeper/home", "description": "x"}
    refused = {"message": {"target_url": ["is blocked: Only allowed schemes are http, https"]}}
    gitlab.expect(f"POST /projects/acme%2Fnet%2Finfra/statuses/{REVISION}", refused, 400, body=sent)
    with pytest.raises(Stalled, match=r"target_url: .*Only allowed schemes"):
        await lab(gitlab).status(REVISION, "success", "x", "")


async def test_gitlab_note_made_and_changed(gitlab: Recorded) -> None:
    notes = "/projects/acme%2Fnet%2Finfra/merge_requests/5/notes"
    asked = f"GET {notes}?sort=asc&order_by=created_at&per_page=100"
    gitlab.expect("GET /user", {"username": "bot"})
    gitlab.expect(asked, [{"id": 1, "author": {"username": "mallory"}, "body": f"x{MARKER}"}])
    gitlab.expect(f"POST {notes}", {"id": 2}, 201, body={"body": f"first{MARKER}"})
    await lab(gitlab).comment(5, "first", "plan/home")
    gitlab.expect("GET /user", {"username": "bot"})
    gitlab.expect(asked, [{"id": 2, "author": {"username": "bot"}, "body": f"first{MARKER}"}])
    gitlab.expect(f"PUT {notes}/2", {"id": 2}, body={"body": f"second{MARKER}"})
    await lab(gitlab).comment(5, "second", "plan/home")


async def test_gitlab_merge_request(gitlab: Recorded) -> None:
    sent = {"source_branch": "innkeeper/web", "target_branch": "main", "title": "Create web", "description": "text"}
    made = {"iid": 3, "web_url": "https://gitlab.com/acme/infra/-/merge_requests/3"}
    gitlab.expect("POST /projects/acme%2Fnet%2Finfra/merge_requests", made, 201, body=sent)
    assert await lab(gitlab).open_pull("innkeeper/web", "Create web", "text") == (3, made["web_url"])
    message = {"message": ["Another open merge request already exists for this source branch: !3"]}
    gitlab.expect("POST /projects/acme%2Fnet%2Finfra/merge_requests", message, 409, body=sent)
    with pytest.raises(Conflict, match=r"\(Another open"):
        await lab(gitlab).open_pull("innkeeper/web", "Create web", "text")


@pytest.mark.parametrize(
    ("status", "headers", "error", "words"),
    [
        (401, {}, Stalled, "make a new one"),
        (403, {}, Stalled, "the token may not do this"),
        (403, {"x-ratelimit-remaining": "0"}, Waiting, "limits how often"),
        (429, {"retry-after": "7"}, Waiting, "limits how often"),
        (404, {}, Stalled, r"check forge\.url and forge\.repository"),
        (301, {"location": "https://evil.example/"}, Stalled, "it has moved"),
        (422, {}, Stalled, "check the source's forge"),
        (500, {}, Waiting, "trouble of its own"),
    ],
)
async def test_a_write_that_fails_is_sent_once_and_told_without_the_token(
    github: Recorded, status: int, headers: dict[str, str], error: type[EngineError], words: str
) -> None:
    body = {"state": "pending", "context": "innkeeper/home", "description": "x"}
    answer = {"message": f"no: {TOKEN}\n\u202e" + "y" * 500}
    github.expect(f"POST /repos/acme/infra/statuses/{REVISION}", answer, status, body=body, **headers)
    with pytest.raises(error, match=words) as told:
        await hub(github).status(REVISION, "pending", "x", "")
    assert TOKEN not in f"{told.value} {told.value!r} {told.value.__cause__!r} {told.value.__context__!r}"
    assert len(str(told.value)) < 500
    assert str(told.value).isprintable()
    if isinstance(told.value, Waiting) and "retry-after" in headers:
        assert told.value.after == 7


async def test_a_read_is_repeated_while_the_forge_has_trouble(github: Recorded) -> None:
    for _ in range(2):
        github.expect("GET /user", {"message": "unicorn"}, 502)
    github.expect("GET /user", {"login": "bot"})
    same = {"id": 2, "user": {"login": "bot"}, "body": f"first{MARKER}"}
    github.expect("GET /repos/acme/infra/issues/5/comments?per_page=100", [same])
    await hub(github).comment(5, "first", "plan/home")
    for _ in range(3):
        github.expect("GET /user", {"message": "unicorn"}, 502)
    with pytest.raises(Waiting, match="unicorn"):
        await hub(github).comment(5, "first", "plan/home")


async def test_a_forge_that_is_not_there_and_one_that_is_not_encrypted() -> None:
    with recorded("/api/v3") as forge:
        gone = hub(forge)
    with pytest.raises(Waiting, match="does not answer"):
        await gone.status(REVISION, "pending", "x", "")
    with pytest.raises(Stalled, match="not encrypted"):
        await of("github", "http://git.example.org").status(REVISION, "pending", "x", "")
    assert TOKEN not in repr(gone)


async def test_a_certificate_of_nobody_gets_no_token() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with recorded("/api/v3", context) as forge:
        with pytest.raises(Stalled, match="certificate is not trusted"):
            await hub(forge).status(REVISION, "pending", "x", "")
        assert forge.asked == []


@pytest.mark.parametrize(
    ("kind", "url", "git", "base", "repository"),
    [
        ("github", "", "https://github.com/acme/infra.git", "https://api.github.com", "acme/infra"),
        ("github", "", "git@github.com:acme/infra.git", "https://api.github.com", "acme/infra"),
        ("github", "", "https://ghe.example.org/acme/infra", "https://ghe.example.org/api/v3", "acme/infra"),
        ("github", "", "https://octocorp.ghe.com/acme/infra", "https://api.octocorp.ghe.com", "acme/infra"),
        ("gitlab", "", "ssh://git@gitlab.com/acme/net/infra.git", "https://gitlab.com/api/v4", "acme/net/infra"),
        ("gitea", "https://h.example.org/git/", "https://h.example.org/git/acme/infra.git",
         "https://h.example.org/git/api/v1", "acme/infra"),
        ("forgejo", "", "https://codeberg.org/acme/infra.git", "https://codeberg.org/api/v1", "acme/infra"),
    ],
)  # fmt: skip
def test_where_the_api_is(kind: str, url: str, git: str, base: str, repository: str) -> None:
    found = of(kind, url, git=git)
    assert (found.calls.base, found.repository) == (base, repository)


@pytest.mark.parametrize(
    ("kind", "url", "git", "words"),
    [
        ("gitea", "", "/srv/git/infra.git", "nobody knows where its forge is"),
        ("gitea", "https://git.example.org", "/srv/git/infra.git", "does not tell which repository"),
        ("bitbucket", "", "https://bitbucket.org/acme/infra.git", "not supported"),
    ],
)
def test_a_forge_that_nobody_could_find(kind: str, url: str, git: str, words: str) -> None:
    with pytest.raises(Stalled, match=words):
        of(kind, url, git=git)


def test_a_source_without_a_forge_has_none() -> None:
    spec = SourceSpec.model_validate({"url": "/srv/git/infra.git"})
    assert forge_of(Source("home", spec, Origin(Location("x"))), lambda secret: SecretStr(TOKEN)) is None
