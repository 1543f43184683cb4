"""From a declared guest to the Proxmox settings it means: only what the manifest names, in Proxmox's spelling."""

from collections.abc import Mapping
from dataclasses import dataclass

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import ClusterDefaults, Guest


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk or mount. `slot` is None for a mount that pairs by its path or takes the lowest free slot.

    `storage` is what the manifest names; `fallback` is where a new volume goes when it names none (the cluster's
    default). `size` in bytes. `parts` are further sub-keys (`backup`, `cache`), canonical. `source` is a bind mount's
    directory or, for `cdrom`-like options, a whole volume id. `import_from` is read at creation only.
    """

    slot: str | None
    path: str = ""
    storage: str | None = None
    fallback: str | None = None
    size: int | None = None
    parts: Mapping[str, str] = ...  # type: ignore[assignment]
    source: str | None = None
    import_from: str | None = None
    cloud_init: bool = False


@dataclass(frozen=True, slots=True)
class Desired:
    """What the manifest names; a setting that is in none of these is left alone.

    `scalars`: setting → value; `parts`: setting → sub-key → value (property strings, nics); an empty value means that
    it must not be set. `fallbacks`: sub-keys used only where a setting is made anew (the cluster's default bridge).
    `name` is the host name to create with; `named` tells whether the manifest says so itself.
    """

    scalars: Mapping[str, str]
    parts: Mapping[str, Mapping[str, str]]
    volumes: tuple[Volume, ...]
    description: str | None
    tags: tuple[str, ...] | None
    pool: str | None
    running: bool | None
    name: str = ""
    named: bool = False
    fallbacks: Mapping[str, Mapping[str, str]] = ...  # type: ignore[assignment]
    template: str | None = None
    """Container: volume id or short name, the cluster's default filled in (needed at creation only)."""
    ssh_keys: tuple[str, ...] | None = None
    """Container: public keys, which Proxmox takes at creation only."""


def compile_guest(
    guest: Guest, defaults: ClusterDefaults, version: tuple[int, int]
) -> tuple[Desired, tuple[Diagnostic, ...]]:
    """What this guest's manifest means on a Proxmox of that version (major, minor).

    Diagnostics (with file, line, column): options that are unknown to the kind or this version (with the nearest
    word), out of range, that clash with a field, that would smuggle; nics or volumes that claim one slot; new volumes
    without a storage or a size. Defaults count for what is created only: they never change a guest that exists.
    """
    raise NotImplementedError
