"""From a commit to what it declares: checked out, loaded, held against what the source may do."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from innkeeper.control import grafting
from innkeeper.control.fields import value_at, with_field
from innkeeper.control.house import House
from innkeeper.control.permissions import denied
from innkeeper.control.rendered import Rendered
from innkeeper.manifests.loading import Loaded, load
from innkeeper.manifests.origins import finding
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Cluster, Declared, Guest, Ref
from innkeeper.model.records import Drift, GuestRecord
from innkeeper.model.sources import Source


async def render(house: House, source: Source, revision: str, within: str = "", *, strict: bool = False) -> Rendered:
    """`strict`: as a stranger's proposal, who must not name the clusters that our secrets are sent to, nor run a flake.

    `within`: the revision that says what runs in the guests, where it is another. Raises only what the repository does.
    """
    place = await house.repository(source.name).checkout(revision)
    found = await asyncio.to_thread(judged, house, source, revision, place, strict=strict)
    return grafting.grafted(found, await render(house, source, within, strict=strict)) if within else found


async def synced(house: House, source: Source) -> Rendered | None:
    """What a source was brought to last, read once; None where it was not yet. Raises only what the repository does."""
    record = await house.store.source(source.name)
    revision = record.pinned or record.synced
    if not revision:
        return None
    within, found = await grafting.inside(house, source, revision), house.rendered.get(source.name)
    for needed in filter(None, (revision, within)):
        await house.repository(source.name).checkout(needed)  # there, even if others took its place since
    if found is None or (found.revision, found.inside) != (revision, within):
        found = house.rendered[source.name] = await render(house, source, revision, within)
    return found


def judged(house: House, source: Source, revision: str, place: Path, *, strict: bool = False) -> Rendered:
    """What a directory declares, held against what the source may do."""
    clusters = _clusters(house, source)
    derive = house.derive if "images" in source.spec.allow and not strict else None
    loaded = load([place], source.spec.format, None if strict else house.evaluate, clusters, derive=derive)
    allow = tuple(item for item in source.spec.allow if item != "clusters" or not strict)
    held = replace(source, spec=source.spec.model_copy(update={"allow": allow}))
    refused = denied(loaded, held, place)
    said = (*loaded.diagnostics, *refused, *_taken(house, loaded))
    found = [item for item in said if not _nothing(item)]
    diagnostics = tuple(_relative(item, place, source) for item in found)
    return Rendered(revision, place, replace(loaded, diagnostics=diagnostics), len(found) < len(said))


def _taken(house: House, loaded: Loaded) -> Iterator[Diagnostic]:
    """A name means one cluster: what is kept of a guest names it."""
    for item in loaded.declared.clusters:
        if item.name in house.clusters and item is not house.clusters[item.name]:
            problem = f"the server has a Cluster/{item.name} of its own"
            yield finding("DuplicateName", item.origin, "metadata.name", problem, "Take another name.")


def _nothing(item: Diagnostic) -> bool:
    return item.code == "NoManifests" and item.location is None


def _clusters(house: House, source: Source) -> tuple[Cluster, ...]:
    names = source.spec.clusters
    return tuple(item for name, item in sorted(house.clusters.items()) if names is None or name in names)


def repository_path(file: str, place: Path, source: Source) -> str:
    """A file of the checkout as the repository calls it."""
    try:
        inside = Path(file).relative_to(place)
    except ValueError:
        return file
    return str(PurePosixPath(source.spec.path) / inside) if source.spec.path != "." else str(inside)


def _relative(item: Diagnostic, place: Path, source: Source) -> Diagnostic:
    def short(text: str) -> str:
        return text.replace(f"{place}/", "" if source.spec.path == "." else f"{source.spec.path}/").replace(
            str(place), source.spec.path
        )

    where = item.location
    if where is not None:
        where = Location(repository_path(where.file, place, source), where.line, where.column)
    return Diagnostic(item.severity, item.code, short(item.summary), short(item.detail), where)


def leaving(
    declared: Declared, ignored: Iterable[Drift], former: Mapping[Ref, GuestRecord], now: datetime
) -> tuple[Declared, tuple[Drift, ...]]:
    """What is declared, with the fields that are to be left alone declared as what they are; and those fields.

    `former` tells what they are; one that has become what is declared need not be left alone any longer.
    """
    fields: dict[Ref, list[Drift]] = {}
    for item in ignored:
        if item.ignored_until is not None and item.ignored_until > now and item.ended_at is None:
            fields.setdefault(item.ref, []).append(item)
    if not fields:
        return declared, ()
    kept: list[Drift] = []
    guests = []
    for guest in declared.guests:
        for item in fields.get(guest.ref, ()):
            record = former.get(guest.ref)
            changed = _left(guest, item, value_at(record.live, item.field) if record else item.after)
            if changed is not None:
                kept.append(item)
                guest = changed
        guests.append(guest)
    return replace(declared, guests=tuple(guests)), tuple(kept)


def _left(guest: Guest, drift: Drift, value: object) -> Guest | None:
    """The guest with a field as it is; None where it is as declared, or cannot be declared so (it is drift then)."""
    data = guest.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    changed = with_field(data, drift.field, value)
    if changed is None or changed == data:
        return None
    try:
        return replace(guest, spec=type(guest.spec).model_validate_json(json.dumps(changed)))
    except ValueError:
        return None
