"""From a declared guest to the Proxmox settings it means: only what the manifest names, in Proxmox's spelling."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.exposure import MONITORING
from innkeeper.model.guests import ContainerNic, ContainerSpec, Disk, Mount, VirtualMachineNic, VirtualMachineSpec
from innkeeper.model.objects import ClusterDefaults, Guest
from innkeeper.settings import canonical, options, propstring, table
from innkeeper.settings.fields import encoded, named
from innkeeper.settings.volumes import FIXED_SIZE, Volume

Parts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Desired:
    """What the manifest names; a setting that is in none of these is left alone.

    `scalars`: setting → value; `parts`: setting → sub-key → value (property strings, nics); an empty value means that
    it must not be set. `fallbacks`: sub-keys used only where a setting is made anew (the cluster's default bridge).
    `names`: what people call an item (`net0` → `eth0`).
    """

    scalars: Mapping[str, str]
    parts: Mapping[str, Parts]
    volumes: tuple[Volume, ...]
    description: str | None
    tags: tuple[str, ...] | None
    """All tags but those that Innkeeper adds; None: they are not managed."""
    pool: str | None
    running: bool | None
    name: str = ""
    """The host name that a new guest gets."""
    fallbacks: Mapping[str, Parts] = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    options: frozenset[str] = frozenset()
    """The settings that `options` names."""
    storage: str | None = None
    """Where new volumes go that name no storage: the cluster's default."""
    template: str | None = None
    """Container: volume id or short name, the cluster's default filled in (needed at creation only)."""
    ssh_keys: tuple[str, ...] | None = None
    """Container: public keys, which Proxmox takes at creation only."""
    marks: frozenset[str] = frozenset()
    """Tags that stand for something else that is declared; they are there beside all others."""


def compile_guest(
    guest: Guest, defaults: ClusterDefaults, version: tuple[int, int]
) -> tuple[Desired, tuple[Diagnostic, ...]]:
    """What this guest's manifest means on a Proxmox of that version (major, minor).

    Diagnostics (with file, line, column): options that are unknown to the kind or this version (with the nearest
    word), out of range, that clash with a field or have one, that would smuggle; nics or volumes that claim one slot.
    Defaults count for what is created only: they never change a guest that exists.
    """
    spec = guest.spec
    problems: list[Diagnostic] = []
    scalars, parts = _plain_fields(guest, problems)
    nics, fallbacks, names = _nics(guest, defaults, problems)
    volumes = tuple(_volumes(guest, problems))
    parts |= nics
    extra = _options(guest, version, {*scalars, *parts, *(volume.slot or "" for volume in volumes)}, problems)
    scalars |= {name: text for name, text in extra.items() if isinstance(text, str)}
    parts |= {name: sub for name, sub in extra.items() if not isinstance(sub, str)}
    container = isinstance(spec, ContainerSpec)
    desired = Desired(
        scalars=scalars,
        parts=parts,
        volumes=volumes,
        description=None if spec.description is None else canonical.notes(spec.description),
        tags=spec.tags,
        pool=spec.pool,
        running=spec.running,
        name=spec.hostname or guest.ref.name,
        fallbacks=fallbacks,
        names=names,
        options=frozenset(extra),
        storage=defaults.storage,
        template=(spec.template or defaults.template) if isinstance(spec, ContainerSpec) else None,
        ssh_keys=spec.ssh_keys if isinstance(spec, ContainerSpec) else None,
        marks=frozenset({MONITORING}) if spec.monitoring else frozenset(),
    )
    problems += _smuggling(guest, desired)
    return desired, tuple(problems) if container else tuple(problems) + _disk_warnings(guest, volumes)


def problem(guest: Guest, path: str, code: str, summary: str, detail: str = "") -> Diagnostic:
    """An error at a field of the guest's manifest (`path` below `spec`)."""
    place = guest.origin.at(f"spec.{path}") if path else guest.origin.location
    return Diagnostic("error", code, f"{guest.ref}: {summary}", detail, place)


def _plain_fields(guest: Guest, problems: list[Diagnostic]) -> tuple[dict[str, str], dict[str, Parts]]:
    scalars: dict[str, str] = {}
    parts: dict[str, dict[str, str]] = {}
    for row, text in encoded(guest.ref.kind, "", guest.spec):
        setting = table.find(guest.ref.kind, row.setting)
        known = setting.parts[row.part] if setting and row.part else setting
        unit = "Mi" if row.unit == "MiB" else ""
        limited = known is not None and (known.minimum is not None or known.choices)
        troubles = options.value_troubles(known, text, unit) if known and limited and text else ()
        problems += [problem(guest, row.path, "OutOfRange", f"{row.path}: {trouble}") for trouble in troubles]
        if row.part:
            parts.setdefault(row.setting, {})[row.part] = text
        else:
            scalars[row.setting] = text
    return scalars, dict(parts)


def _nics(
    guest: Guest, defaults: ClusterDefaults, problems: list[Diagnostic]
) -> tuple[dict[str, Parts], dict[str, Parts], dict[str, str]]:
    found: dict[str, Parts] = {}
    fallbacks: dict[str, Parts] = {}
    names: dict[str, str] = {}
    nics: tuple[ContainerNic | VirtualMachineNic, ...] = guest.spec.network or ()
    for index, nic in enumerate(nics):
        slot = _nic_slot(nic)
        where = f"network.{index}"
        if slot is None:
            detail = "name it eth0 … eth31, or say which of Proxmox's slots it has: slot: net0"
            problems.append(problem(guest, where, "NicNeedsSlot", "no slot follows from the nic's name", detail))
            continue
        if slot in found:
            problems.append(
                problem(guest, where, "SlotTwice", f"two nics claim {slot}", "give one another name or slot")
            )
            continue
        found[slot] = {row.part: text for row, text in encoded(guest.ref.kind, "network", nic)}
        fallback = {"bridge": defaults.bridge} if defaults.bridge else {}
        fallback |= {"name": nic.name} if isinstance(nic, ContainerNic) else {"model": nic.model}
        fallbacks[slot] = fallback
        if isinstance(nic, ContainerNic):
            names[slot] = nic.name
    return found, fallbacks, names


def _nic_slot(nic: ContainerNic | VirtualMachineNic) -> str | None:
    if isinstance(nic, VirtualMachineNic) or nic.slot:
        return nic.slot
    number = nic.name.removeprefix("eth")
    slot = f"net{number}"
    return slot if nic.name.startswith("eth") and slot in table.slots("Container", "net") else None


def _volumes(guest: Guest, problems: list[Diagnostic]) -> Iterator[Volume]:
    slots: set[str] = set()
    paths: set[str] = set()
    for volume in _raw_volumes(guest):
        if volume.slot in slots:
            text = f"two volumes claim {volume.slot}"
            problems.append(problem(guest, volume.where, "SlotTwice", text, "give one of them another slot"))
        elif volume.path and volume.path in paths:
            text = f"two mounts claim {volume.path}"
            problems.append(problem(guest, volume.where, "PathTwice", text, "give one of them another path"))
        else:
            yield volume
        slots |= {volume.slot} if volume.slot else set()
        paths.add(volume.path)


def _raw_volumes(guest: Guest) -> Iterator[Volume]:
    spec = guest.spec
    if isinstance(spec, ContainerSpec):
        if spec.root_disk is not None:
            yield Volume("rootfs", storage=spec.root_disk.storage, size=spec.root_disk.size, where="rootDisk")
        for index, mount in enumerate(spec.mounts or ()):
            yield _mount(mount, f"mounts.{index}")
        return
    for index, disk in enumerate(spec.disks or ()):
        yield _disk(disk, f"disks.{index}")
    if spec.cloud_init is not None and (spec.cloud_init.storage or not spec.clone):
        pinned = named(spec.cloud_init, "slot") is not None
        drive, storage = spec.cloud_init.slot, spec.cloud_init.storage
        yield Volume(drive, storage=storage, cloud_init=True, pinned=pinned, where="cloudInit")


def _mount(mount: Mount, where: str) -> Volume:
    parts = {row.part: text for row, text in encoded("Container", "mounts", mount)}
    return Volume(mount.slot, mount.path, mount.storage, mount.size, parts, source=mount.source, where=where)


def _disk(disk: Disk, where: str) -> Volume:
    parts = {row.part: text for row, text in encoded("VirtualMachine", "disks", disk)}
    size = None if disk.slot in FIXED_SIZE else disk.size
    return Volume(
        disk.slot,
        storage=disk.storage,
        size=size,
        parts=parts,
        format=disk.format,
        import_from=disk.import_from,
        where=where,
    )


def _options(
    guest: Guest, version: tuple[int, int], taken: Collection[str], problems: list[Diagnostic]
) -> dict[str, str | Parts]:
    """The options that can be used: setting → value, or sub-keys of a property string."""
    kind = guest.ref.kind
    usable: dict[str, str | Parts] = {}
    for name, value in guest.spec.options.items():
        text = options.text_of(value)
        found = options.check(kind, name, text, version)
        if found is None and name in taken:
            found = options.Problem("OptionClash", f"options.{name} is also set by a field", "name only one of them")
        setting = table.find(kind, name)
        if found or setting is None:
            found = found or options.Problem("UnknownOption", f"options.{name} is unknown")
            problems.append(problem(guest, f"options.{name}", found.code, found.summary, found.detail))
        elif setting.parts:
            size = "size" if "volume" in setting.marks else ""
            usable[name] = {part: sub for part, sub in setting.parse(text).items() if part != size}
        else:
            usable[name] = text
    return usable


def _smuggling(guest: Guest, desired: Desired) -> Iterator[Diagnostic]:
    """Values that would become more than one value in a property string; the model lets none of them through."""
    for name, parts in (*desired.parts.items(), *((volume.where, volume.parts) for volume in desired.volumes)):
        for part, value in parts.items():
            if value and not propstring.safe(value):
                yield problem(
                    guest, "", "UnsafeValue", f"{name}: {part}: {value!r} holds a comma or a control character"
                )


def _disk_warnings(guest: Guest, volumes: tuple[Volume, ...]) -> tuple[Diagnostic, ...]:
    assert isinstance(guest.spec, VirtualMachineSpec)
    return tuple(
        Diagnostic(
            "warning",
            "SizeIgnored",
            f"{guest.ref}: Proxmox decides the size of {disk.slot} by itself",
            "leave size out",
            guest.origin.at(f"spec.disks.{index}.size"),
        )
        for index, disk in enumerate(guest.spec.disks or ())
        if disk.slot in FIXED_SIZE and disk.size is not None
    )
