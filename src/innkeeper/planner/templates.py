"""Which template a name means on a node, by the way Proxmox names the files of its catalogue."""

import re
from collections.abc import Iterable

# `debian-12-standard_12.7-1_amd64.tar.zst`: system, flavour, version-release, architecture.
# Source: the index that `pveam available` reads.
_SUFFIX = re.compile(r"\.tar(\.(gz|xz|zst|bz2))?$")
_NUMBERS = re.compile(r"(\d+)")


def is_volume(template: str) -> bool:
    """Whether this is a volume id (`local:vztmpl/…`) and not a short name (`debian-12`)."""
    return ":" in template


def matches(short: str, volume: str) -> bool:
    """Whether a volume id is one of the templates that the short name means: `debian-12` is not `debian-120`."""
    file = volume.rpartition("/")[2]
    if short in (file, _SUFFIX.sub("", file)):
        return True
    return file.startswith(short) and not file[len(short)].isalnum()


def find(template: str, volumes: Iterable[str]) -> str | None:
    """The volume id that a manifest's template means among those of a node: the exact one, or the newest match."""
    if is_volume(template):
        return template if template in volumes else None
    return max((volume for volume in volumes if matches(template, volume)), key=_age, default=None)


def short_names(volumes: Iterable[str]) -> list[str]:
    """The short names that templates can be called by (`debian-12-standard`), sorted."""
    return sorted({volume.rpartition("/")[2].partition("_")[0] for volume in volumes})


def _age(volume: str) -> tuple[list[tuple[int, str]], str]:
    file = volume.rpartition("/")[2]
    words = _NUMBERS.split(file)
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words], volume
