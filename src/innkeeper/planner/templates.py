"""Which template a name means on a node, by the way Proxmox names the files of its catalogue."""

import re
from collections.abc import Iterable, Iterator

from innkeeper.model.images import BROUGHT
from innkeeper.settings.made import template_matches

# `debian-12-standard_12.7-1_amd64.tar.zst`: system, flavour, version-release, architecture.
# Source: the index that `pveam available` reads.
_NUMBERS = re.compile(r"(\d+)")


def is_volume(template: str) -> bool:
    """Whether this is a volume id (`local:vztmpl/…`) and not a short name (`debian-12`)."""
    return ":" in template


def find(template: str, volumes: Iterable[str]) -> str | None:
    """The volume id that a manifest's template means among those of a node: the exact one, or the newest match.

    A short name means a template of containers, never the image of a disk that is called alike.
    """
    if is_volume(template):
        return template if template in volumes else None
    return max((volume for volume in _own(volumes) if template_matches(template, volume)), key=_age, default=None)


def short_names(volumes: Iterable[str]) -> list[str]:
    """The short names that templates can be called by (`debian-12-standard`), sorted; those of images are left out."""
    files = (volume.rpartition("/")[2] for volume in _own(volumes))
    return sorted({file.partition("_")[0] for file in files if not file.startswith(BROUGHT)})


def _own(volumes: Iterable[str]) -> Iterator[str]:
    return (volume for volume in volumes if ":vztmpl/" in volume)


def _age(volume: str) -> tuple[list[tuple[int, str]], str]:
    file = volume.rpartition("/")[2]
    words = _NUMBERS.split(file)
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words], volume
