"""What only the call that makes a guest can set; the marker keeps it, because Proxmox's configuration does not."""

import hashlib
import re
from collections.abc import Iterator, Mapping

from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.model.images import Image
from innkeeper.model.objects import Guest
from innkeeper.model.observed import ObservedGuest
from innkeeper.settings.desired import Desired

NAME = {"Container": "hostname", "VirtualMachine": "name"}
"""The setting that holds a guest's name, by kind."""

Made = tuple[tuple[str, str], ...]


def made(guest: Guest, desired: Desired, template: str | None = None, clone: ObservedGuest | None = None) -> Made:
    """`Marker.made` of a guest about to be created: template, hash of ssh keys, clone source (`9000 name`), and by the
    slots of disks the images that they are copies of."""
    facts = {f"image.{slot}": image.volume for slot, _, image in _imported(guest)}
    if template:
        facts["template"] = template
    if desired.ssh_keys is not None:
        facts["sshKeys"] = fingerprint(desired.ssh_keys)
    if clone is not None:
        facts["clone"] = f"{clone.vmid} {clone.name or ''}".strip()
    return tuple(sorted(facts.items()))


def _imported(guest: Guest) -> Iterator[tuple[str, str, Image]]:
    """(slot, field, image) of each disk that is a copy of a declared image."""
    if not isinstance(guest.spec, VirtualMachineSpec):
        return
    images = {image.volume: image for image in guest.images}
    for index, disk in enumerate(guest.spec.disks or ()):
        if disk.import_from in images:
            yield disk.slot, f"disks.{index}.importFrom", images[disk.import_from]


def fingerprint(keys: tuple[str, ...]) -> str:
    """A short hash of public keys; their order and their comments do not count."""
    bare = sorted({" ".join(key.split()[:2]) for key in keys})
    return hashlib.sha256("\n".join(bare).encode()).hexdigest()[:16]


def template_matches(wanted: str, volume: str) -> bool:
    """Whether a template volume is the one that a manifest names: its volume id, or a short name (`debian-12`)."""
    if ":" in wanted:
        return wanted == volume
    name = volume.rpartition("/")[2]
    return name == wanted or re.match(rf"{re.escape(wanted)}(?![0-9A-Za-z])", name) is not None


def departures(
    guest: Guest, desired: Desired, known: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """(field, made with, wanted) where the manifest names something else than what the guest was made from."""
    spec = guest.spec
    if isinstance(spec, VirtualMachineSpec):
        if spec.clone and "clone" in known and str(spec.clone.template) not in known["clone"].split():
            yield "clone.template", known["clone"], str(spec.clone.template)
        for slot, field, image in _imported(guest):
            before = known.get(f"image.{slot}")
            if image.replace_guests and before is not None and before != image.volume:
                yield field, before, image.volume
        return
    kept = any(image.volume == spec.template and not image.replace_guests for image in guest.images)
    if spec.template and "template" in known and not kept and not template_matches(spec.template, known["template"]):
        yield "template", known["template"], spec.template
    if desired.ssh_keys and "template" in known and known.get("sshKeys") != fingerprint(desired.ssh_keys):
        yield "sshKeys", known.get("sshKeys"), fingerprint(desired.ssh_keys)
