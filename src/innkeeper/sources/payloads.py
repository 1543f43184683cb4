"""What each forge says in a webhook, in one shape. Pure; every payload is hostile until the end.

A reader picks single fields and proves each: a text that is not exactly of the expected form is as good as missing.
`after` is read, never `before`, and no address: what is fetched is decided by the source alone.

Sources of facts: GitHub "Webhook events and payloads"; GitLab "Webhook events"; Gitea `modules/structs/hook.go` and
`services/webhook/deliver.go`; Bitbucket Cloud "Event payloads"; Bitbucket Data Center "Event payload".
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT = re.compile(r"[0-9a-f]{7,64}")
_BRANCH = re.compile(r"(?!.*(\.\.|//|\.lock$|[./]$))[A-Za-z0-9][A-Za-z0-9._/-]{0,250}")
_LONGEST = 80

Payload = Mapping[str, object]


class Malformed(Exception):
    """A payload is not what its headers say."""


@dataclass(frozen=True, slots=True)
class Push:
    """A ref moved: `refs/heads/main` to the commit `after` (empty: not told), or was deleted."""

    ref: str
    after: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request into `branch`. `ref` is where its head can be fetched; empty: nowhere.

    `action` is `opened`, `updated`, `closed`, or empty for what changes no commit. A head whose repository is not
    proved to be the same one is from a fork.
    """

    number: int
    branch: str
    head: str
    ref: str
    fork: bool
    action: str


@dataclass(frozen=True, slots=True)
class Said:
    """`repository` is its path (`acme/infra`); without pushes and pull, `event` names what it was about."""

    repository: str
    event: str
    pushes: tuple[Push, ...] = ()
    pull: Pull | None = None


Reader = Callable[[str, Payload], Said]
"""From the event's name (a header's value) and the payload. Raises Malformed."""


def shown(text: object) -> str:
    """A stranger's text in a message: bounded, printable."""
    plain = "".join(letter if letter.isprintable() else "�" for letter in str(text)[: _LONGEST + 1])
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"


def github(event: str, payload: Payload) -> Said:
    """GitHub, Gitea and Forgejo, which speak the same."""
    repository = _text(payload, "repository", "full_name")
    if event == "push":
        return Said(repository, event, (_push(_ref(payload), payload, "after"),))
    if event == "pull_request":
        return Said(repository, event, pull=_github_pull(payload))
    return Said(repository, event)


_GITHUB_ACTIONS = {
    "opened": "opened",
    "reopened": "opened",
    "ready_for_review": "opened",
    "synchronize": "updated",
    "synchronized": "updated",
    "closed": "closed",
}


def _github_pull(payload: Payload) -> Pull:
    number = _number(payload, "number")
    action = _GITHUB_ACTIONS.get(_text(payload, "action"), "")
    if _text(payload, "action") == "edited" and _at(payload, "changes", "base") is not None:
        action = "updated"
    return Pull(
        number=number,
        branch=_text(payload, "pull_request", "base", "ref"),
        head=_commit(payload, "pull_request", "head", "sha"),
        ref=f"refs/pull/{number}/head",
        fork=not _same(_part(payload, "pull_request"), ("head", "repo"), ("base", "repo"), "id"),
        action=action,
    )


def gitlab(event: str, payload: Payload) -> Said:
    """Project, group and system hooks; `object_kind` says what it is."""
    repository, kind = _text(payload, "project", "path_with_namespace"), _text(payload, "object_kind")
    if kind == "push":
        return Said(repository, kind, (_push(_ref(payload), payload, "after"),))
    if kind != "merge_request":
        return Said(repository, kind or event)
    what = _part(payload, "object_attributes")
    number = _number(what, "iid")
    action = {"open": "opened", "reopen": "opened", "close": "closed", "merge": "closed"}.get(_text(what, "action"), "")
    if _text(what, "action") == "update" and (
        COMMIT.fullmatch(_text(what, "oldrev")) or _at(payload, "changes", "target_branch") is not None
    ):
        action = "updated"
    pull = Pull(
        number=number,
        branch=_text(what, "target_branch"),
        head=_commit(what, "last_commit", "id"),
        ref=f"refs/merge-requests/{number}/head",
        fork=not _same(what, ("source_project_id",), ("target_project_id",)),
        action=action,
    )
    return Said(repository, kind, pull=pull)


def bitbucket(event: str, payload: Payload) -> Said:
    """Cloud and Data Center share a header and little else; `repo:refs_changed` and `pr:` are Data Center's."""
    if event == "repo:push":
        return Said(_text(payload, "repository", "full_name"), event, tuple(_cloud_pushes(payload)))
    if event.startswith("pullrequest:"):
        return Said(_text(payload, "repository", "full_name"), event, pull=_cloud_pull(event, payload))
    if event == "repo:refs_changed":
        changes = _list(payload, "changes")
        pushes = tuple(_push(_text(change, "ref", "id"), change, "toHash") for change in changes)
        return Said(_data_center_path(_part(payload, "repository")), event, pushes)
    if event.startswith("pr:"):
        pull = _part(payload, "pullRequest")
        path = _data_center_path(_part(_part(pull, "toRef"), "repository"))
        return Said(path, event, pull=_data_center_pull(event, pull))
    return Said("", event)


def _cloud_pushes(payload: Payload) -> Iterator[Push]:
    for change in _list(_part(payload, "push"), "changes"):
        new = _at(change, "new")
        there = _part(change, "new" if new is not None else "old")
        folder = "heads" if _text(there, "type") in ("branch", "named_branch") else "tags"
        after = _commit(there, "target", "hash") if new is not None else ""
        yield Push(f"refs/{folder}/{_text(there, 'name')}", after, deleted=new is None)


_CLOUD_ACTIONS = {
    "pullrequest:created": "opened",
    "pullrequest:updated": "updated",
    "pullrequest:fulfilled": "closed",
    "pullrequest:rejected": "closed",
}


def _cloud_pull(event: str, payload: Payload) -> Pull:
    """Cloud abbreviates commits, and keeps no ref of a pull request: only its branch can be fetched."""
    pull = _part(payload, "pullrequest")
    head = _text(pull, "source", "commit", "hash")
    if not _SHORT.fullmatch(head):
        raise Malformed("pullrequest.source.commit.hash is not a commit")
    fork = not _same(pull, ("source", "repository"), ("destination", "repository"), "full_name")
    branch = _text(pull, "source", "branch", "name")
    return Pull(
        number=_number(pull, "id"),
        branch=_text(pull, "destination", "branch", "name"),
        head=head,
        ref="" if fork or not _BRANCH.fullmatch(branch) else f"refs/heads/{branch}",
        fork=fork,
        action=_CLOUD_ACTIONS.get(event, ""),
    )


_DATA_CENTER_ACTIONS = {
    "pr:opened": "opened",
    "pr:from_ref_updated": "updated",
    "pr:to_ref_updated": "",
    "pr:merged": "closed",
    "pr:declined": "closed",
    "pr:deleted": "closed",
}


def _data_center_pull(event: str, pull: Payload) -> Pull:
    number = _number(pull, "id")
    return Pull(
        number=number,
        branch=_text(pull, "toRef", "displayId"),
        head=_commit(pull, "fromRef", "latestCommit"),
        ref=f"refs/pull-requests/{number}/from",
        fork=not _same(pull, ("fromRef", "repository"), ("toRef", "repository"), "id"),
        action=_DATA_CENTER_ACTIONS.get(event, ""),
    )


def _data_center_path(repository: Payload) -> str:
    key, slug = _text(repository, "project", "key"), _text(repository, "slug")
    return f"{key}/{slug}" if key and slug else ""


def generic(event: str, payload: Payload) -> Said:
    """`ref`, `after` and `repository`, each as good as left out; an empty payload says: look."""
    named = payload.get("repository")
    repository = named if isinstance(named, str) else _text(payload, "repository", "full_name")
    if "ref" not in payload:
        return Said(repository, event)
    ref = _ref(payload)
    ref = ref if ref.startswith("refs/") else f"refs/heads/{ref}"
    return Said(repository, event, (_push(ref, payload, "after") if "after" in payload else Push(ref),))


def _at(payload: object, *path: str) -> object:
    for name in path:
        if not isinstance(payload, Mapping):
            return None
        payload = payload.get(name)
    return payload


def _part(payload: Payload, name: str) -> Payload:
    found = payload.get(name)
    if not isinstance(found, Mapping):
        raise Malformed(f"{name} is not an object")
    return found


def _list(payload: Payload, name: str) -> list[Payload]:
    found = payload.get(name)
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        raise Malformed(f"{name} is not a list of objects")
    return found


def _text(payload: Payload, *path: str) -> str:
    """Empty where there is no text."""
    found = _at(payload, *path)
    return found if isinstance(found, str) else ""


def _number(payload: Payload, name: str) -> int:
    found = payload.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found < 2**31:
        raise Malformed(f"{name} is not a number from 1")
    return found


def _ref(payload: Payload) -> str:
    if not (ref := _text(payload, "ref")):
        raise Malformed("ref is not a text")
    return ref


def _commit(payload: Payload, *path: str) -> str:
    if not COMMIT.fullmatch(found := _text(payload, *path)):
        raise Malformed(f"{'.'.join(path)} is not a commit")
    return found


def _push(ref: str, payload: Payload, name: str) -> Push:
    """All zeros instead of a commit: the ref was deleted."""
    commit = _commit(payload, name)
    return Push(ref, commit) if commit.strip("0") else Push(ref, deleted=True)


def _same(payload: Payload, one: tuple[str, ...], other: tuple[str, ...], *name: str) -> bool:
    """Whether both are there and equal; anything unclear is not the same."""
    found = _at(payload, *one, *name)
    return isinstance(found, str | int) and bool(found) and found == _at(payload, *other, *name)
