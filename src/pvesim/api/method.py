"""What a handler of the API is, what it gets and how it answers.

    @method("PUT", "/nodes/{node}/lxc/{vmid}/config")
    async def update_config(call: Call) -> object: ...

A handler may be sync or async and returns the JSON `data`. Every module below `pvesim.api` is searched for handlers.
Before it runs, the parameters (path parameters included) were checked against the facts of `pvesim.schema` and typed,
and the privileges that the method's declaration can state were tested; what depends on values, the handler checks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pvesim.cluster.access import Auth, Rights, check_rights
from pvesim.cluster.state import Cluster
from pvesim.cluster.tasks import TaskLog, Worker
from pvesim.errors import ApiError, TaskFailed, param_error

__all__ = [
    "ApiError",
    "Auth",
    "Call",
    "Handler",
    "Params",
    "TaskFailed",
    "TaskLog",
    "Worker",
    "method",
    "param_error",
    "routes",
]

Params = dict[str, Any]


@dataclass(slots=True)
class Call:
    """One request on its way through a handler. `here` is the node that serves HTTP, `node` what it is about."""

    cluster: Cluster
    auth: Auth
    here: str
    params: Params
    method: str = "GET"
    path: str = "/"
    upids: list[str] = field(default_factory=list)  # tasks that this call has started
    attributes: dict[str, Any] = field(default_factory=dict)  # what stands beside `data`: total, changes
    upload: bytes | None = None  # the content of an uploaded file; its name is the parameter `filename`
    known_rights: Rights | None = None  # see `rights`

    @property
    def node(self) -> str:
        return str(self.params.get("node", self.here))

    @property
    def rights(self) -> Rights:
        """What the caller may do, worked out once for this call."""
        if self.known_rights is None:
            self.known_rights = Rights(self.cluster, self.auth)
        return self.known_rights

    def check(self, path: str, *privs: str, any: bool = False) -> None:  # noqa: A002
        """ApiError 403 unless the caller has all (`any`: one) of `privs` at `path` (PVE::RPCEnvironment, check)."""
        check_rights(self.rights, path, privs, any_of=any)

    def allowed(self, path: str, *privs: str, any: bool = False) -> bool:  # noqa: A002
        """The same as a question."""
        return self.rights.has(path, privs, any_of=any)

    def fork(self, type: str, id: str | int, worker: Worker, node: str | None = None) -> str:  # noqa: A002
        """Start a task of this caller on `node` (default: the node that the call is about); returns its UPID."""
        upid = self.cluster.tasks.start(node or self.node, type, str(id), self.auth.name, worker)
        self.upids.append(upid)
        return upid


Handler = Callable[[Call], Awaitable[object] | object]
H = TypeVar("H", bound=Callable[[Call], Any])


def method(verb: str, path: str) -> Callable[[H], H]:
    """Mark a handler as the one for `verb path`; one handler may serve several."""

    def mark(handler: H) -> H:
        marks: list[tuple[str, str]] = getattr(handler, "__pve_methods__", [])
        handler.__pve_methods__ = [*marks, (verb, path)]  # type: ignore[attr-defined]
        return handler

    return mark


def routes(namespace: dict[str, Any]) -> list[tuple[str, str, Handler]]:
    """The handlers of a module (`vars(module)`), as (verb, path, handler)."""
    return [(verb, path, value) for value in namespace.values() for verb, path in getattr(value, "__pve_methods__", ())]
