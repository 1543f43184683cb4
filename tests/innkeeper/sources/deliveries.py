"""What each forge sends, shaped as its documents show it, and signed as it signs."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SECRET = "correct horse battery staple"
BEFORE, AFTER, HEAD, ZERO = "1" * 40, "a" * 40, "b" * 40, "0" * 40
URL = "https://git.example.org/acme/infra.git"

Tree = dict[str, Any]


def signed(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Forge:
    """`push(ref, after)` and `pull(number, branch, fork, action)` give the event's name and its payload."""

    name: str
    headers: Callable[[str, bytes, str], Mapping[str, str]]
    push: Callable[[str, str], tuple[str, Tree]]
    pull: Callable[[int, str, bool, str], tuple[str, Tree]]
    ref: str
    actions: Mapping[str, str] = field(default_factory=dict)
    """What it calls opened, updated, closed, and something without a commit (`other`)."""

    def send(self, said: tuple[str, Tree], secret: str = SECRET) -> tuple[Mapping[str, str], bytes]:
        body = json.dumps(said[1]).encode()
        return self.headers(said[0], body, secret), body


def _github_headers(event: str, body: bytes, secret: str) -> Mapping[str, str]:
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "X-Hub-Signature": "sha1=0000000000000000000000000000000000000000",
        "X-Hub-Signature-256": f"sha256={signed(body, secret)}",
    }


def _gitea_headers(event: str, body: bytes, secret: str) -> Mapping[str, str]:
    return {
        **_github_headers(event, body, secret),
        "X-Gitea-Event": event,
        "X-Gitea-Delivery": "f6266f16-1bf3-46a5-9ea4-602e06ead473",
        "X-Gitea-Signature": signed(body, secret),
    }


def _forgejo_headers(event: str, body: bytes, secret: str) -> Mapping[str, str]:
    return {
        **_gitea_headers(event, body, secret),
        "X-Forgejo-Event": event,
        "X-Forgejo-Delivery": "7b2a7f3e-0ba7-4f5c-8f5f-8b8f9dd1d6a5",
        "X-Forgejo-Signature": signed(body, secret),
    }


def _repository(name: str = "acme/infra", number: int = 7) -> Tree:
    return {
        "id": number,
        "full_name": name,
        "clone_url": f"https://git.example.org/{name}.git",
        "ssh_url": f"git@git.example.org:{name}.git",
    }


def _github_push(ref: str, after: str) -> tuple[str, Tree]:
    repository, commits = _repository(), [{"id": after, "message": "x"}]
    return "push", {"ref": ref, "before": BEFORE, "after": after, "repository": repository, "commits": commits}


def _github_pull(number: int, branch: str, fork: bool, action: str) -> tuple[str, Tree]:
    head = {"ref": "change", "sha": HEAD, "repo": _repository("mallory/infra", 9) if fork else _repository()}
    return "pull_request", {
        "action": action,
        "number": number,
        "before": BEFORE,
        "pull_request": {
            "number": number,
            "head": head,
            "base": {"ref": branch, "sha": BEFORE, "repo": _repository()},
            "merged": False,
        },
        "repository": _repository(),
    }


def _gitlab_headers(event: str, body: bytes, secret: str) -> Mapping[str, str]:
    return {
        "Content-Type": "application/json",
        "X-Gitlab-Event": event,
        "X-Gitlab-Event-UUID": "13792a34-cac6-4fda-95a8-c58e00a3954e",
        "Idempotency-Key": "f5e5f430-f57b-4e6e-9fac-d9128cd7232f",
        "X-Gitlab-Token": secret,
    }


_PROJECT = {"id": 15, "path_with_namespace": "acme/infra", "git_http_url": URL}


def _gitlab_push(ref: str, after: str) -> tuple[str, Tree]:
    checkout = None if after == ZERO else after
    payload = {"object_kind": "push", "before": BEFORE, "after": after, "ref": ref, "checkout_sha": checkout}
    return "Push Hook", {**payload, "project": _PROJECT, "commits": []}


def _gitlab_pull(number: int, branch: str, fork: bool, action: str) -> tuple[str, Tree]:
    what: Tree = {
        "iid": number,
        "target_branch": branch,
        "source_branch": "change",
        "source_project_id": 16 if fork else 15,
        "target_project_id": 15,
        "last_commit": {"id": HEAD},
        "action": action.removesuffix("+"),
    }
    if action == "update+":
        what["oldrev"] = BEFORE
    return "Merge Request Hook", {"object_kind": "merge_request", "project": _PROJECT, "object_attributes": what}


def _cloud_headers(event: str, body: bytes, secret: str) -> Mapping[str, str]:
    return {
        "Content-Type": "application/json",
        "X-Event-Key": event,
        "X-Request-UUID": "0d1e6d1c-3d5a-4a5b-9b7a-8a5e9e1a6f11",
        "X-Hub-Signature": f"sha256={signed(body, secret)}",
    }


def _cloud_push(ref: str, after: str) -> tuple[str, Tree]:
    _, folder, name = ref.split("/", 2)
    kind = "branch" if folder == "heads" else "tag"
    old = {"type": kind, "name": name, "target": {"type": "commit", "hash": BEFORE}}
    new = None if after == ZERO else {"type": kind, "name": name, "target": {"type": "commit", "hash": after}}
    repository = {"full_name": "acme/infra", "uuid": "{673a6070-3421-46c9-9d48-90745f7bfe8e}"}
    change = {"new": new, "old": old, "closed": new is None}
    return "repo:push", {"repository": repository, "push": {"changes": [change]}}


def _cloud_pull(number: int, branch: str, fork: bool, action: str) -> tuple[str, Tree]:
    ours = {"full_name": "acme/infra"}
    source = {"full_name": "mallory/infra"} if fork else ours
    return f"pullrequest:{action}", {
        "repository": ours,
        "pullrequest": {
            "id": number,
            "source": {"branch": {"name": "change"}, "commit": {"hash": HEAD[:12]}, "repository": source},
            "destination": {"branch": {"name": branch}, "commit": {"hash": BEFORE[:12]}, "repository": ours},
        },
    }


def _data_center_headers(event: str, body: bytes, secret: str) -> Mapping[str, str]:
    headers = dict(_cloud_headers(event, body, secret))
    return {**headers, "X-Request-Id": headers.pop("X-Request-UUID")}


_STORED = {"id": 4, "slug": "infra", "project": {"key": "ACME", "id": 2}}


def _data_center_push(ref: str, after: str) -> tuple[str, Tree]:
    there = {"id": ref, "displayId": ref.split("/", 2)[2], "type": "BRANCH"}
    change = {"ref": there, "refId": ref, "fromHash": BEFORE, "toHash": after, "type": "UPDATE"}
    return "repo:refs_changed", {"eventKey": "repo:refs_changed", "repository": _STORED, "changes": [change]}


def _data_center_pull(number: int, branch: str, fork: bool, action: str) -> tuple[str, Tree]:
    theirs = {**_STORED, "id": 5, "project": {"key": "~mallory"}} if fork else _STORED
    return f"pr:{action}", {
        "pullRequest": {
            "id": number,
            "fromRef": {"id": "refs/heads/change", "displayId": "change", "latestCommit": HEAD, "repository": theirs},
            "toRef": {"id": f"refs/heads/{branch}", "displayId": branch, "latestCommit": BEFORE, "repository": _STORED},
        }
    }


_GITHUB = {"opened": "opened", "updated": "synchronize", "closed": "closed", "other": "labeled"}
FORGES = (
    Forge("GitHub", _github_headers, _github_push, _github_pull, "refs/pull/5/head", _GITHUB),
    Forge(
        "Gitea", _gitea_headers, _github_push, _github_pull, "refs/pull/5/head", {**_GITHUB, "updated": "synchronized"}
    ),
    Forge(
        "Forgejo",
        _forgejo_headers,
        _github_push,
        _github_pull,
        "refs/pull/5/head",
        {**_GITHUB, "updated": "synchronized"},
    ),
    Forge(
        "GitLab",
        _gitlab_headers,
        _gitlab_push,
        _gitlab_pull,
        "refs/merge-requests/5/head",
        {"opened": "open", "updated": "update+", "closed": "merge", "other": "update"},
    ),
    Forge(
        "Bitbucket Cloud",
        _cloud_headers,
        _cloud_push,
        _cloud_pull,
        "refs/heads/change",
        {"opened": "created", "updated": "updated", "closed": "fulfilled", "other": "approved"},
    ),
    Forge(
        "Bitbucket Data Center",
        _data_center_headers,
        _data_center_push,
        _data_center_pull,
        "refs/pull-requests/5/from",
        {"opened": "opened", "updated": "from_ref_updated", "closed": "merged", "other": "reviewer:approved"},
    ),
)


def generic(payload: object, secret: str = SECRET) -> tuple[Mapping[str, str], bytes]:
    body = b"" if payload is None else json.dumps(payload).encode()
    return {"X-Innkeeper-Signature-256": f"sha256={signed(body, secret)}"}, body
