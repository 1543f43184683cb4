"""Config files that are made of sections (PVE::SectionConfig): what changing one has in common everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from pvesim.api.access import split_list
from pvesim.api.method import ApiError, Call

Section = dict[str, Any]
MODIFIED = "detected modified configuration - file changed by other user? Try again."


def sections(call: Call, file: str) -> dict[str, Section]:
    """What `file` (`replication.cfg`, `mapping/pci.cfg`) holds, by id."""
    return call.cluster.sections.setdefault(file, {})


def digest(call: Call, file: str) -> str:
    text = json.dumps(sections(call, file), sort_keys=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@asynccontextmanager
async def changing(call: Call, file: str, failed: str = "") -> AsyncIterator[dict[str, Section]]:
    """Hold the file's lock and refuse an outdated `digest`; what goes wrong begins with `failed`."""
    try:
        async with call.cluster.locks.cfs("file-" + file.replace("/", "_").replace(".", "_")):
            if call.params.get("digest") not in (None, digest(call, file)):
                raise ApiError(500, MODIFIED)
            yield sections(call, file)
    except ApiError as error:
        if not failed or error.errors:
            raise
        raise ApiError(error.status, f"{failed}: {error.message}") from None


def settings(call: Call, *without: str) -> Section:
    """The parameters that are stored; booleans as 0 and 1."""
    given = {key: value for key, value in call.params.items() if key not in without and value is not None}
    return {key: int(value) if isinstance(value, bool) else value for key, value in given.items()}


def change(
    section: Section, given: Section, delete: object, *, known: Collection[str], needed: Collection[str]
) -> None:
    """Set and delete, with what PVE::SectionConfig refuses (delete_from_config)."""
    for key in split_list(delete):
        if key not in known:
            raise ApiError(500, f"no such option '{key}'")
        if key in needed:
            raise ApiError(500, f"unable to delete required option '{key}'")
        if key in given:
            raise ApiError(500, f"cannot set and delete property '{key}' at the same time!")
        section.pop(key, None)
    section |= given
