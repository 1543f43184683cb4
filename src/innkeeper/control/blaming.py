"""Which commit asks for a change: the one that its line in the manifest comes from."""

import asyncio
from collections.abc import Iterator
from typing import Any

from innkeeper.control.house import House
from innkeeper.engine.errors import EngineError
from innkeeper.model.plan import Json

MOST = 40
"""Lines that are looked up for one plan; each takes a process of git."""


async def blamed(house: House, source: str, revision: str, body: dict[str, Json]) -> dict[str, Json]:
    """The plan as a job keeps it (`recording.shown`), its changes with their commits as far as git tells."""
    changes = list(_changes(body))
    lines = list(dict.fromkeys((str(item["file"]), int(item["line"])) for item in changes if item.get("file")))[:MOST]
    repository = house.repository(source)

    async def one(file: str, line: int) -> str:
        try:
            found = await repository.blame(revision, file, line)
        except EngineError:
            return ""
        return found.revision if found is not None else ""

    commits = dict(zip(lines, await asyncio.gather(*(one(*line) for line in lines)), strict=True))
    for item in changes:
        item["commit"] = commits.get((str(item["file"]), int(item["line"])), "")
    return body


def _changes(body: dict[str, Json]) -> Iterator[dict[str, Any]]:
    steps = body.get("steps")
    for step in steps if isinstance(steps, list) else ():
        changes = step.get("changes") if isinstance(step, dict) else None
        for change in changes if isinstance(changes, list) else ():
            if isinstance(change, dict):
                yield change
