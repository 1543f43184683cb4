"""What separates a guest from its manifest, sub-key by sub-key, so that everything unmanaged survives."""

from collections.abc import Mapping
from dataclasses import dataclass

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Guest
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import Change
from innkeeper.settings.desired import Desired


@dataclass(frozen=True, slots=True)
class Difference:
    """All that a plan needs to bring one guest where its manifest wants it. Power is not in it.

    changes   what a person reads, manifest spelling, each with its impact; covers set, delete, resizes, pool, tags, notes
    set       config parameters to write, rendered, whole (what is unmanaged in them is kept); without tags and description
    delete    settings that go back to Proxmox's default; mounts and disks are only detached (they stay as `unusedN`)
    resizes   (slot, bytes): grow this volume to this size, after the config write; also for volumes newly imported
    replace   what only a new guest can have (template, unprivileged …): never done without `--replace`
    refused   severity error: shrinking, another storage, a detached volume …: never done; `detail` says how by hand
    waiting   accepted by Proxmox and in effect only after a restart; nothing to write
    owned     setting names for the marker (`cores`, `net0.bridge`, `mp0=/data`)
    pool      (from, to) where the pool differs
    tags      the tags to write, `innkeeper` among them, where they differ; None: they are right
    description  the visible text to write where it differs; None: it is right
    marker_changed  the guest lacks our marker or tag, or the marker names other settings, source or object
    """

    changes: tuple[Change, ...] = ()
    set: Mapping[str, str] = ...  # type: ignore[assignment]
    delete: tuple[str, ...] = ()
    resizes: tuple[tuple[str, int], ...] = ()
    replace: tuple[Change, ...] = ()
    refused: tuple[Diagnostic, ...] = ()
    waiting: tuple[Change, ...] = ()
    owned: tuple[str, ...] = ()
    pool: tuple[str | None, str | None] | None = None
    tags: tuple[str, ...] | None = None
    description: str | None = None
    marker_changed: bool = False

    @property
    def writes_config(self) -> bool:
        """Whether a config write is due (the pool and resizes are calls of their own)."""
        return bool(
            self.set or self.delete or self.tags is not None or self.description is not None or self.marker_changed
        )

    @property
    def empty(self) -> bool:
        """Nothing to write, replace or refuse. Waiting values may still be there."""
        return not (self.writes_config or self.resizes or self.pool or self.replace or self.refused)


def compare(
    guest: Guest, desired: Desired, observed: ObservedGuest, version: tuple[int, int], source: str
) -> Difference:
    """The difference; `observed.config` must be there (ValueError). `source` is ours, for the marker.

    A change to a guest that does not run needs no restart: its impact is `live` at most.
    """
    raise NotImplementedError
