"""A conversation with a server's API: its address, the token, whom to trust, and what to say when it goes wrong."""

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from innkeeper.engine.errors import EngineError, Stalled, Uncertain, Waiting

_PATIENCE = httpx2.Timeout(30.0, connect=10.0)
_QUIET = 60.0
"""Seconds without a word after which a stream is dead; the server says something every 15."""


@dataclass(frozen=True, slots=True, repr=False)
class Remote:
    """One server. Every failure is an EngineError that says what to do."""

    url: str
    http: httpx2.Client

    def get(self, path: str, **query: object) -> Any:
        return self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Mapping[str, object] | None = None) -> Any:
        return self._ask("POST", path, json=dict(body or {}))

    def follow(self, path: str) -> Iterator[tuple[str, Any]]:
        """Server-sent events as they come: name and data."""
        try:
            with self.http.sse(f"{self.url}/api/v1{path}", timeout=httpx2.Timeout(_QUIET, connect=10.0)) as events:
                if events.response.status_code != 200:
                    events.response.read()
                    raise self.refused(events.response)
                for event in events:
                    yield event.event, json.loads(event.data)
        except httpx2.HTTPError as error:
            raise self._lost(error) from None

    def send(self, method: str, path: str, **request: Any) -> httpx2.Response:
        """Whatever the server answers."""
        try:
            return self.http.request(method, f"{self.url}{path}", **request)
        except httpx2.HTTPError as error:
            raise self._lost(error) from None

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        answer = self.send(method, f"/api/v1{path}", **request)
        if answer.status_code >= 300:
            raise self.refused(answer)
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise Stalled(f"{self.url} does not answer as Innkeeper does", "is this the portal's address?") from None

    def refused(self, answer: httpx2.Response) -> EngineError:
        if answer.status_code == 401:
            return Stalled(f"{self.url} does not know this token", "make one in its settings, then: innkeeper login")
        try:
            body = answer.json()
            message, advice = str(body["message"]), str(body["advice"])
        except (ValueError, KeyError, TypeError):
            return Stalled(
                f"{self.url} answers {answer.status_code}, not as Innkeeper does", "is this the portal's address?"
            )
        return (Waiting if answer.status_code == 503 else Stalled)(message, advice)

    def _lost(self, error: httpx2.HTTPError) -> EngineError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return Stalled(
                    f"the certificate of {self.url} is not trusted: {cause.verify_message or cause.reason}",
                    "name the authority that signed it: --ca-file FILE, or INNKEEPER_CA_FILE",
                )
            cause = cause.__cause__ or cause.__context__
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return Waiting(f"{self.url} cannot be reached: {error}", "is the address right, and the server running?")
        return Uncertain(f"the answer of {self.url} was lost ({type(error).__name__})", "look: innkeeper jobs")


@contextmanager
def connected(server: str | None, ca_file: Path | None, token: str | None = None) -> Iterator[Remote]:
    """`token` None: the environment's INNKEEPER_TOKEN, else what `innkeeper login` kept."""
    url = address(server)
    secret = token or os.environ.get("INNKEEPER_TOKEN") or kept(url)
    if not secret:
        raise Stalled(f"there is no token for {url}", "run innkeeper login, or set INNKEEPER_TOKEN")
    with opened(url, ca_file, {"Authorization": f"Bearer {secret}"}) as remote:
        yield remote


@contextmanager
def opened(url: str, ca_file: Path | None, headers: Mapping[str, str]) -> Iterator[Remote]:
    """A server under an `address`; only what the system or `ca_file` trusts is spoken to."""
    try:
        trust = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise Stalled(f"{ca_file} holds no certificate: {error}", "name a file in PEM form") from None
    named = {**headers, "User-Agent": "innkeeper-cli"}
    with httpx2.Client(headers=named, verify=trust, timeout=_PATIENCE, trust_env=False) as http:
        yield Remote(url, http)


def address(server: str | None) -> str:
    """The server's URL without a slash at its end; a token never goes over a network in the clear."""
    if not server:
        raise Stalled("which server?", "name it: --server https://innkeeper.example.org, or set INNKEEPER_SERVER")
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Stalled(f"{server} is not a server's address", "write https://host")
    if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
        raise Stalled(f"{server} would see the token in the clear, and so would everybody between", "use https")
    return server.rstrip("/")


def _tokens() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "innkeeper" / "tokens.json"


def _kept() -> dict[str, str]:
    path = _tokens()
    try:
        if path.stat().st_mode & 0o077:
            raise Stalled(f"{path} can be read by others", f"chmod 600 {path}, and revoke the tokens that were in it")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Stalled(f"{path} cannot be read: {error}", "mend or delete it") from None
    return {str(url): str(secret) for url, secret in found.items()} if isinstance(found, dict) else {}


def kept(url: str) -> str:
    """The token that `innkeeper login` kept for a server; empty: none."""
    return _kept().get(url, "")


def keep(url: str, secret: str) -> Path:
    """Readable by its owner only, from the first byte on."""
    path, tokens = _tokens(), _kept() | {url: secret}
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        json.dump(tokens, stream, indent=2)
    fresh.replace(path)
    return path
