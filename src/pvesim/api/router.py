"""Which handler serves a path: the handlers of all modules below `pvesim.api`, joined with the facts of one version."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, field

import pvesim.api
from pvesim import schema
from pvesim.api.method import Handler, routes

REST = {"volume", "cidr"}  # parameters that take the rest of a path, slashes included


@dataclass(frozen=True, slots=True)
class Route:
    """One method that is served; `names` are its path parameters in order."""

    method: schema.Method
    handler: Handler
    names: tuple[str, ...]
    is_async: bool


@dataclass(slots=True)
class _Branch:
    routes: dict[str, Route] = field(default_factory=dict)  # by verb
    words: dict[str, _Branch] = field(default_factory=dict)
    parameter: _Branch | None = None
    rest: _Branch | None = None


class Router:
    """Finds routes. A handler whose method the facts of no version know is not served, but named in `unknown`."""

    def __init__(self, version: str, handlers: Iterable[tuple[str, str, Handler]] | None = None) -> None:
        self._root = _Branch()
        self.served: set[str] = set()
        self.unknown: set[str] = set()
        facts = schema.load(version)
        for verb, path, handler in discover() if handlers is None else handlers:
            name = f"{verb} {path}"
            if name in facts:
                self._add(facts[name], handler)
                self.served.add(name)
            elif not any(name in schema.load(known) for known in ("8.4", "9.1")):
                self.unknown.add(name)

    def find(self, verb: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and the values of its path parameters."""
        branch, values = self._root, []
        parts = [part for part in path.split("/") if part]
        for index, part in enumerate(parts):
            word = branch.words.get(part)
            if word is None and branch.rest:
                values.append("/".join(parts[index:]))
                branch = branch.rest
                break
            if word is None and branch.parameter:
                values.append(part)
                word = branch.parameter
            if word is None:
                return None
            branch = word
        route = branch.routes.get(verb)
        return (route, dict(zip(route.names, values, strict=True))) if route else None

    def _add(self, method: schema.Method, handler: Handler) -> None:
        branch, names = self._root, []
        for part in filter(None, method.path.split("/")):
            if not part.startswith("{"):
                branch = branch.words.setdefault(part, _Branch())
                continue
            names.append(part[1:-1])
            if names[-1] in REST:
                branch.rest = branch.rest or _Branch()
                branch = branch.rest
            else:
                branch.parameter = branch.parameter or _Branch()
                branch = branch.parameter
        branch.routes[method.verb] = Route(method, handler, tuple(names), inspect.iscoroutinefunction(handler))


def discover() -> list[tuple[str, str, Handler]]:
    """Every handler of the modules below `pvesim.api`, once."""
    names = sorted(info.name for info in pkgutil.walk_packages(pvesim.api.__path__, "pvesim.api."))
    found = [route for name in names for route in routes(vars(importlib.import_module(name)))]
    return list(dict.fromkeys(found))
