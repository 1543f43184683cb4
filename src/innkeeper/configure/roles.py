"""Role directories: where they are, and one hash over everything that a role would do."""

import hashlib
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from innkeeper.model.inside import MACHINE_FILE

BUNDLED = Path(__file__).parent.parent / "roles"
"""The roles that come with Innkeeper."""

RECIPE = "recipe"
"""The bundled role that runs cookbooks."""
COOKBOOK = ("attributes", "files", "libraries", "metadata.rb", "recipes", "resources", "templates")
"""What a cookbook is made of; what else lies in its directory (`container.local.env`) stays where it is."""
_IGNORED = frozenset({".git", "__pycache__", "molecule", ".ansible"})
_LARGEST = 64 * 1024 * 1024


class BadRole(Exception):
    """Why a directory cannot be used as a role; `advice` says what to do."""

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Roles:
    """Hashes of role directories, each read once."""

    def __init__(self) -> None:
        self._hashes: dict[Path, str | BadRole] = {}

    def digest(self, directory: str) -> str:
        """A hash over the role and the roles that its `meta` depends on. BadRole when it cannot be used."""
        whole = hashlib.sha256()
        for role in _with_dependencies(Path(directory)):
            whole.update(f"{role.name} {self._one(role)}\n".encode())
        return whole.hexdigest()

    def _one(self, role: Path) -> str:
        if role not in self._hashes:
            try:
                self._hashes[role] = _content_hash(role)
            except BadRole as error:
                self._hashes[role] = error
        found = self._hashes[role]
        if isinstance(found, BadRole):
            raise found
        return found


def is_cookbook(directory: Path) -> bool:
    """Whether a role's directory holds a recipe in place of tasks."""
    return (directory / "recipes/default.rb").is_file() and not (directory / "tasks").is_dir()


def search_path(directories: Iterable[str]) -> tuple[Path, ...]:
    """Where Ansible looks for roles: beside each of these, then among the bundled ones."""
    return tuple(dict.fromkeys([*(Path(directory).absolute().parent for directory in directories), BUNDLED]))


def found_by_name(directory: str, path: Sequence[Path]) -> str:
    """The role's name where Ansible finds that directory by it, else the whole path."""
    role = Path(directory).absolute()
    first = next((base for base in path if (base / role.name).is_dir()), None)
    return role.name if first == role.parent else str(role)


def _with_dependencies(role: Path) -> Iterator[Path]:
    waiting, seen = [role], set[Path]()
    while waiting:
        role = waiting.pop()
        if role in seen:
            continue
        seen.add(role)
        yield role
        if is_cookbook(role):
            waiting.append(BUNDLED / RECIPE)
        for name in _dependencies(role):
            found = next((base / name for base in (role.parent, BUNDLED) if (base / name).is_dir()), None)
            if found is not None:  # one that is not there is Ansible's to refuse: it may be a collection's
                waiting.append(found)


def _dependencies(role: Path) -> list[str]:
    """The names of the roles that this one brings in: by its `meta`, and by its tasks."""
    found = set(_named(_parsed(role / "meta/main.yml").get("dependencies")))
    for folder in ("tasks", "handlers"):
        for path in sorted((role / folder).rglob("*.y*ml")):
            found.update(_brought_in(_parsed(path)))
    return sorted(name for name in found if "/" not in name and name not in (".", ".."))


def _parsed(path: Path) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}  # Ansible will say so, with the place
    return content if isinstance(content, dict) else {"": content}


def _named(entries: object) -> Iterator[str]:
    if not isinstance(entries, list):
        return
    for entry in entries:
        name = entry.get("role") or entry.get("name") if isinstance(entry, dict) else entry
        if isinstance(name, str):
            yield name


def _brought_in(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for part in value:
            yield from _brought_in(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            if str(key).rpartition(".")[2] in ("import_role", "include_role") and isinstance(part, dict):
                yield from _named([part])
            elif isinstance(part, list | dict):
                yield from _brought_in(part)


def _content_hash(role: Path) -> str:
    if not role.is_dir():
        raise BadRole(f"there is no role directory {role}", "name a bundled role, or a directory beside the manifest")
    cookbook = is_cookbook(role)
    if not cookbook and not any((role / part).exists() for part in ("tasks", "meta", "handlers", "defaults")):
        raise BadRole(
            f"{role} is not an Ansible role: it has no tasks/main.yml",
            "put the tasks there, or a recipe into recipes/default.rb",
        )
    whole, root, size = hashlib.sha256(), role.resolve(), 0
    for path in sorted(role.rglob("*")):
        parts = path.relative_to(role).parts
        if _IGNORED.intersection(parts) or (cookbook and parts[0] not in COOKBOOK):
            continue
        if MACHINE_FILE.fullmatch(parts[0]):
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise BadRole(f"{path} is a link that leads out of its role", "put the file itself into the role")
        if not path.is_file():
            continue
        size += path.stat().st_size
        if size > _LARGEST:
            raise BadRole(f"the role {role} holds more than 64 MiB", "let it download what is that large")
        executable = bool(path.stat().st_mode & stat.S_IXUSR)
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        whole.update(f"{path.relative_to(role).as_posix()}\0{executable:d}\0{content}\n".encode())
    return whole.hexdigest()
