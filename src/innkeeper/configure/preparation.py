"""What can be known before anything is done: fingerprints of configurations, and all that is missing for them."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from innkeeper.configure.fingerprint import fingerprint
from innkeeper.configure.gitremote import GitProblem, Remotes
from innkeeper.configure.roles import BadRole, Roles
from innkeeper.configure.secrets.references import references
from innkeeper.configure.secrets.stores import Missing, SecretReader
from innkeeper.engine.errors import EngineError
from innkeeper.engine.inside import Inside, Tracked
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.inside import SecretRef
from innkeeper.model.objects import Ref


@dataclass(slots=True)
class Found:
    """What was found out about one guest."""

    secrets: dict[SecretRef, object] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    fingerprint: str | None = None


def wanted(item: Inside) -> Iterator[tuple[str, SecretRef]]:
    """Every reference of a guest, with its place below the object."""
    for index, call in enumerate(item.roles):
        yield from references(call.variables, f"spec.configure.roles.{index}.vars")
    for tracked in item.tracked:
        yield from references(tracked.key, "spec.repository.key")


async def prepared(
    items: Sequence[Inside], secrets: SecretReader, remotes: Remotes, pepper: Callable[[], bytes]
) -> Mapping[Ref, Found]:
    """Everything about every guest; nothing is changed anywhere."""
    found = {item.ref: Found() for item in items}
    await asyncio.to_thread(_resolve, items, secrets, found)
    asked: dict[_Question, asyncio.Task[str]] = {}
    for item in items:
        for tracked in item.tracked:
            question = _question(tracked, found[item.ref])
            if question[2] is None and tracked.key is not None:
                continue  # its key is missing, which is said
            if question not in asked:
                asked[question] = asyncio.create_task(remotes.commit(*question))
    await asyncio.gather(*asked.values(), return_exceptions=True)
    for item in items:
        for tracked in item.tracked:
            answer = asked.get(_question(tracked, found[item.ref]))
            if answer is not None:
                _take(item, answer, found[item.ref])
    await asyncio.to_thread(_fingerprint_all, items, found, pepper)
    return found


_Question = tuple[str, str, str | None, str | None]
"""URL, branch, key and known hosts."""


def _question(tracked: Tracked, found: Found) -> _Question:
    keys = (str(found.secrets[ref]) for _, ref in _safe(references(tracked.key)) if ref in found.secrets)
    return tracked.url, tracked.branch, next(keys, None), tracked.known_hosts


def _safe(pairs: Iterator[tuple[str, SecretRef]]) -> Iterable[tuple[str, SecretRef]]:
    try:
        return list(pairs)
    except ValueError:
        return ()  # said where secrets are resolved


def _resolve(items: Sequence[Inside], secrets: SecretReader, found: Mapping[Ref, Found]) -> None:
    for item in items:
        mine = found[item.ref]
        try:
            pairs = list(wanted(item))
        except ValueError as error:
            mine.diagnostics.append(_wrong("BadSecretRef", item, str(error), "", item.origin.at("spec.configure")))
            continue
        said: set[SecretRef] = set()
        for path, ref in pairs:
            if ref in mine.secrets or ref in said:
                continue
            try:
                mine.secrets[ref] = secrets.get(ref, item.stores, Path(item.origin.directory))
            except Missing as problem:
                said.add(ref)
                summary = f"the secret {ref.name}/{ref.key} is missing: {problem.place}"
                mine.diagnostics.append(_wrong("MissingSecret", item, summary, problem.advice, item.origin.at(path)))
            except EngineError as error:
                said.add(ref)
                mine.diagnostics.append(
                    _wrong("MissingSecret", item, error.message, error.advice, item.origin.at(path))
                )


def _take(item: Inside, task: "asyncio.Task[str]", found: Found) -> None:
    try:
        found.commits.append(task.result())
    except GitProblem as error:
        place = item.origin.at("spec")
        found.diagnostics.append(_wrong(error.code, item, str(error), error.advice, place))
    except EngineError as error:
        found.diagnostics.append(_wrong("GitUnreachable", item, error.message, error.advice, item.origin.at("spec")))


def _fingerprint_all(items: Sequence[Inside], found: Mapping[Ref, Found], pepper: Callable[[], bytes]) -> None:
    roles = Roles()
    for item in items:
        _fingerprint(item, roles, found[item.ref], pepper)


def _fingerprint(item: Inside, roles: Roles, found: Found, pepper: Callable[[], bytes]) -> None:
    digests: list[str] = []
    for index, call in enumerate(item.roles):
        try:
            digests.append(roles.digest(call.directory))
        except BadRole as error:
            place = item.origin.at(f"spec.configure.roles.{index}")
            found.diagnostics.append(_wrong("BadRole", item, str(error), error.advice, place))
        except OSError as error:
            place = item.origin.at(f"spec.configure.roles.{index}")
            summary = f"the role {call.directory} cannot be read: {error.strerror}"
            found.diagnostics.append(_wrong("BadRole", item, summary, "", place))
    if not found.diagnostics:
        found.fingerprint = fingerprint(item, digests, found.commits, found.secrets, pepper)


def _wrong(code: str, item: Inside, summary: str, detail: str, place: Location) -> Diagnostic:
    return Diagnostic("error", code, f"{item.ref}: {summary}", detail, place)
