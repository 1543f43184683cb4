"""Service definitions in git: a YAML file for each domain, for whatever deploys the proxy from there."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from innkeeper.control.ports import FileChange, Repository, Service
from innkeeper.engine.errors import Conflict, Waiting
from innkeeper.model.server import DefinitionsPublisher
from innkeeper.publish.claims import Told, complain, settled
from innkeeper.publish.files import owner_line, owner_of

_LARGEST = 1 << 16
_SUFFIXES = (".yaml", ".yml")
_AUTHOR = "Innkeeper"


def definition(told: Told) -> Mapping[str, object]:
    """The fields of one service, as the proxy's own repository has them."""
    fields: dict[str, object] = {
        "name": told.service.ref.name,
        "type": "proxy",
        "domain": told.domain,
        "headers": told.expose.headers,
        "auth": told.expose.auth,
        "backend": f"https://{told.backend}" if told.expose.scheme == "https" else told.backend,
    }
    if told.expose.public:
        fields["public"] = True
    if told.service.health_path:
        fields["health"] = told.service.health_path
    return fields


def rendered(told: Told) -> str:
    return f"{owner_line(told.service.owner)}\n{yaml.safe_dump(dict(definition(told)), sort_keys=False)}"


class Definitions:
    """Implements `innkeeper.control.ports.Publisher`. Files that others wrote are read for their domains, no more."""

    def __init__(self, spec: DefinitionsPublisher, repository: Repository) -> None:
        """`repository` shows the whole tree of the branch (its path is `.`)."""
        self.name = spec.name
        self._below = spec.path
        self._repository = repository

    async def publish(self, services: Sequence[Service]) -> tuple[str, ...]:
        head = await self._repository.fetch()
        root = await self._repository.checkout(head.revision)
        present = await asyncio.to_thread(_present, root / self._below)
        owners = {Path(name).stem: owner_of(text) for name, text in present.items()}
        owners |= {_domain(text): owner_of(text) for text in present.values()}
        told, problems = settled(services, owners)
        wanted = {f"{item.domain}.yaml": rendered(item) for item in told}
        ours = {name: text for name, text in present.items() if owner_of(text)}
        changes = [
            FileChange(f"{self._below}/{name}", wanted.get(name))
            for name in sorted(ours.keys() | wanted.keys())
            if ours.get(name) != wanted.get(name)
        ]
        if changes:
            await self._commit(changes, head.revision)
        complain(f"definitions {self.name}", problems)
        return tuple(f"{change.path} {'is removed' if change.text is None else 'is written'}" for change in changes)

    async def _commit(self, changes: Sequence[FileChange], revision: str) -> None:
        names = [Path(change.path).stem for change in changes]
        subject = f"Services: {', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
        try:
            await self._repository.commit(changes, subject, _AUTHOR, below=self._below, expected=revision)
        except Conflict as error:
            raise Waiting(error.message, "it is tried again on what is there now", 5.0) from None


def _present(directory: Path) -> dict[str, str]:
    """Name → text of every definition, ours and others'."""
    found: dict[str, str] = {}
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.suffix in _SUFFIXES and path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as stream:
                found[path.name] = stream.read(_LARGEST)
    return found


def _domain(text: str) -> str:
    try:
        fields = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return ""
    domain = fields.get("domain") if isinstance(fields, dict) else None
    return domain if isinstance(domain, str) else ""
