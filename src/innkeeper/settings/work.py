"""What a comparison works on and has found so far, and the sub-key by sub-key overlay that all its parts share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Guest
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.plan import Change
from innkeeper.settings import canonical, fields
from innkeeper.settings.desired import Desired
from innkeeper.settings.impact import impact_of
from innkeeper.settings.table import Setting


@dataclass(slots=True)
class Work:
    """What a comparison has found so far; `before` is what the marker says that we set."""

    guest: Guest
    desired: Desired
    observed: ObservedGuest
    config: Mapping[str, str]
    before: frozenset[str]
    changes: list[tuple[str, Change]] = field(default_factory=list)
    """Each with the setting that is written for it, empty where it is a call of its own."""
    writes: dict[str, str] = field(default_factory=dict)
    delete: list[str] = field(default_factory=list)
    resizes: list[tuple[str, int]] = field(default_factory=list)
    replace: list[Change] = field(default_factory=list)
    refused: list[Diagnostic] = field(default_factory=list)
    waiting: list[Change] = field(default_factory=list)
    owned: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        return self.guest.ref.kind

    def had(self, slot: str) -> bool:
        """Whether we set this slot or any of its sub-keys."""
        return any(name == slot or name.startswith((f"{slot}.", f"{slot}=")) for name in self.before)

    def change(
        self, name: str, part: str, before: str | None, after: str | None, *, item: str = "", whole: bool = False
    ) -> Change:
        """One change of a setting or sub-key; `whole`: the slot appears or goes."""
        impact = impact_of(self.observed, name, part, before, after, whole=whole)
        if name in self.desired.options:
            return Change(".".join(filter(None, ("options", name, part))), before, after, impact)
        label = fields.label(self.kind, name, part, item or self.desired.names.get(name, ""))
        shown = [fields.shown(self.kind, name, part, text) for text in (before, after)]
        return Change(label, shown[0], shown[1], impact)


def overlay(
    work: Work, name: str, setting: Setting, found: Mapping[str, str], wanted: Mapping[str, str], item: str = ""
) -> None:
    """Lay our sub-keys over what is there; what is equal stays untouched, down to its spelling."""
    merged = dict(found)
    for part, want in wanted.items():
        if fulfils(work, setting, part, want, found.get(part)):
            continue
        change = work.change(name, part, found.get(part), want or None, item=item)
        how = setting.parts[part].how if part in setting.parts else setting.how
        if how == "replace":
            work.replace.append(change)
        elif how == "refused":
            text = f"{name}: {part} cannot change from {found.get(part)!r} to {want!r}"
            detail = f"leave {part} out, or change it by hand"
            work.refused.append(refusal(work, f"options.{name}", "FixedPart", text, detail))
        else:
            work.changes.append((name, change))
            merged[part] = want
    write(work, name, setting, found, {part: value for part, value in merged.items() if value})
    _waiting(work, name, setting, found, wanted, item)


def _waiting(
    work: Work, name: str, setting: Setting, found: Mapping[str, str], wanted: Mapping[str, str], item: str
) -> None:
    """What is right in the configuration, and not yet in the running guest."""
    if name not in work.observed.pending or not found:
        return
    running = parsed(setting, work.observed.pending[name])
    if running is None and setting.marks & {"device", "volume"}:
        work.waiting.append(work.change(name, "", None, "new", item=item, whole=True))
        return
    for part, want in wanted.items():
        there = (running or {}).get(part)
        if fulfils(work, setting, part, want, found.get(part)) and not fulfils(work, setting, part, want, there):
            work.waiting.append(work.change(name, part, there, want or None, item=item))


def write(work: Work, name: str, setting: Setting, found: Mapping[str, str], merged: Mapping[str, str]) -> None:
    base = parsed(setting, work.writes.get(name)) or found
    if merged == base:
        return
    if merged:
        work.writes[name] = setting.render(merged)
    else:
        work.delete.append(name)


def fulfils(work: Work, setting: Setting, part: str, want: str, found: str | None) -> bool:
    """Whether what Proxmox has fulfils what we want; a value that is not set counts as Proxmox's default."""
    form = fields.form(setting, part)
    if found is None or not found.strip():
        default = fields.default(setting, part)
        return not want or (default is not None and canonical.same(form, want, default))
    if not want:
        return False
    if setting.name == "boot" and part == "order":
        return _boot_order(work, want, found)
    return canonical.same(form, want, found)


def _boot_order(work: Work, want: str, found: str) -> bool:
    """Proxmox puts a CD drive that is added later at the end by itself; such ones may follow ours."""
    ours, theirs = canonical.items(want), canonical.items(found)
    extra = (work.config.get(slot, "") for slot in theirs[len(ours) :])
    return theirs[: len(ours)] == ours and all("media=cdrom" in text.split(",") for text in extra)


def parsed(setting: Setting, text: str | None) -> dict[str, str] | None:
    """The sub-keys of an observed value; None where it is not set; a value that cannot be read counts as text."""
    if text is None or not text.strip():
        return None
    try:
        return setting.parse(text)
    except ValueError:
        return {setting.key or "value": text}


def refusal(work: Work, path: str, code: str, summary: str, detail: str) -> Diagnostic:
    """An error about this guest at a field of its manifest."""
    place = work.guest.origin.at(f"spec.{path}") if path else work.guest.origin.location
    return Diagnostic("error", code, f"{work.guest.ref} ({work.observed.vmid}): {summary}", detail, place)
