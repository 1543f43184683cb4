"""What separates a guest from its manifest, sub-key by sub-key, so that everything unmanaged survives."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Guest
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import Change
from innkeeper.settings import canonical, fields, made, table
from innkeeper.settings.compare_volumes import compare_volumes
from innkeeper.settings.desired import Desired
from innkeeper.settings.marker import TAG, room
from innkeeper.settings.table import Setting
from innkeeper.settings.volumes import is_cd
from innkeeper.settings.work import Work, fulfils, overlay, parsed, refusal, write

_KEPT = frozenset({"model", "name", "type", "macaddr", "hwaddr", "volume", "file", "mp", "size"})
"""Sub-keys that stay when the manifest stops naming them: without them a device would be another one."""

_APART = frozenset({"pool", "tags", "description"})
_MARK = "tags."
"""Before the name of a tag that stands for something else that is declared, in the list of what we set."""
"""What has its own way back to the default."""


@dataclass(frozen=True, slots=True)
class Difference:
    """All that a plan needs to bring one guest where its manifest wants it. Power is not in it.

    changes   what a person reads, in manifest spelling, each with its impact: set, delete, resizes, pool, tags, notes
    set       config parameters to write, rendered whole (what is unmanaged in them is kept); no tags, no description
    delete    settings that go back to Proxmox's default; mounts and disks are only detached (they stay as `unusedN`)
    resizes   (slot, bytes): grow this volume to this size, before the config write; newly imported ones after it
    replace   what only a new guest can have (template, unprivileged …): never done without `--replace`
    refused   severity error: shrinking, another storage, a detached volume …: never done; `detail` says how by hand
    waiting   accepted by Proxmox and in effect only after a restart; nothing to write
    owned     setting names for the marker (`cores`, `net0.bridge`, `mp0=/data`)
    pool      (from, to) where the pool differs
    tags      the tags to write, `innkeeper` among them, where they differ; None: they are right
    unprotects      the protection goes, and volumes with it: Proxmox detaches them only after its protection is off
    description     the visible text to write where it differs; None: it is right
    marker_changed  the guest lacks our marker or tag, or the marker names other settings, source or object
    """

    changes: tuple[Change, ...] = ()
    set: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
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
    unprotects: bool = False

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
    if observed.config is None:
        raise ValueError(f"the configuration of {observed.vmid} was not read: {observed.unreadable}")
    marker = observed.marker
    ours = marker is not None and (marker.source, marker.kind, marker.name) == (source, guest.ref.kind, guest.ref.name)
    before = frozenset(marker.settings) if marker and ours else frozenset[str]()
    work = Work(guest, desired, observed, observed.config, before)
    for name, want in _scalars(work).items():
        _scalar(work, name, want)
    for name, parts in desired.parts.items():
        _parts(work, name, parts)
    compare_volumes(work)
    _only_at_creation(work)
    pool, tags, description = _pool(work), _tags(work), _description(work)
    _dropped(work)
    _waiting_deletions(work)
    unprotects = _guarded(work)
    _grown(work)
    owned = tuple(sorted(work.owned))
    tagged = TAG in canonical.tags(work.config.get("tags", ""))
    marker_changed = not ours or not tagged or frozenset(owned) != before
    if marker_changed or work.changes:
        _check_room(work, description, owned, source)
    return Difference(
        changes=_changes(work),
        set=MappingProxyType(work.writes),
        delete=tuple(work.delete),
        resizes=tuple(work.resizes),
        replace=tuple(work.replace),
        refused=tuple(work.refused),
        waiting=tuple(work.waiting),
        owned=owned,
        pool=pool,
        tags=tags,
        description=description,
        marker_changed=marker_changed,
        unprotects=unprotects,
    )


def _grown(work: Work) -> None:
    """A volume grows before its text is written: a text that waits for a restart must not bring the old size back."""
    for slot, size in work.resizes:
        setting = _setting(work, slot)
        if slot in work.writes and slot in work.config:
            parts = {**(parsed(setting, work.writes[slot]) or {}), "size": canonical.format_size(size)}
            work.writes[slot] = setting.render(parts)


def _guarded(work: Work) -> bool:
    """Whether protection must be lifted before volumes are detached; refused where it stays.

    Source: PVE::LXC::Config, method update_pct_config; PVE::API2::Qemu, method update_vm_api (check_protection).
    """
    gone = [name for name in work.delete if _is_volume(_setting(work, name))]
    if not gone or work.config.get("protection") != "1":
        return False
    if "protection" in work.delete or work.writes.get("protection") == "0":
        return True
    named = ", ".join(change.field for name, change in work.changes if name in gone)
    detail = "write protected: false, or declare them again"
    work.refused.append(refusal(work, "protected", "Protected", f"it is protected and keeps {named}", detail))
    return False


def _check_room(work: Work, description: str | None, owned: Iterable[str], source: str) -> None:
    left = room(work.observed.description if description is None else description, owned, source)
    if left < 0:
        text = f"the notes are {-left} characters too long: Innkeeper's marker needs room in them, too"
        work.refused.append(refusal(work, "description", "DescriptionTooLong", text, "shorten them"))


def _changes(work: Work) -> tuple[Change, ...]:
    """Proxmox takes a property string whole: where a part of it waits for a restart, the rest waits with it."""
    waits = {name for name, change in work.changes if name and change.impact == "restart"}
    return tuple(replace(change, impact="restart") if name in waits else change for name, change in work.changes)


def _scalars(work: Work) -> dict[str, str]:
    """What is named, and the host name where an earlier run of ours set it."""
    name = made.NAME[work.kind]
    extra = {name: work.desired.name} if name in work.before else {}
    return extra | dict(work.desired.scalars)


def _scalar(work: Work, name: str, want: str) -> None:
    setting = _setting(work, name)
    work.owned.add(name)
    if fulfils(work, setting, "", want, work.config.get(name)):
        if name in work.observed.pending and not fulfils(work, setting, "", want, work.observed.pending[name]):
            work.waiting.append(work.change(name, "", work.observed.pending[name], want))
        return
    change = work.change(name, "", work.config.get(name), want or None)
    if setting.how == "replace":
        work.replace.append(change)
        return
    work.changes.append((name, change))
    if want:
        work.writes[name] = want
    else:
        work.delete.append(name)


def _parts(work: Work, name: str, wanted: Mapping[str, str]) -> None:
    setting = _setting(work, name)
    work.owned |= {f"{name}.{part}" for part in wanted} or {name}
    found = parsed(setting, work.config.get(name))
    if found is None and _is_slot(setting):
        # a removal that still waits for a restart keeps its address when it is taken back
        base = parsed(setting, work.observed.pending.get(name)) or work.desired.fallbacks.get(name, {})
        work.writes[name] = setting.render({**base, **{part: want for part, want in wanted.items() if want}})
        work.changes.append((name, _appears(work, name, wanted)))
        return
    found = found or {}
    if _is_volume(setting) and not is_cd(found) and wanted.get("file", found.get("file")) != found.get("file"):
        detail = f"it holds {found.get('file')}; detach that first"
        work.refused.append(refusal(work, f"options.{name}", "SlotTaken", f"{name} holds another disk", detail))
        return
    overlay(work, name, setting, found, wanted)


def _appears(work: Work, name: str, wanted: Mapping[str, str]) -> Change:
    change = work.change(name, "", None, "new", whole=True)
    shown = {
        _leaf(work, name, part): fields.shown(work.kind, name, part, want) for part, want in wanted.items() if want
    }
    return Change(change.field, None, shown, change.impact)


def _leaf(work: Work, name: str, part: str) -> str:
    row = fields.field_of(work.kind, name, part)
    return row.leaf if row else part


def _setting(work: Work, name: str) -> Setting:
    setting = table.find(work.kind, name)
    if setting is None:
        raise ValueError(f"{work.kind} has no setting {name!r}")
    return setting


def _is_slot(setting: Setting) -> bool:
    return bool(setting.marks & {"device", "volume"})


def _is_volume(setting: Setting) -> bool:
    return "volume" in setting.marks


def _only_at_creation(work: Work) -> None:
    """Template, ssh keys and clone source: only the marker knows what a guest was made from."""
    marker = work.observed.marker
    if marker is None or not marker.made:
        return
    known = dict(marker.made)
    for path, before, after in made.departures(work.guest, work.desired, known):
        work.replace.append(Change(path, before, after, "replace"))


def _pool(work: Work) -> tuple[str | None, str | None] | None:
    want, found = work.desired.pool, work.observed.pool
    if want is not None:
        work.owned.add("pool")
    elif "pool" not in work.before:
        return None
    if want == found:
        return None
    work.changes.append(("", Change("pool", found, want, "none")))
    return found, want


def _tags(work: Work) -> tuple[str, ...] | None:
    """Ours, always `innkeeper`, and a `protected` that somebody put there by hand: it guards the guest."""
    found = canonical.tags(work.config.get("tags", ""))
    visible = {tag for tag in found if tag != TAG}
    if work.desired.tags is not None:
        work.owned.add("tags")
        wanted = {tag.lower() for tag in work.desired.tags} - {TAG}
    elif "tags" in work.before:
        wanted = set()
    else:
        wanted = visible - {name.removeprefix(_MARK) for name in work.before if name.startswith(_MARK)}
    work.owned |= {f"{_MARK}{mark}" for mark in work.desired.marks}
    wanted |= work.desired.marks | (visible & {"protected"})
    if wanted != visible:
        work.changes.append(("", Change("tags", [*sorted(visible)], [*sorted(wanted)], "none")))
    tags = tuple(sorted({*wanted, TAG}))
    return None if tags == found else tags


def _description(work: Work) -> str | None:
    found, want = canonical.notes(work.observed.description), work.desired.description
    if want is not None:
        work.owned.add("description")
    elif "description" in work.before:
        want = ""
    if want is None or want == found:
        return None
    work.changes.append(("", Change("description", found or None, want or None, "none")))
    return want


def _dropped(work: Work) -> None:
    """What we set once and the manifest names no more goes back to Proxmox's default."""
    gone = {name for name in work.before - work.owned - _APART if "=" not in name and not name.startswith(_MARK)}
    for name in sorted({name.partition(".")[0] for name in gone}):
        setting = table.find(work.kind, name)
        if setting is None or not setting.parts:
            _drop_scalar(work, name)
            continue
        parts = {entry.partition(".")[2] for entry in gone if entry.startswith(f"{name}.")}
        kept = any(entry == name or entry.startswith((f"{name}.", f"{name}=")) for entry in work.owned)
        _drop_parts(work, name, parts, kept=kept)


def _drop_scalar(work: Work, name: str) -> None:
    setting = table.find(work.kind, name)
    found = work.config.get(name)
    if setting is None or found is None or setting.how == "replace":
        return
    if "required" in setting.marks:
        if setting.default is not None and not fulfils(work, setting, "", setting.default, found):
            work.writes[name] = setting.default
            work.changes.append((name, work.change(name, "", found, setting.default)))
        return
    work.delete.append(name)
    work.changes.append((name, work.change(name, "", found, None)))


def _drop_parts(work: Work, name: str, parts: Iterable[str], *, kept: bool) -> None:
    setting = table.find(work.kind, name)
    found = parsed(setting, work.config.get(name)) if setting else None
    if setting is None or found is None:
        return
    if _is_slot(setting) and not kept:
        if "required" not in setting.marks:
            work.delete.append(name)
            work.changes.append((name, _disappears(work, name, setting, work.config[name])))
        return
    merged = parsed(setting, work.writes.get(name)) or dict(found)
    fallback = work.desired.fallbacks.get(name, {})
    for part in sorted(set(parts) - _KEPT):
        if part not in fallback and part in merged and fulfils(work, setting, part, merged[part], None):
            continue
        if part in merged and merged.get(part) != fallback.get(part):
            change = work.change(name, part, found.get(part), fallback.get(part), item=found.get("mp", ""))
            work.changes.append((name, change))
            if part in fallback:
                merged[part] = fallback[part]
            else:
                del merged[part]
    write(work, name, setting, found, merged)


def _waiting_deletions(work: Work) -> None:
    """What is set in the running guest and will not be after its restart."""
    for name, text in work.observed.pending.items():
        setting = table.find(work.kind, name)
        if setting is None or text is None or name in work.writes:
            continue
        if not setting.parts and name not in work.config:
            work.waiting.append(work.change(name, "", text, None))
        elif _is_slot(setting) and name not in work.config:
            work.waiting.append(_disappears(work, name, setting, text))
        else:
            running, found = parsed(setting, text) or {}, parsed(setting, work.config.get(name)) or {}
            gone = [part for part in running if part not in found]
            work.waiting += [work.change(name, part, running[part], None, item=running.get("mp", "")) for part in gone]


def _disappears(work: Work, name: str, setting: Setting, text: str) -> Change:
    parts = parsed(setting, text) or {}
    item = parts.get("name" if "device" in setting.marks else "mp", "")
    change = work.change(name, "", "attached", None, item=item, whole=True)
    return Change(change.field, text, None, change.impact)
