import hmac
import json
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.model.sources import SourceSpec
from innkeeper.sources.webhooks import Hint, Ignored, Refused, addressed, receive
from tests.innkeeper.sources.deliveries import AFTER, BEFORE, FORGES, HEAD, SECRET, URL, ZERO, Forge, generic, signed

SOURCE = SourceSpec.model_validate({"url": URL, "branch": "main"})
every_forge = pytest.mark.parametrize("forge", FORGES, ids=lambda forge: forge.name)


def take(
    sent: tuple[Mapping[str, str], bytes], source: SourceSpec = SOURCE, secret: str = SECRET
) -> Hint | Ignored | Refused:
    return receive(*sent, secret, source)


@every_forge
def test_a_push_to_the_branch_is_a_hint_with_the_new_commit(forge: Forge) -> None:
    found = take(forge.send(forge.push("refs/heads/main", AFTER)))
    assert isinstance(found, Hint)
    assert (found.branch, found.after, found.deleted, found.pull) == ("main", AFTER, False, None)
    assert found.delivery
    assert BEFORE not in repr(found)


@every_forge
def test_a_deleted_branch_moves_nothing(forge: Forge) -> None:
    found = take(forge.send(forge.push("refs/heads/main", ZERO)))
    assert isinstance(found, Hint)
    assert (found.after, found.deleted) == ("", True)
    assert take(forge.send(forge.push("refs/heads/old", ZERO))) == Ignored(
        "refs/heads/old was deleted: the source follows main"
    )


@every_forge
@pytest.mark.parametrize("ref", ["refs/heads/other", "refs/tags/main", "refs/heads/main/sub"])
def test_other_branches_and_tags_are_ignored_and_named(forge: Forge, ref: str) -> None:
    found = take(forge.send(forge.push(ref, AFTER)))
    assert isinstance(found, Ignored)
    assert ref in found.reason


@every_forge
@pytest.mark.parametrize("branch", ["release", "main", "snapshot", "rollback"])
def test_every_branch_with_a_role_is_a_hint_of_its_own(forge: Forge, branch: str) -> None:
    monorepo = SOURCE.model_copy(update={"format": "container-monorepo", "branch": "release"})
    found = take(forge.send(forge.push(f"refs/heads/{branch}", AFTER)), monorepo)
    assert isinstance(found, Hint)
    assert (found.branch, found.after) == (branch, AFTER)
    other = take(forge.send(forge.push("refs/heads/feature", AFTER)), monorepo)
    assert other == Ignored("refs/heads/feature was pushed: the source follows release, snapshot, rollback, main")


@every_forge
@pytest.mark.parametrize("action", ["opened", "updated"])
def test_a_pull_request_is_a_hint_with_its_head(forge: Forge, action: str) -> None:
    found = take(forge.send(forge.pull(5, "main", False, forge.actions[action])))
    assert isinstance(found, Hint)
    assert (found.pull, found.fork, found.closed, found.ref) == (5, False, False, forge.ref)
    assert found.head and HEAD.startswith(found.head)
    assert not found.after


@every_forge
def test_a_proof_is_compared_in_constant_time(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared byte by byte tells by its time how much of a guess was right."""
    compared: list[bytes] = []
    real = hmac.compare_digest

    def spy(given: bytes, proof: bytes) -> bool:
        compared.append(proof)
        return real(given, proof)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    take(forge.send(forge.push("refs/heads/main", AFTER)))
    assert len(compared) == 1


@every_forge
def test_a_fork_is_known_as_one(forge: Forge) -> None:
    found = take(forge.send(forge.pull(5, "main", True, forge.actions["opened"])))
    if forge.name == "Bitbucket Cloud":
        assert found == Ignored("the commits of pull request 5 cannot be fetched here")
    else:
        assert isinstance(found, Hint)
        assert (found.fork, found.ref) == (True, forge.ref)


@pytest.mark.parametrize("repo", [None, {}, {"id": None}, [], "x"])
def test_a_head_without_a_repository_is_from_a_fork(repo: object) -> None:
    event, payload = FORGES[0].pull(5, "main", False, "opened")
    payload["pull_request"]["head"]["repo"] = repo
    for base in (payload["pull_request"]["base"]["repo"], repo):
        payload["pull_request"]["base"]["repo"] = base
        found = take(FORGES[0].send((event, payload)))
        assert isinstance(found, Hint)
        assert found.fork


@every_forge
def test_a_closed_pull_request_says_so_and_others_are_ignored(forge: Forge) -> None:
    closed = take(forge.send(forge.pull(5, "main", False, forge.actions["closed"])))
    assert isinstance(closed, Hint)
    assert closed.closed
    elsewhere = take(forge.send(forge.pull(5, "release", False, forge.actions["opened"])))
    assert elsewhere == Ignored("pull request 5 goes into release: the source follows main")
    untouched = take(forge.send(forge.pull(5, "main", False, forge.actions["other"])))
    assert isinstance(untouched, Ignored)


@every_forge
@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "x"])
def test_whoever_does_not_know_the_secret_is_refused(forge: Forge, secret: str) -> None:
    found = take(forge.send(forge.push("refs/heads/main", AFTER), secret))
    assert isinstance(found, Refused)
    assert found.cause == "signature"
    assert SECRET not in found.reason


@pytest.mark.parametrize("forge", [forge for forge in FORGES if forge.name != "GitLab"], ids=lambda forge: forge.name)
def test_one_changed_byte_is_refused_before_it_is_parsed(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    headers, body = forge.send(forge.push("refs/heads/main", AFTER))

    def parsed(text: str) -> object:
        raise AssertionError("a stranger's message was parsed")

    monkeypatch.setattr(json, "loads", parsed)
    found = take((headers, body + b" "))
    assert isinstance(found, Refused)
    assert found.cause == "signature"
    assert take((headers, b"{")) == found


@every_forge
def test_an_unsigned_message_and_a_source_without_a_secret_are_refused(forge: Forge) -> None:
    headers, body = forge.send(forge.push("refs/heads/main", AFTER))
    bare = {name: value for name, value in headers.items() if "signature" not in name.lower() and "Token" not in name}
    unsigned = take((bare, body))
    assert isinstance(unsigned, Refused)
    assert unsigned.cause == "signature"
    assert take(forge.send(forge.push("refs/heads/main", AFTER), ""), secret="") == Refused(
        "signature", "the source has no webhook secret: set spec.webhook.secret"
    )


def test_the_old_sha1_signature_is_worth_nothing() -> None:
    headers, body = FORGES[0].send(FORGES[0].push("refs/heads/main", AFTER))
    found = take(({name: value for name, value in headers.items() if name != "X-Hub-Signature-256"}, body))
    assert isinstance(found, Refused)


def test_gitea_s_githubs_signature_does_not_rescue_its_own() -> None:
    headers, body = FORGES[1].send(FORGES[1].push("refs/heads/main", AFTER))
    assert isinstance(take(({**headers, "X-Gitea-Signature": "0" * 64}, body)), Refused)


@every_forge
def test_another_repository_is_refused(forge: Forge) -> None:
    source = SourceSpec.model_validate({"url": "https://git.example.org/acme/other.git", "branch": "main"})
    found = take(forge.send(forge.push("refs/heads/main", AFTER)), source)
    assert isinstance(found, Refused)
    assert found.cause == "repository"
    assert "other.git" in found.reason


@every_forge
@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/acme/infra",
        "https://inside:3000/gitea/Acme/Infra.git",
        "https://git.example.org/scm/ACME/infra.git",
        "git@git.example.org:acme/infra.git",
        "ssh://git@git.example.org:7999/acme/infra.git",
        "/srv/git/acme/infra.git",
    ],
)
def test_its_own_repository_is_known_under_every_address(forge: Forge, url: str) -> None:
    source = SourceSpec.model_validate({"url": url, "branch": "main"})
    assert isinstance(take(forge.send(forge.push("refs/heads/main", AFTER)), source), Hint)


def test_a_mirror_is_known_by_the_forge_s_repository() -> None:
    spec: dict[str, Any] = {"url": "/srv/mirror.git", "branch": "main"}
    sent = FORGES[0].send(FORGES[0].push("refs/heads/main", AFTER))
    assert isinstance(take(sent, SourceSpec.model_validate(spec)), Refused)
    spec["forge"] = {"type": "github", "repository": "acme/infra", "token": {"env": "TOKEN"}}
    assert isinstance(take(sent, SourceSpec.model_validate(spec)), Hint)


def test_pings_and_events_of_other_kinds_are_ignored() -> None:
    assert take(FORGES[0].send(("ping", {"zen": "Keep it logically awesome."}))) == Ignored(
        "GitHub's ping: the webhook works"
    )
    assert take(FORGES[5].send(("diagnostics:ping", {"test": True}))) == Ignored("Bitbucket's ping: the webhook works")
    for forge, event in ((FORGES[0], "issues"), (FORGES[3], "Issue Hook"), (FORGES[4], "issue:created")):
        found = take(forge.send((event, {"object_kind": "issue"})))
        assert isinstance(found, Ignored)
        assert "not what Innkeeper listens to" in found.reason


def test_github_s_form_is_read_and_json_that_is_none_is_refused() -> None:
    forge = FORGES[0]
    event, payload = forge.push("refs/heads/main", AFTER)
    body = urllib.parse.urlencode({"payload": json.dumps(payload)}).encode()
    headers = {**forge.headers(event, body, SECRET), "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    found = take((headers, body))
    assert isinstance(found, Hint)
    for bad in (b"", b"{", b"[]", b"\xff", b"payload=", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000):
        refused = take((forge.headers("push", bad, SECRET), bad))
        assert isinstance(refused, Refused)
        assert refused.cause == "malformed"


def test_what_curl_calls_a_form_is_read_as_the_json_that_it_is() -> None:
    headers, body = generic({"ref": "refs/heads/main", "after": AFTER})
    assert isinstance(take(({**headers, "Content-Type": "application/x-www-form-urlencoded"}, body)), Hint)


def test_several_changes_of_one_push_are_searched_for_the_branch() -> None:
    forge = FORGES[4]
    event, payload = forge.push("refs/heads/other", BEFORE)
    payload["push"]["changes"] += forge.push("refs/heads/main", AFTER)[1]["push"]["changes"]
    found = take(forge.send((event, payload)))
    assert isinstance(found, Hint)
    assert found.after == AFTER


@pytest.mark.parametrize("name", ["../main", "a..b", "-upload-pack", "a b", "a\nb", "a/", "a.lock", "", "ä", None, 5])
def test_a_branch_that_git_could_misread_is_never_fetched(name: object) -> None:
    event, payload = FORGES[4].pull(5, "main", False, "created")
    payload["pullrequest"]["source"]["branch"]["name"] = name
    assert isinstance(take(FORGES[4].send((event, payload))), Ignored)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (None, Hint("", "main")),
        ({"ref": "main"}, Hint("", "main")),
        ({"ref": "refs/heads/main", "after": AFTER, "repository": "acme/infra"}, Hint("", "main", AFTER)),
        ({"repository": {"full_name": "acme/infra"}}, Hint("", "main")),
        ({"repository": "https://git.example.org/acme/infra.git"}, Hint("", "main")),
        ({"ref": "main", "after": ZERO}, Hint("", "main", deleted=True)),
    ],
)
def test_the_generic_one_may_leave_out_everything(payload: object, expected: Hint) -> None:
    headers, body = generic(payload)
    assert take((headers, body)) == expected
    assert take(({**headers, "X-Innkeeper-Delivery": "42"}, body)) == replace(expected, delivery="42")


def test_the_generic_one_is_signed_and_meant_too() -> None:
    assert isinstance(take(generic(None, "wrong")), Refused)
    assert isinstance(take(generic({"repository": "acme/other"})), Refused)
    assert isinstance(take(generic({"ref": "other"})), Ignored)
    assert isinstance(take(generic({"ref": ["main"]})), Refused)
    assert isinstance(take(generic({"ref": "main", "after": "main"})), Refused)


def test_an_address_without_a_source_finds_those_whose_secret_signed_it() -> None:
    sent = FORGES[1].send(FORGES[1].push("refs/heads/main", AFTER))
    other = SourceSpec.model_validate({"url": "https://git.example.org/acme/other.git", "branch": "main"})
    release = SourceSpec.model_validate({"url": URL, "branch": "release"})
    sources = {"a": (other, SECRET), "b": (SOURCE, "wrong"), "c": (SOURCE, SECRET), "d": (release, SECRET)}
    found = addressed(*sent, sources)
    assert {name: type(said) for name, said in found.items()} == {"c": Hint, "d": Ignored}
    assert addressed(sent[0], sent[1] + b" ", sources) == {}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([AFTER, ZERO, "main"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
EVENTS = [
    "push",
    "pull_request",
    "Push Hook",
    "repo:push",
    "repo:refs_changed",
    "pullrequest:created",
    "pr:opened",
    "ping",
    "",
]


@given(st.sampled_from(FORGES), st.sampled_from(EVENTS), anything)
def test_arbitrary_json_is_answered(forge: Forge, event: str, payload: Any) -> None:
    assert isinstance(take(forge.send((event, payload))), Hint | Ignored | Refused)
    assert isinstance(take(generic(payload)), Hint | Ignored | Refused)


def mutated(payload: Any, draw: Any) -> Any:
    """One part at a random place is something else, or gone."""
    if isinstance(payload, dict) and payload and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(payload)))
        return {**payload, name: mutated(payload[name], draw)}
    if isinstance(payload, list) and payload and draw(st.booleans()):
        return [mutated(payload[0], draw), *payload[1:]]
    return draw(anything)


@given(st.sampled_from(FORGES), st.booleans(), st.data())
def test_a_payload_with_one_part_changed_is_answered_and_chooses_nothing(
    forge: Forge, push: bool, data: st.DataObject
) -> None:
    event, payload = (
        forge.push("refs/heads/main", AFTER) if push else forge.pull(5, "main", False, forge.actions["opened"])
    )
    found = take(forge.send((event, mutated(payload, data.draw))))
    if isinstance(found, Hint):
        assert found.branch == "main"
        assert set(found.after + found.head) <= set("0123456789abcdef")
        assert found.ref == "" or found.ref.startswith("refs/")
        assert " " not in found.ref and ".." not in found.ref


@given(st.dictionaries(st.text(), st.text()), st.binary(), st.text(min_size=1))
def test_arbitrary_headers_and_bytes_are_refused(headers: dict[str, str], body: bytes, secret: str) -> None:
    assert isinstance(receive(headers, body, secret, SOURCE), Refused)


def test_the_hash_is_over_the_raw_bytes() -> None:
    body = b'{"ref":"main" , "after":"' + AFTER.encode() + b'"}'
    found = take(({"x-innkeeper-signature-256": f"sha256={signed(body)}"}, body))
    assert isinstance(found, Hint)
    assert found.after == AFTER
