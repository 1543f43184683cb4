"""The few calls to Kubernetes' API that kopf leaves to us: lists at the start, patches, Secrets, Events, the Lease.

kopf watches and signs in; this client uses the same sign-in (service account or kubeconfig) and holds one connection
pool. Refusals are the engine's errors, so that one rule decides what is tried again.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import kopf

from innkeeper.engine.errors import Conflict, EngineError, NotLetIn, Stalled, Waiting

_PAGE = 500
_MERGE = "application/merge-patch+json"

Body = Mapping[str, Any]


class Gone(EngineError):
    """The object is not there (any more)."""


class Kubernetes:
    """One API server."""

    def __init__(self, settings: kopf.OperatorSettings) -> None:
        self._settings = settings
        self._client: httpx2.AsyncClient | None = None
        self.namespace = "default"
        self.calls = 0

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def get(self, path: str) -> dict[str, Any]:
        return await self.call("GET", path)

    async def items(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Every object of a list, page by page."""
        after = ""
        while True:
            page = await self.call("GET", path, params={"limit": str(_PAGE), **({"continue": after} if after else {})})
            for item in page["items"]:
                yield item
            after = page["metadata"].get("continue", "")
            if not after:
                return

    async def create(self, path: str, body: Body) -> dict[str, Any]:
        return await self.call("POST", path, body)

    async def replace(self, path: str, body: Body) -> dict[str, Any]:
        return await self.call("PUT", path, body)

    async def delete(self, path: str, uid: str) -> None:
        """Delete the object of this uid; Conflict where another one has its name by now."""
        await self.call("DELETE", path, {"preconditions": {"uid": uid}})

    async def patch(self, path: str, body: Body) -> dict[str, Any]:
        """A merge patch; with `metadata.resourceVersion` in it a Conflict when somebody wrote meanwhile."""
        return await self.call("PATCH", path, body, kind=_MERGE)

    async def call(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        kind: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """One call and its JSON. Gone, Conflict, NotLetIn, Stalled (refused), Waiting (not reached, busy)."""
        for attempt in (1, 2):
            client = self._client or self._connect()
            self.calls += 1
            problem = ""
            try:
                answer = await client.request(
                    method,
                    path,
                    content=None if body is None else json.dumps(body).encode(),
                    headers={"Content-Type": kind},
                    params=params,
                )
            except (httpx2.HTTPError, OSError) as error:
                problem = str(error) or type(error).__name__
            if problem:
                raise Waiting(f"{method} {path}: Kubernetes' API is not reached: {problem}", "", 1.0)
            if answer.status_code != 401 or attempt == 2:
                break
            await self.close()  # the service account's token is renewed on disk
        if answer.status_code < 300:
            found: dict[str, Any] = answer.json()
            return found
        raise _refusal(f"{method} {path}", answer.status_code, _said(answer))

    def _connect(self) -> httpx2.AsyncClient:
        info = kopf.login_with_service_account(settings=self._settings) or kopf.login_with_kubeconfig(
            settings=self._settings
        )
        if info is None:
            raise Stalled("there is no way in to Kubernetes", "run in a pod with a service account, or set KUBECONFIG")
        self.namespace = info.default_namespace or "default"
        self._client = httpx2.AsyncClient(
            base_url=info.server,
            headers=info.as_http_headers(),
            verify=info.as_ssl_context(),
            trust_env=False,
            timeout=30.0,
            limits=httpx2.Limits(max_connections=8, max_keepalive_connections=8),
        )
        return self._client


def _said(answer: httpx2.Response) -> str:
    try:
        return str(answer.json().get("message", ""))
    except ValueError:
        return answer.text[:200]


def _refusal(call: str, status: int, said: str) -> EngineError:
    text = f"{call}: {said or status}"
    if status == 404:
        return Gone(text)
    if status == 409:
        return Conflict(text)
    if status == 401:
        return NotLetIn(text)
    if status == 429 or status >= 500:
        return Waiting(text, "", 1.0)
    return Stalled(text)
