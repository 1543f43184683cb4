"""One short word over everything that configuring a guest depends on. Pure."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence

from innkeeper.engine.inside import Inside
from innkeeper.model.inside import SecretRef

_FORM = 1
_LENGTH = 24


def fingerprint(
    item: Inside,
    roles: Sequence[str],
    commits: Sequence[str],
    secrets: Mapping[SecretRef, object],
    pepper: Callable[[], bytes],
) -> str:
    """`roles` and `commits` in the order of the item's. Secrets enter as a hash that only who has `pepper` can make."""
    parts: dict[str, object] = {
        "form": _FORM,
        "user": item.user,
        "hostname": item.hostname,
        "groups": sorted(item.groups),
        "roles": [[call.name, digest, call.variables] for call, digest in zip(item.roles, roles, strict=True)],
        "tracked": [
            [tracked.url, tracked.branch, commit] for tracked, commit in zip(item.tracked, commits, strict=True)
        ],
    }
    if secrets:
        values = sorted([ref.name, ref.key, repr(value)] for ref, value in secrets.items())
        parts["secrets"] = hmac.digest(pepper(), _canonical(values), "sha256").hex()
    return hashlib.sha256(_canonical(parts)).hexdigest()[:_LENGTH]


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)
