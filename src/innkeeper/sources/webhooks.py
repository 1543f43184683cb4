"""A webhook is proved genuine, then read; what remains is only a hint that there is something to look at.

Signatures are compared over the raw bytes, in constant time, before anything is parsed. The headers are not signed, so
a delivery that was listened to could be sent again under a new id: it makes Innkeeper look at its own branch once more,
and no more than that, because nothing in a payload chooses what is fetched.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from innkeeper.model.sources import SourceSpec
from innkeeper.sources import payloads
from innkeeper.sources.payloads import Malformed, Payload, Pull, Push, Reader, Said, shown

Headers = Mapping[str, str]
Cause = Literal["signature", "malformed", "repository"]


@dataclass(frozen=True, slots=True)
class Hint:
    """A branch that the source follows moved to `after` (empty: look yourself), or a pull request `pull` into it did.

    `head` is the pull request's commit (Bitbucket Cloud abbreviates it), `ref` where it can be fetched (empty:
    nowhere), `fork` says that strangers wrote it. `delivery` names the message, to know a repeated one; empty where
    the sender gave it no name: then each counts, and costs a look at most.
    """

    delivery: str
    branch: str
    after: str = ""
    deleted: bool = False
    pull: int | None = None
    head: str = ""
    ref: str = ""
    fork: bool = False
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Ignored:
    """Genuine, and nothing to do."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not believed (`signature`), not understood (`malformed`), or about another repository (`repository`)."""

    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class _Sender:
    """One forge's headers, in lower case. `scheme` is how the signature's header spells HMAC-SHA256.

    `token` instead of a signature: the secret itself is the header's value.
    """

    name: str
    event: str
    signature: str
    scheme: Literal["sha256=", "", "token"]
    deliveries: tuple[str, ...]
    read: Reader


_SENDERS = (
    _Sender("Forgejo", "x-forgejo-event", "x-forgejo-signature", "", ("x-forgejo-delivery",), payloads.github),
    _Sender("Gitea", "x-gitea-event", "x-gitea-signature", "", ("x-gitea-delivery",), payloads.github),
    _Sender("GitHub", "x-github-event", "x-hub-signature-256", "sha256=", ("x-github-delivery",), payloads.github),
    _Sender(
        "GitLab", "x-gitlab-event", "x-gitlab-token", "token", ("idempotency-key", "x-gitlab-event-uuid"),
        payloads.gitlab,
    ),
    _Sender(
        "Bitbucket", "x-event-key", "x-hub-signature", "sha256=", ("x-request-uuid", "x-request-id"),
        payloads.bitbucket,
    ),
)  # fmt: skip
"""In the order they are looked for: Forgejo and Gitea send GitHub's headers, too."""
_ANYONE = _Sender("the sender", "", "x-innkeeper-signature-256", "sha256=", ("x-innkeeper-delivery",), payloads.generic)
_PINGS = frozenset({"ping", "diagnostics:ping"})


def receive(headers: Headers, body: bytes, secret: str, source: SourceSpec) -> Hint | Ignored | Refused:
    """What a source's webhook says, once it is proved genuine and meant for this source."""
    if (refused := verify(headers, body, secret)) is not None:
        return refused
    said = parse(headers, body)
    if not isinstance(said, Said):
        return said
    ours = tuple(name for name in (source.url, source.forge and source.forge.repository) if name)
    if said.repository and not _one_of(said.repository, ours):
        return Refused(
            "repository",
            f"this is about {shown(said.repository)}, not about the source's own repository {ours[0]}; set the webhook "
            "up in the repository that the source names, or name this one in the source's forge.repository",
        )
    return _hint(said, delivery(headers), source)


def verify(headers: Headers, body: bytes, secret: str) -> Refused | None:
    """None where the secret's owner sent exactly these bytes (from GitLab: where the sender knows the secret)."""
    sender, known = _sender(headers)
    if not secret:
        return Refused("signature", "the source has no webhook secret: set spec.webhook.secret")
    given = known.get(sender.signature, "")
    if not given:
        return Refused("signature", f"{sender.name} sent no {sender.signature}: give its webhook the source's secret")
    proof = secret.encode()
    if sender.scheme != "token":
        proof = f"{sender.scheme}{hmac.new(proof, body, hashlib.sha256).hexdigest()}".encode()
    if hmac.compare_digest(given.encode("latin-1", "backslashreplace"), proof):
        return None
    hint = "; its content type must be application/json" if sender.name in ("Gitea", "Forgejo") else ""
    return Refused("signature", f"{sender.signature} does not fit the source's webhook secret{hint}")


def parse(headers: Headers, body: bytes) -> Said | Ignored | Refused:
    """What it says in one shape, whichever forge sent it. Call `verify` first."""
    sender, known = _sender(headers)
    event = known.get(sender.event, "")
    if event in _PINGS:
        return Ignored(f"{sender.name}'s ping: the webhook works")
    try:
        said = sender.read(event, _decoded(known, body, sender))
    except Malformed as problem:
        return Refused("malformed", f"{sender.name}'s {shown(event) or 'message'} is not understood: {problem}")
    if sender is not _ANYONE and not said.pushes and said.pull is None:
        return Ignored(f"{shown(said.event) or 'a message without an event'} is not what Innkeeper listens to")
    return said


def delivery(headers: Headers) -> str:
    """The message's name, as its sender gave it; empty where it gave none.

    What it says is no name: a branch that goes back to where it was is told in the same words.
    """
    sender, known = _sender(headers)
    return shown(next((known[name] for name in sender.deliveries if known.get(name)), ""))


def addressed(
    headers: Headers, body: bytes, sources: Mapping[str, tuple[SourceSpec, str]]
) -> dict[str, Hint | Ignored]:
    """For an address that names no source (`/whlisten`, as proxnix listens): those that this is meant for, by name.

    `sources` are specs with their webhooks' secrets. A source is meant where its secret signed this, and the payload
    does not name another repository.
    """
    found = ((name, receive(headers, body, secret, spec)) for name, (spec, secret) in sources.items())
    return {name: said for name, said in found if not isinstance(said, Refused)}


def _hint(said: Said, delivery: str, source: SourceSpec) -> Hint | Ignored:
    if said.pull is not None:
        return _pull_hint(said.pull, delivery, source.branch)
    if not said.pushes:
        return Hint(delivery, source.branch)
    followed = (source.branch, *source.beside)
    for branch in followed:
        push = next((push for push in reversed(said.pushes) if push.ref == f"refs/heads/{branch}"), None)
        if push is not None:
            return Hint(delivery, branch, push.after, push.deleted)
    return Ignored(f"{_told(said.pushes)}: the source follows {', '.join(followed)}")


def _pull_hint(pull: Pull, delivery: str, branch: str) -> Hint | Ignored:
    if pull.branch != branch:
        return Ignored(f"pull request {pull.number} goes into {shown(pull.branch)}: the source follows {branch}")
    if not pull.action:
        return Ignored(f"nothing of pull request {pull.number} that a plan depends on has changed")
    closed = pull.action == "closed"
    if not pull.ref and not closed:
        return Ignored(f"the commits of pull request {pull.number} cannot be fetched here")
    return Hint(delivery, branch, pull=pull.number, head=pull.head, ref=pull.ref, fork=pull.fork, closed=closed)


def _told(pushes: Iterable[Push]) -> str:
    words = [f"{shown(push.ref)} was {'deleted' if push.deleted else 'pushed'}" for push in pushes]
    return ", ".join(words[:3]) + (f" and {len(words) - 3} more" if len(words) > 3 else "")


def _sender(headers: Headers) -> tuple[_Sender, Headers]:
    """Who sent it, and the headers by their names in lower case."""
    known = {name.lower(): value for name, value in headers.items()}
    return next((sender for sender in _SENDERS if sender.event in known), _ANYONE), known


def _decoded(headers: Headers, body: bytes, sender: _Sender) -> Payload:
    if sender is _ANYONE and not body.strip():
        return {}
    problem = "the body is not JSON"
    try:
        text = body.decode()
        form = headers.get("content-type", "").partition(";")[0].strip() == "application/x-www-form-urlencoded"
        if form and sender is not _ANYONE:  # curl calls whatever it sends a form
            text = parse_qs(text, strict_parsing=True, max_num_fields=10)["payload"][0]
        if isinstance(payload := json.loads(text), Mapping):
            return payload
        problem = "the body is not a JSON object"
    except RecursionError:
        problem = "the body is nested too deeply"
    except (ValueError, KeyError):
        pass
    raise Malformed(problem)


def _one_of(named: str, ours: Iterable[str]) -> bool:
    """Whether a repository's path (or URL) is the end of one of ours.

    Hosts are not compared: the same forge has one name inside and another outside, one for SSH and one for the web.
    """
    path = _path(named)
    return bool(path) and any(
        _path(own)[-len(path) :] == path or path[-len(_path(own)) :] == _path(own) for own in ours
    )


def _path(repository: str) -> tuple[str, ...]:
    try:
        split = urlsplit(repository)
    except ValueError:
        return ()
    path = split.path if split.scheme and split.netloc else repository.rpartition(":")[2]
    return tuple(part for part in path.lower().removesuffix("/").removesuffix(".git").split("/") if part)
