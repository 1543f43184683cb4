"""Calls to a forge's API: who we are, what its answers mean, and what to do about those that are no good.

The token goes to the one address that was configured: redirects are not followed, plain HTTP only to this machine.
Reads are repeated a few times; a write is sent once, because nobody knows whether one without an answer was done.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2
import stamina
from pydantic import SecretStr

from innkeeper.engine.errors import Conflict, EngineError, Stalled, Waiting

PAGES = 50
"""Of a list no more is read."""
_LOCAL = ("127.0.0.1", "::1", "localhost")
_LONGEST = 200


class _Again(Exception):
    """A read that may work a moment later."""

    def __init__(self, error: Waiting) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class Calls:
    """The API of one forge. `token` is asked at every use, so a renewed one is seen; `rights` says what it needs."""

    name: str
    base: str
    token: Callable[[], SecretStr]
    rights: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Calls({self.name!r}, {self.base!r})"

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        """A connection for a few calls. Stalled where the token would travel for all to see."""
        parts = urlsplit(self.base)
        if parts.scheme != "https" and parts.hostname not in _LOCAL:
            raise Stalled(f"{self.name}: {self.base} is not encrypted", "write an https URL into forge.url")
        token = self.token()
        headers = {"User-Agent": "innkeeper", "Authorization": f"Bearer {token.get_secret_value()}", **self.headers}
        context = await asyncio.to_thread(_trust)
        async with httpx2.AsyncClient(headers=headers, verify=context, timeout=20.0) as client:
            yield Line(self, client, token)


@functools.cache
def _trust() -> ssl.SSLContext:
    return httpcore2.default_ssl_context()


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """Paths begin with `/` and are below the API's base. Raises Stalled, Conflict or Waiting; never tells the token."""

    calls: Calls
    client: httpx2.AsyncClient
    token: SecretStr

    async def get(self, path: str, **params: str | int) -> Any:
        return (await self._read(self.calls.base + path, params)).json()

    async def pages(self, path: str, **params: str | int) -> AsyncIterator[Any]:
        """The items of a list, over all of its pages: by `Link` headers, or Bitbucket's `values` and `next`."""
        url, query = self.calls.base + path, dict(params)
        for _ in range(PAGES):
            answer = await self._read(url, query)
            body = answer.json()
            for item in body["values"] if isinstance(body, dict) else body:
                yield item
            url = answer.links.get("next", {}).get("url", "") or (isinstance(body, dict) and body.get("next")) or ""
            query = {}
            if not url:
                return
            if not url.startswith(f"{self.calls.base}/"):
                raise Stalled(
                    f"{self.calls.name} continues a list at another address than {self.calls.base}",
                    "write the address that the forge calls itself into forge.url",
                )

    async def write(self, method: str, path: str, body: Mapping[str, object]) -> Any:
        """The answer's body, or None where it has none."""
        try:
            answer = await self.client.request(method, self.calls.base + path, json=body)
        except httpx2.TransportError as error:
            raise self._unreached(error) from None
        if answer.is_success:
            return answer.json() if answer.content else None
        raise self._refused(f"{method} {path}", answer)

    async def _read(self, url: str, params: Mapping[str, str | int]) -> httpx2.Response:
        stamina.instrumentation.set_on_retry_hooks([])  # else it writes to standard output
        try:
            async for attempt in stamina.retry_context(
                on=_Again, attempts=3, timeout=30.0, wait_initial=0.2, wait_max=2.0, wait_jitter=0.2
            ):
                with attempt:
                    return await self._read_once(url, params)
        except _Again as again:
            waiting = again.error
        raise waiting

    async def _read_once(self, url: str, params: Mapping[str, str | int]) -> httpx2.Response:
        error: EngineError
        try:
            answer = await self.client.get(url, params=params or None)
        except httpx2.TransportError as problem:
            error = self._unreached(problem)
        else:
            if answer.is_success:
                return answer
            error = self._refused(f"GET {urlsplit(url).path}", answer)
            if answer.status_code < 500:
                raise error
        if isinstance(error, Waiting):
            raise _Again(error)
        raise error

    def _unreached(self, error: httpx2.TransportError) -> EngineError:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
            cause = cause.__cause__ or cause.__context__
        where = f"{self.calls.name} at {self.calls.base}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Stalled(
                f"{where}: its certificate is not trusted ({cause.verify_message})",
                "let this machine trust its authority (SSL_CERT_FILE, or /usr/local/share/ca-certificates)",
            )
        return Waiting(f"{where} does not answer ({type(error).__name__})", "check that it is up", 30.0)

    def _refused(self, call: str, answer: httpx2.Response) -> EngineError:
        status = answer.status_code
        what = f"{self.calls.name}: {call}: {status}{self._said(answer)}"
        if status == 429 or (status == 403 and _limited(answer)):
            return Waiting(what, "it limits how often it may be asked", _seconds(answer))
        if status >= 500:
            return Waiting(what, "the forge has trouble of its own", 30.0)
        if status == 401:
            return Stalled(what, f"the token is not valid (any more): make a new one with {self.calls.rights}")
        if status == 403:
            return Stalled(what, f"the token may not do this: it needs {self.calls.rights}")
        if status == 404:
            return Stalled(what, f"check forge.url and forge.repository; the token needs {self.calls.rights}")
        if status == 409 or (status == 422 and "exist" in self._said(answer)):
            return Conflict(what)
        if 300 <= status < 400:
            return Stalled(what, "it has moved: write its present address into forge.url or forge.repository")
        return Stalled(what, "check the source's forge")

    def _said(self, answer: httpx2.Response) -> str:
        """The forge's own words, bounded, without the token should it be among them."""
        try:
            body = answer.json()
        except ValueError:
            return ""
        text = "; ".join(_words(body)) if isinstance(body, dict) else ""
        text = text.replace(self.token.get_secret_value(), "…")
        text = "".join(letter if letter.isprintable() else " " for letter in text[:_LONGEST])
        return f" ({text.strip()})" if text.strip() else ""


def _words(body: Mapping[str, Any]) -> Iterator[str]:
    """`message` or `error`, which GitLab may give as a list or a map; and the messages of GitHub's `errors`."""
    found = body.get("message") or body.get("error")
    if isinstance(found, Mapping):
        yield from (f"{name}: {value}" for name, value in found.items())
    elif isinstance(found, list):
        yield from map(str, found)
    elif found:
        yield str(found)
    errors = body.get("errors")
    for item in errors if isinstance(errors, list) else ():
        if isinstance(item, Mapping) and item.get("message"):
            yield str(item["message"])


def _limited(answer: httpx2.Response) -> bool:
    return "retry-after" in answer.headers or answer.headers.get("x-ratelimit-remaining") == "0"


def _seconds(answer: httpx2.Response) -> float:
    given = answer.headers.get("retry-after", "")
    return min(float(given), 3600.0) if given.isdecimal() else 60.0
