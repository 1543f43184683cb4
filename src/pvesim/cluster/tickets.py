"""Credentials: passwords, tickets with their two hours, CSRF tokens, API tokens (PVE::AccessControl, PVE::Ticket)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from typing import TYPE_CHECKING
from urllib.parse import unquote

from pvesim.cluster.access import Auth
from pvesim.errors import ApiError

if TYPE_CHECKING:
    from pvesim.cluster.state import Cluster, User

LIFETIME, GRACE = 7200, 300
WITHOUT_LOGIN = {
    ("GET", "/access/domains"),
    ("GET", "/access/ticket"),
    ("POST", "/access/ticket"),
    ("POST", "/access/vncticket"),
    ("POST", "/access/openid/login"),
    ("POST", "/access/openid/auth-url"),
}


def new_secret() -> str:
    """A token's value."""
    return str(uuid.uuid4())


def hash_password(password: str) -> str:
    """`salt$hash`; quick on purpose, these passwords protect nothing."""
    salt = secrets.token_hex(8)
    return f"{salt}${hashlib.sha256((salt + password).encode()).hexdigest()}"


def password_fits(user: User, password: str) -> bool:
    salt, _, known = user.password.partition("$")
    return hmac.compare_digest(known, hashlib.sha256((salt + password).encode()).hexdigest()) and bool(known)


def authenticate(cluster: Cluster, verb: str, path: str, headers: dict[bytes, bytes]) -> Auth | None:
    """The caller of a request, None where nobody needs to be known; ApiError 401 otherwise.

    A cookie is preferred to an Authorization header; a ticket needs a CSRF token for everything but GET.
    """
    if (verb, path) in WITHOUT_LOGIN:
        return None
    header = headers.get(b"authorization", b"").decode("latin-1")
    ticket = _value(headers.get(b"cookie", b"").decode("latin-1"), "PVEAuthCookie") or _value(header, "PVEAuthCookie")
    token = None if ticket else _value(header, "PVEAPIToken")
    if token:
        return _token(cluster, token)
    if not ticket:
        raise ApiError(401, "No ticket")
    userid = ticket_user(cluster, ticket)
    if userid is None:
        raise ApiError(401, "permission denied - invalid PVE ticket")
    if not enabled(cluster, userid):
        raise ApiError(401, "Authentication failed!")
    upload = verb == "POST" and re.fullmatch(r"/nodes/[^/]+/storage/[^/]+/upload", path)
    given = headers.get(b"csrfpreventiontoken", b"").decode("latin-1")
    if verb != "GET" and not upload and not _fits(cluster, "csrf", given, userid):
        raise ApiError(401, "Permission denied - invalid csrf token")
    return Auth(userid)


def enabled(cluster: Cluster, userid: str) -> bool:
    user = cluster.users.get(userid)
    return bool(user and user.enable and not (user.expire and user.expire < cluster.clock.now()))


def login(cluster: Cluster, userid: str, password: str) -> bool:
    """Whether the password, or a ticket in its place, is that of the user; root@pam may log in as anybody."""
    if not enabled(cluster, userid):
        return False
    return ticket_user(cluster, password) in {userid, "root@pam"} or password_fits(cluster.users[userid], password)


def make_ticket(cluster: Cluster, userid: str) -> tuple[str, str]:
    """A ticket and its CSRF token."""
    stamp = f"{int(cluster.clock.now()):08X}"
    plain = f"PVE:{userid}:{stamp}"
    return f"{plain}::{_sign(cluster, 'ticket', plain)}", f"{stamp}:{_sign(cluster, 'csrf', f'{stamp}:{userid}')}"


def ticket_user(cluster: Cluster, ticket: str) -> str | None:
    """Whose ticket it is; None when it is not valid (any more)."""
    plain, separator, signature = ticket.partition("::")
    parts = plain.split(":")
    if not separator or len(parts) != 3 or parts[0] != "PVE" or not _fresh(cluster, parts[2]):
        return None
    return parts[1] if hmac.compare_digest(signature, _sign(cluster, "ticket", plain)) else None


def _token(cluster: Cluster, given: str) -> Auth:
    name, _, value = given.rpartition("=")
    userid, _, tokenid = name.partition("!")
    token = cluster.users[userid].tokens.get(tokenid) if enabled(cluster, userid) else None
    if token is None or (token.expire and token.expire < cluster.clock.now()):
        raise ApiError(401, "Authentication failed!")
    if not hmac.compare_digest(token.value.encode(), value.encode()):
        raise ApiError(401, "Authentication failed!")
    return Auth(userid, tokenid)


def _value(header: str, name: str) -> str | None:
    found = re.search(rf"(?:^|\s){name}[= ]([^;]*)", header)
    return unquote(found[1]) if found else None


def _fits(cluster: Cluster, key: str, given: str, userid: str) -> bool:
    stamp, _, signature = given.partition(":")
    wanted = _sign(cluster, key, f"{stamp}:{userid}")
    return _fresh(cluster, stamp) and hmac.compare_digest(signature.encode(), wanted.encode())


def _fresh(cluster: Cluster, stamp: str) -> bool:
    if not re.fullmatch(r"[0-9A-F]{8}", stamp):
        return False
    return -GRACE <= cluster.clock.now() - int(stamp, 16) < LIFETIME


def _sign(cluster: Cluster, key: str, text: str) -> str:
    secret = cluster.secrets.setdefault(key, secrets.token_hex(32))
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), "sha512")).decode().rstrip("=")
