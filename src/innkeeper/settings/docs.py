"""The reference page on how each field changes, generated from the tables, so that it cannot disagree with the code."""

from collections.abc import Iterator

from innkeeper.settings import fields, table
from innkeeper.settings.table import How, Setting

_WORDS: dict[How, str] = {
    "none": "live; the guest does not notice",
    "live": "live",
    "restart": "after a restart",
    "grow": "live; only grows",
    "replace": "replaces the guest",
    "refused": "refused",
    "hot:network": "live; after a restart where `hotplug` lacks `network`",
    "hot:disk": "live; after a restart where `hotplug` lacks `disk`",
    "hot:usb": "live; after a restart where `hotplug` lacks `usb`",
    "hot:memory": "after a restart; live where `hotplug` holds `memory`",
    "hot:cpu": "after a restart; live where `hotplug` holds `cpu`",
}
_KINDS = {"Container": "Containers", "VirtualMachine": "Virtual machines"}

_HEAD = """\
# How each field changes

Generated from the code by `make docs`; do not edit.

A field that the manifest does not name is left alone. One that Innkeeper set and that is named no more goes back to
Proxmox's default. Innkeeper remembers what it set in a comment at the end of the guest's notes.

- **live**: in effect at once, also while the guest runs.
- **after a restart**: Proxmox accepts the change and it waits (`PendingReboot` in `status`) until the guest is
  restarted, which Innkeeper does only with `restart: whenNeeded`. A stopped guest takes every such change at once.
- **only grows**: a larger size is applied live. Nothing is ever shrunk.
- **replaces the guest**: only a new guest can have it. It needs `--replace NAME`; without, the plan says so and stops
  there for this guest.
- **refused**: never done; the message says how to do it by hand.

A disk or mount that is dropped from the manifest is detached and stays on its storage as `unusedN`. If somebody
detaches a disk of ours outside of Innkeeper, the plan refuses to put an empty one in its place. A size on LVM may come
out up to 4 MiB larger than asked for; that is no difference.
"""

_SPECIAL: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "Container": (
        ("cluster", "", "—", "the same name on another cluster is another guest"),
        ("vmid", "", "—", "another vmid is another guest"),
        ("node", "", "—", "a preference at creation; a guest found elsewhere stays there"),
        ("profile", "", "—", "as the fields that it fills in"),
        ("running", "", "live", "starts the guest or shuts it down; left out: power is not managed"),
        ("tags", "tags", "none", "case and order do not count; a `protected` tag set by hand stays"),
        ("monitoring", "tags", "none", "a tag on the guest, and the role `node_exporter` inside it"),
        ("expose", "", "—", "told to the network's other services, never to Proxmox"),
        ("description", "description", "none", ""),
        ("pool", "", "none", ""),
        ("needs", "", "—", "order only"),
        ("restart", "", "—", "a policy of Innkeeper"),
        ("options", "", "—", "by setting, see below"),
    ),
    "Volumes": (
        ("storage", "", "refused", "move the volume by hand, then change the manifest"),
        ("size", "size", "grow", "in a new volume: its size"),
    ),
}


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join([_HEAD, *(line for kind in _KINDS for line in _kind(kind))])


def _kind(kind: str) -> Iterator[str]:
    yield f"## {_KINDS[kind]}"
    yield ""
    yield "| field | Proxmox setting | how it changes | note |"
    yield "| --- | --- | --- | --- |"
    for name, setting, how, note in _SPECIAL["Container"]:
        yield _row(name, setting, how, note)
    yield from _creation(kind)
    for row in fields.fields(kind):
        yield _field_row(kind, row)
    for group in ("network", "mounts", "disks"):
        yield from _group(kind, group)
    yield ""
    yield f"### Options of {_KINDS[kind].lower()}"
    yield ""
    yield "Settings without a field, under `options`, in Proxmox's spelling."
    yield ""
    yield "| option | how it changes | values | default | Proxmox VE |"
    yield "| --- | --- | --- | --- | --- |"
    for known in table.settings(kind).values():
        if not known.marks & {"internal", "secret"} and not _has_field(kind, known):
            yield _option_row(known)
    yield ""


def _creation(kind: str) -> Iterator[str]:
    if kind == "Container":
        yield _row("template", "ostemplate", "replace", "a newer template of the same short name changes nothing")
        yield _row(
            "sshKeys", "ssh-public-keys", "replace", "of a guest that Innkeeper made; order and comments do not count"
        )
        yield _row("rootDisk.storage", "rootfs", "refused", "move the volume by hand, then change the manifest")
        yield _row("rootDisk.size", "rootfs", "grow", "")
    else:
        yield _row("clone.template", "", "replace", "")
        yield _row("clone.full", "", "—", "counts at creation only")
        yield _row("clone.storage", "", "—", "counts at creation only")
        yield _row(
            "cloudInit.storage", "ideN, sataN, scsiN", "refused", "a missing drive is added; ide needs a restart"
        )
        yield _row("cloudInit.slot", "", "refused", "detach the drive first; its content is generated")


def _group(kind: str, group: str) -> Iterator[str]:
    rows = fields.fields(kind, group)
    if not rows:
        return
    slot = {"network": "netN", "mounts": "mpN", "disks": "ideN, sataN, scsiN, virtioN, efidisk0, tpmstate0"}[group]
    both = {
        ("Container", "network"): "live",
        ("VirtualMachine", "network"): _WORDS["hot:network"],
        ("Container", "mounts"): "adding: live; dropping: detached after a restart",
        ("VirtualMachine", "disks"): "scsi and virtio: live; others: after a restart; dropping detaches",
    }[kind, group]
    note = "keyed by its slot or path, never by its place in the list"
    yield f"| `{group}[]`, an item more or less | {slot} | {both} | {note} |"
    if group != "network":
        for name, setting, how, note in _SPECIAL["Volumes"]:
            yield _row(f"{group}[].{name}", setting, how, note)
    if group == "mounts":
        yield _row("mounts[].source", "volume", "restart", "only root@pam itself may bind a directory")
        yield _row("mounts[].slot", "", "—", "another slot is another mount")
    if group == "disks":
        yield _row("disks[].format", "format", "refused", "convert the disk by hand, then change the manifest")
        yield _row("disks[].importFrom", "import-from", "—", "counts when the disk is made")
        yield _row("disks[].slot", "", "—", "another slot is another disk")
    if group == "network":
        yield _row("network[].slot", "", "—", "another slot is another nic")
    for row in rows:
        yield _field_row(kind, row)


def _field_row(kind: str, row: fields.Field) -> str:
    setting = table.settings(kind).get(row.setting) or table.find(kind, row.setting)
    assert setting is not None
    how = setting.parts[row.part].how if row.part else setting.how
    return _row(row.path, ".".join(filter(None, (row.setting.replace("[n]", "N"), row.part))), how, row.note)


def _row(name: str, setting: str, how: str, note: str) -> str:
    words = {str(key): value for key, value in _WORDS.items()}.get(how, how)
    return f"| `{name}` | {setting} | {words} | {note} |"


def _has_field(kind: str, setting: Setting) -> bool:
    name = setting.name
    volume = kind == "Container" and "volume" in setting.marks
    return volume or name in ("tags", "description", "sshkeys") or fields.field_of(kind, name) is not None


def _option_row(setting: Setting) -> str:
    name = setting.name.replace("[n]", f"0` … `{setting.name.replace('[n]', '')}{setting.count - 1}")
    return f"| `{name}` | {_changes(setting)} | {_values(setting)} | {_default(setting)} | {_versions(setting)} |"


def _changes(setting: Setting) -> str:
    if "volume" in setting.marks:
        return "as `disks`; here only a volume that exists, a CD image, `none` or `cdrom`"
    by_how: dict[How, list[str]] = {}
    for part in setting.parts.values():
        by_how.setdefault(part.how, []).append(f"`{part.name}`")
    others = (f"{', '.join(names)}: {_WORDS[how]}" for how, names in by_how.items() if how != setting.how)
    return "; ".join([_WORDS[setting.how], *others])


def _values(setting: Setting) -> str:
    if setting.parts:
        return " ".join(f"`{part.name}`" for part in setting.parts.values())
    if setting.choices:
        return ", ".join(f"`{choice}`" for choice in setting.choices)
    if setting.minimum is not None and setting.maximum is not None:
        return f"{setting.minimum:g} to {setting.maximum:g}"
    return {"flag": "0 or 1", "integer": "a whole number", "number": "a number"}.get(setting.form, "")


def _default(setting: Setting) -> str:
    return f"`{setting.default}`" if setting.default is not None else ""


def _versions(setting: Setting) -> str:
    words = [f"since {'.'.join(map(str, setting.since))}"] if setting.since else []
    words += ["only root@pam itself may"] if "root" in setting.marks else []
    return ", ".join(words)
