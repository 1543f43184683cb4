"""`MOUNT` in its three forms: a directory or a new volume, a device, a share of the network."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import Origin

_VOLUME = re.compile(r"(?P<storage>[^:/,=\s]+):(?P<size>\d+)")
_WORD = re.compile(r"[A-Za-z0-9_]+")
_PATH = re.compile(r"/[^,=\s\x00-\x1f]*")


@dataclass
class Mounts:
    """`points` are the model's mounts, `devices` paths on the node, `shares` the names of CIFS shares."""

    points: list[dict[str, object]] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    shares: list[str] = field(default_factory=list)


def read_mounts(text: str, place: Origin) -> tuple[Mounts, tuple[Diagnostic, ...]]:
    """The entries of a `MOUNT`, separated by commas: `source:path`, `/dev/…`, or a word."""
    mounts, found = Mounts(), list[Diagnostic]()
    for entry in filter(None, (part.strip() for part in text.split(","))):
        found += _entry(entry, mounts, place)
    return mounts, tuple(found)


def _entry(entry: str, mounts: Mounts, place: Origin) -> Iterator[Diagnostic]:
    source, colon, path = entry.rpartition(":")
    volume = _VOLUME.fullmatch(source)
    if not colon and _WORD.fullmatch(entry):
        mounts.shares.append(entry)
    elif not colon and _PATH.fullmatch(entry):
        mounts.devices.append(entry)
    elif colon and _PATH.fullmatch(path) and _PATH.fullmatch(source):
        mounts.points.append({"path": path, "source": source})
    elif colon and _PATH.fullmatch(path) and volume:
        mounts.points.append({"path": path, "storage": volume["storage"], "size": f"{volume['size']}Gi"})
    else:
        advice = "Write SOURCE:/PATH (a directory of the node, or STORAGE:GB), /dev/DEVICE, or the name of a share."
        yield finding("BadValue", place, "", f"MOUNT: {described(entry)} is none of its three forms", advice)
