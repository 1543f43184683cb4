"""Translated objects as native manifests that may lie elsewhere: their relative paths still lead to the same files."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from innkeeper.manifests.drafts import Draft
from innkeeper.manifests.writing import Manifest, manifest
from innkeeper.model.objects import ADOPT

_STORE_PATHS = ("files", "vault", "vaultPasswordFile", "sops", "age", "ageIdentity")


@dataclass(frozen=True, slots=True)
class Conversion:
    """`brought` are directories of roles, by the names that the manifests call them by; they must lie beside them."""

    manifests: tuple[Manifest, ...]
    brought: Mapping[str, Path]


def native(drafts: Iterable[Draft], directory: Path, *, adopt: bool) -> Conversion:
    """The manifests to write into `directory`. `adopt`: guests that name a vmid are to be taken over."""
    manifests: list[Manifest] = []
    brought: dict[str, Path] = {}
    for item in drafts:
        base = Path(item.origin.directory)
        for name in _roles(item.spec):
            if (base / name).is_dir():
                brought[name] = base / name
        annotations = dict(item.metadata.annotations)
        if adopt and item.spec.get("vmid") is not None:
            annotations[ADOPT] = "true"
        spec = _moved(item.spec, base, directory)
        manifests.append(manifest(item.ref.kind, item.ref.name, spec, annotations, item.metadata.labels))
    return Conversion(tuple(manifests), brought)


def _roles(spec: Mapping[str, object]) -> Iterable[str]:
    configure = _map(spec.get("configure"))
    calls = configure.get("roles")
    return [str(call["role"]) for call in calls if isinstance(call, Mapping)] if isinstance(calls, tuple) else []


def _moved(spec: Mapping[str, object], base: Path, directory: Path) -> dict[str, object]:
    """The spec with the paths of secrets as they are seen from the new directory."""
    result = dict(spec)
    if credentials := _map(spec.get("credentials")):
        result["credentials"] = {
            name: {**value, "file": _seen(str(value["file"]), base, directory)}
            if isinstance(value, Mapping) and "file" in value
            else value
            for name, value in credentials.items()
        }
    configure = _map(spec.get("configure"))
    if stores := _map(configure.get("secrets")):
        moved = {
            name: {
                key: _seen(str(value), base, directory) if key in _STORE_PATHS else value
                for key, value in _map(store).items()
            }
            for name, store in stores.items()
        }
        result["configure"] = {**configure, "secrets": moved}
    return result


def _seen(path: str, base: Path, directory: Path) -> str:
    if path.startswith(("/", "~")):
        return path
    return os.path.relpath(base.absolute() / path, directory.absolute())


def _map(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
