"""Disks and mounts: paired by slot, path or marker; grown, detached, never shrunk, moved or replaced."""

from collections.abc import Iterator, Mapping
from itertools import chain

from innkeeper.model.plan import Change
from innkeeper.model.units import format_quantity
from innkeeper.settings import canonical, fields, table
from innkeeper.settings.volumes import EXTENT, Volume, disk_format, is_cd, is_cloud_init, missing, request, storage_of
from innkeeper.settings.work import Work, overlay, parsed, refusal


def compare_volumes(work: Work) -> None:
    """Compare every declared volume with what is in its slot."""
    for volume, slot in _pair(work):
        setting = table.find(work.kind, slot)
        assert setting is not None
        running = work.observed.pending.get(slot)
        found = parsed(setting, work.config.get(slot))
        if volume.cloud_init and found is None and not (volume.storage or work.had(slot)):
            continue
        work.owned |= {f"{slot}.{part}" for part in (setting.key, *volume.parts)}
        work.owned |= {f"{slot}={volume.path}"} if volume.path else set()
        if found is not None:
            _existing(work, volume, slot, found)
        elif running is not None:
            _restore(work, volume, slot, running)
        else:
            _new(work, volume, slot)


def _pair(work: Work) -> Iterator[tuple[Volume, str]]:
    """Each volume with its slot: named, else by path, else by what the marker recorded, else the lowest free one."""
    taken = {volume.slot for volume in work.desired.volumes if volume.slot}
    for volume in work.desired.volumes:
        if volume.cloud_init:
            yield from _cloud_init(work, volume)
            continue
        slot = volume.slot or _by_path(work, volume.path, taken) or _recorded(work, volume.path, taken)
        if slot is None:
            busy = taken | set(work.config) | set(work.observed.pending)
            slot = next((free for free in table.slots(work.kind, "mp") if free not in busy), None)
        if slot is None:
            text = "all 256 mounts of the container are in use"
            work.refused.append(refusal(work, volume.where, "NoFreeSlot", text, "drop one"))
            continue
        taken.add(slot)
        yield volume, slot


def _by_path(work: Work, path: str, taken: set[str]) -> str | None:
    """The mount that has this path, or had it until its removal, which still waits for a restart."""
    wanted = f"mp={path}"
    removed = ((slot, text) for slot, text in work.observed.pending.items() if slot not in work.config)
    for slot, text in chain(work.config.items(), removed):
        if text and slot.startswith("mp") and slot not in taken and wanted in text.split(","):
            return slot
    return None


def _recorded(work: Work, path: str, taken: set[str]) -> str | None:
    slots = (name.partition("=")[0] for name in sorted(work.before) if name.partition("=")[2] == path)
    return next((slot for slot in slots if slot not in taken), None)


def _cloud_init(work: Work, volume: Volume) -> Iterator[tuple[Volume, str]]:
    """The cloud-init drive, of which a VM can have one, wherever it is attached."""
    attached = next((slot for slot, text in work.config.items() if _holds_cloud_init(work, slot, text)), None)
    if attached and volume.pinned and attached != volume.slot:
        detail = f"write slot: {attached}, or detach that drive (its content is generated)"
        text = f"the cloud-init drive is at {attached}, not at {volume.slot}"
        work.refused.append(refusal(work, volume.where, "SlotTaken", text, detail))
        work.owned |= {entry for entry in work.before if entry.startswith(f"{attached}.")}
    else:
        yield volume, attached or volume.slot or ""


def _holds_cloud_init(work: Work, slot: str, text: str) -> bool:
    return fields.group_of(work.kind, slot) == "disks" and is_cloud_init(text.partition(",")[0])


def _existing(work: Work, volume: Volume, slot: str, found: Mapping[str, str]) -> None:
    setting = table.find(work.kind, slot)
    assert setting is not None
    there = found.get(setting.key, "")
    if volume.cloud_init != is_cloud_init(there) or (is_cd(found) and not volume.cloud_init):
        detail = f"it holds {there}; detach that first, or choose another slot"
        work.refused.append(refusal(work, volume.where, "SlotTaken", f"{slot} holds another kind of drive", detail))
        return
    wanted = dict(volume.parts)
    if volume.source is not None and there.startswith("/"):
        wanted[setting.key] = volume.source
    elif (volume.source is not None) != there.startswith("/"):
        detail = "take the mount out of the manifest, apply, then declare the other one"
        text = f"{slot} is {'a directory' if there.startswith('/') else 'a volume'}, the manifest wants the opposite"
        work.refused.append(refusal(work, volume.where, "SlotTaken", text, detail))
        return
    else:
        _fixed(work, volume, slot, found)
        _size(work, volume, slot, found)
    overlay(work, slot, setting, found, wanted, item=volume.path)


def _fixed(work: Work, volume: Volume, slot: str, found: Mapping[str, str]) -> None:
    """Storage and format: content would have to be copied, which is a person's decision."""
    there = found.get("file") or found.get("volume") or ""
    command = (
        f"pct move-volume {work.observed.vmid}" if work.kind == "Container" else f"qm disk move {work.observed.vmid}"
    )
    if volume.storage and volume.storage != storage_of(there):
        text = f"{slot} is on storage {storage_of(there)!r}, the manifest says {volume.storage!r}"
        detail = f"move it ({command} {slot} {volume.storage}), or write storage: {storage_of(there)}"
        work.refused.append(refusal(work, f"{volume.where}.storage", "StorageDiffers", text, detail))
    if volume.format and volume.format != disk_format(found):
        text = f"{slot} is {disk_format(found)}, the manifest says {volume.format}"
        detail = f"convert it ({command} {slot} {storage_of(there)} --format {volume.format}), or change the manifest"
        work.refused.append(refusal(work, f"{volume.where}.format", "FormatDiffers", text, detail))


def _size(work: Work, volume: Volume, slot: str, found: Mapping[str, str]) -> None:
    there = max((_bytes(parts) for parts in (found, _running(work, slot, found))), default=0)
    if volume.size is None or not there:
        return
    if volume.size > there:
        work.resizes.append((slot, volume.size))
        work.changes.append(("", _resize(work, volume, slot, there)))
    elif there - volume.size >= EXTENT:
        text = f"{slot} has {format_quantity(there)}, the manifest says {format_quantity(volume.size)}"
        detail = (
            f"volumes never shrink: write size: {format_quantity(there)}, or make a smaller volume and copy by hand"
        )
        work.refused.append(refusal(work, f"{volume.where}.size", "ShrinkRefused", text, detail))


def _running(work: Work, slot: str, found: Mapping[str, str]) -> Mapping[str, str]:
    """The running text of the same volume: growing it does not touch a text that waits for a restart."""
    setting = table.find(work.kind, slot)
    running = parsed(setting, work.observed.pending.get(slot)) if setting else None
    same = setting and running and running.get(setting.key) == found.get(setting.key)
    return running if running and same else {}


def _bytes(parts: Mapping[str, str]) -> int:
    try:
        return canonical.parse_size(parts.get("size", "0"))
    except ValueError:
        return 0


def _resize(work: Work, volume: Volume, slot: str, there: int) -> Change:
    label = fields.label(work.kind, slot, "", volume.path)
    return Change(f"{label}.size", format_quantity(there), format_quantity(volume.size or 0), "live")


def _restore(work: Work, volume: Volume, slot: str, running: str) -> None:
    """A removal that still waits for a restart is taken back by writing what is there."""
    setting = table.find(work.kind, slot)
    assert setting is not None
    found = setting.parse(running)
    work.changes.append((slot, work.change(slot, "", None, running, item=volume.path, whole=True)))
    _existing(work, volume, slot, found)
    work.writes.setdefault(slot, running)


def _new(work: Work, volume: Volume, slot: str) -> None:
    unused = sorted(name for name in work.config if name.startswith("unused"))
    if work.had(slot) and unused and not volume.cloud_init:
        held = ", ".join(f"{name} ({work.config[name]})" for name in unused)
        text = f"{slot} was detached outside of Innkeeper"
        detail = f"attach it again, or remove what is unused: {held}; an empty volume must not take its place"
        work.refused.append(refusal(work, volume.where, "VolumeDetached", text, detail))
        return
    if trouble := missing(volume, work.desired.storage):
        work.refused.append(refusal(work, volume.where, *trouble))
        return
    work.writes[slot] = request(work.kind, volume, slot, work.desired.storage)
    change = work.change(slot, "", None, "new", item=volume.path, whole=True)
    work.changes.append((slot, Change(change.field, None, work.writes[slot], change.impact)))
    if volume.import_from and volume.size:
        work.resizes.append((slot, volume.size))
