"""What a guest's manifest says about its inside, checked: roles, secrets and files that it refers to are there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from innkeeper.manifests.files import NoText, role_directory, role_names, text_beside
from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described
from innkeeper.manifests.vocabulary import nearest
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.inside import FILE_REF, Configure, SecretRef
from innkeeper.model.objects import Origin

ENVIRONMENT_STORE = "env"
_FIELD = "secretRef"


@dataclass(slots=True)
class Roles:
    """Looks roles up, each once."""

    _found: dict[tuple[str, tuple[Path, ...]], Path | None] = field(default_factory=dict)

    def directory(self, name: str, beside: tuple[Path, ...]) -> Path | None:
        if (name, beside) not in self._found:
            self._found[name, beside] = role_directory(name, beside)
        return self._found[name, beside]


def role_directories(
    configure: Configure, origin: Origin, beside: tuple[Path, ...], roles: Roles
) -> tuple[tuple[str, ...], tuple[Diagnostic, ...]]:
    """The directory of each role, and what is wrong with those that have none."""
    directories: list[str] = []
    found: list[Diagnostic] = []
    for index, call in enumerate(configure.roles):
        path = f"spec.configure.roles.{index}.role"
        if ".." in PurePosixPath(call.role).parts:
            advice = "Name a role below the manifest's directory."
            found.append(finding("UnsafeValue", origin, path, f"{described(call.role)} leads out of it", advice))
            continue
        directory = roles.directory(call.role, beside)
        if directory is None:
            known = role_names(beside)
            near = nearest(call.role, known)
            advice = (
                f"Did you mean {near}? " if near else ""
            ) + f"Known: {', '.join(known)}; or a directory beside it."
            found.append(finding("UnknownRole", origin, path, f"there is no role {described(call.role)}", advice))
        else:
            directories.append(str(directory))
    return tuple(directories), tuple(found)


def check_references(configure: Configure, origin: Origin, *, any_store: bool = False) -> Iterator[Diagnostic]:
    """Every `{secretRef: …}` in the variables of roles: as it should be, and to a store that is declared.

    `any_store`: stores are not declared where the manifest comes from (Secrets of Kubernetes).
    """
    for path, value in _in_variables(configure, _FIELD):
        yield from _reference(value, path, None if any_store else configure, origin)


def referred_files(
    configure: Configure, origin: Origin, beside: Sequence[Path]
) -> tuple[tuple[tuple[str, str], ...], tuple[Diagnostic, ...]]:
    """Each file that variables of roles refer to as `{fileRef: …}`, with its text; and what is wrong with others."""
    texts: dict[str, str] = {}
    found: list[Diagnostic] = []
    for path, value in _in_variables(configure, FILE_REF):
        name = value[FILE_REF]
        if len(value) > 1 or not isinstance(name, str):
            form = "Write {fileRef: a path}, and nothing beside it."
            found.append(finding("BadFileRef", origin, path, "this is no reference to a file", form))
            continue
        try:
            texts[name] = text_beside(name, beside)
        except NoText as problem:
            advice = "Name a text file below the manifest's directory."
            found.append(finding("BadFileRef", origin, path, f"{described(name)} {problem}", advice))
    return tuple(texts.items()), tuple(found)


def _in_variables(configure: Configure, field: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    for index, call in enumerate(configure.roles):
        yield from _references(call.vars, f"spec.configure.roles.{index}.vars", field)


def _reference(
    value: Mapping[str, object], path: str, configure: Configure | None, origin: Origin
) -> Iterator[Diagnostic]:
    form = "Write {secretRef: {name: a store, key: a word}}, and nothing beside it."
    try:
        ref = SecretRef.model_validate(value[_FIELD])
    except ValidationError:
        yield finding("BadSecretRef", origin, path, "this is no reference to a secret", form)
        return
    if len(value) > 1:
        yield finding("BadSecretRef", origin, path, "a reference stands alone", form)
    elif configure is not None and ref.name not in configure.secrets and ref.name != ENVIRONMENT_STORE:
        known = [*configure.secrets, ENVIRONMENT_STORE]
        near = nearest(ref.name, known)
        advice = (
            f"Did you mean {near}? " if near else ""
        ) + f"Declare it in spec.configure.secrets; there: {', '.join(known)}."
        yield finding("UnknownSecretStore", origin, path, f"no secret store is called {ref.name}", advice)


def _references(value: object, path: str, wanted: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    if isinstance(value, Mapping):
        if wanted in value:
            yield path, value
            return
        for name, part in value.items():
            yield from _references(part, f"{path}.{name}", wanted)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _references(part, f"{path}.{index}", wanted)
