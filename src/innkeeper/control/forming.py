"""From a form to everything that it would write, and back from a guest to its form."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from innkeeper.control import editing, offering
from innkeeper.control.actors import Actor
from innkeeper.control.editing import REMOVED
from innkeeper.control.errors import Denied, NotFound
from innkeeper.control.fields import path_of
from innkeeper.control.forms import Form, Preview, Problem
from innkeeper.control.house import House
from innkeeper.control.memory import GuestQuery
from innkeeper.control.ports import FileChange
from innkeeper.control.publishing import service_of
from innkeeper.control.rendered import Rendered
from innkeeper.control.rendering import judged, render, repository_path
from innkeeper.control.requests import request
from innkeeper.control.specs import form_from, spec_of
from innkeeper.control.syncing import SHORT
from innkeeper.engine.errors import Conflict, Stalled
from innkeeper.engine.reconcile import Prepared, prepare
from innkeeper.manifests.writing import file_name, manifest, to_yaml
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.jobs import Job, Request
from innkeeper.model.objects import Declared, Guest, Ref
from innkeeper.model.plan import Json
from innkeeper.model.records import Drift, GuestRecord
from innkeeper.model.sources import Source
from innkeeper.planner.policy import Policy

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_FIELDS = (
    ("metadata.name", "name"),
    ("spec.profile", "profile"),
    ("spec.cluster", "cluster"),
    ("spec.hostname", "hostname"),
    ("spec.description", "description"),
    ("spec.node", "node"),
    ("spec.rootDisk.size", "disk"),
    ("spec.rootDisk", "storage"),
    ("spec.disks[0].size", "disk"),
    ("spec.disks", "storage"),
    ("spec.template", "template"),
    ("spec.clone", "template"),
    ("spec.cpu", "cores"),
    ("spec.memory", "memory"),
    ("spec.network[0].ip", "address"),
    ("spec.network[0].gateway", "gateway"),
    ("spec.network[0].bridge", "bridge"),
    ("spec.network[0].vlan", "vlan"),
    ("spec.cloudInit.ip", "address"),
    ("spec.cloudInit.gateway", "gateway"),
    ("spec.expose.domain", "domain"),
    ("spec.expose.port", "port"),
    ("spec.expose", "expose"),
    ("spec.monitoring", "monitoring"),
    ("spec.sshKeys", "ssh_keys"),
    ("spec.cloudInit.sshKeys", "ssh_keys"),
)


async def preview(house: House, form: Form) -> Preview:
    """All that would be written, with the plan of the guest. What is wrong comes back as problems, by field."""
    source = _writable(house, form.source)
    problems = [*_wrong(form), *await _approved(house, source, form)]
    revision = await _newest(house, source)
    if any(item.field == "name" for item in problems):
        return Preview((), None, tuple(problems), revision)  # The name is also a file's.
    base = await render(house, source, revision)
    try:
        files = _files(source, base, form)
    except Conflict as error:
        problems.append(_problem("name", "Taken", error.message, error.advice))
        return Preview((), None, tuple(problems), revision)
    with _overlay(base.place, source, files) as place:
        changed = await asyncio.to_thread(judged, house, source, revision, place)
        problems += _said(changed, files, form)
        if any(item.diagnostic.severity == "error" for item in problems):
            return Preview(files, None, tuple(problems), revision)
        prepared = await _prepared(house, source, changed, form.ref)
    problems += [_of(item) for item in prepared.plan.diagnostics]
    guest = next((item for item in changed.loaded.declared.guests if item.ref == form.ref), None)
    profiles = {item.name: item for item in await offering.profiles(house, source.name)}
    actions = profiles[form.profile].actions if form.profile in profiles else ()
    service = _service(source, guest) if guest is not None and form.expose else {}
    return Preview(files, prepared.plan, tuple(problems), revision, service, actions)


async def propose(house: House, actor: Actor, form: Form, *, pull: bool) -> Job:
    found = await preview(house, form)
    bad = next((item for item in found.problems if item.diagnostic.severity == "error"), None)
    if bad is not None:
        raise Stalled(f"{bad.field or form.ref}: {bad.diagnostic.summary}", bad.diagnostic.detail)
    verb = "Change" if form.original else "Add"
    body: dict[str, Json] = {"name": form.name, "kind": form.kind, "profile": form.profile}
    return await _commit(house, actor, form.source, found.files, f"{verb} {form.ref}", found.revision, pull, body)


async def delete(house: House, actor: Actor, source: str, ref: Ref, name_typed: str, *, pull: bool) -> Job:
    if name_typed != ref.name:
        raise Stalled(f"{name_typed!r} is not the guest's name", f"Type {ref.name} to confirm.")
    spec, base, path, text = await _own_file(house, source, ref)
    needed = [str(item.ref) for item in base.loaded.declared.guests if str(ref) in item.spec.needs]
    if needed:
        raise Stalled(f"{ref} is needed by {', '.join(needed)}", "Take the need out of their manifests first.")
    guest = next((item for item in base.loaded.declared.guests if item.ref == ref), None)
    if guest is not None and guest.spec.protected:
        raise Denied(f"{ref} is protected", "Take the protection away first, and sync.")
    changes = (FileChange(path, editing.without(text, ref)),)
    body: dict[str, Json] = {"name": ref.name}
    return await _commit(house, actor, spec.name, changes, f"Remove {ref}", base.revision, pull, body)


async def adopt_drift(house: House, actor: Actor, drift: Drift, *, pull: bool) -> Job:
    """The manifest says what the guest has become; comments and layout stay."""
    if drift.field == "guest":
        return await delete(house, actor, drift.source, drift.ref, drift.ref.name, pull=pull)
    source, base, path, text = await _own_file(house, drift.source, drift.ref)
    guest = next((item for item in base.loaded.declared.guests if item.ref == drift.ref), None)
    if guest is None:
        raise NotFound(f"source {drift.source} declares no {drift.ref}")
    data = guest.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    where = path_of(data, drift.field)
    if where is None:
        raise Stalled(f"{drift.field} of {drift.ref} cannot be written into its manifest", "Write it there by hand.")
    value: object = REMOVED if drift.after is None else drift.after
    changes = (FileChange(path, editing.edited(text, drift.ref, {("spec", *where): value})),)
    with _overlay(base.place, source, changes) as place:
        after = await asyncio.to_thread(judged, house, source, base.revision, place)
        _only_that(base.loaded.declared, after, drift.ref)
    message = f"Keep {drift.field} of {drift.ref} as it is"
    return await _commit(house, actor, source.name, changes, message, base.revision, pull, {"name": drift.ref.name})


def _only_that(before: Declared, after: Rendered, ref: Ref) -> None:
    """Nobody else's manifest may change along: a profile or an application is shared."""
    if not after.loaded.ok:
        first = next(item for item in after.loaded.diagnostics if item.severity == "error")
        raise Stalled(f"what {ref} has become may not be declared: {first.summary}", first.detail)
    old = {item.ref: item.spec for item in before.guests if item.ref != ref}
    new = {item.ref: item.spec for item in after.loaded.declared.guests if item.ref != ref}
    if old != new:
        raise Stalled(f"other guests would change along with {ref}", "Write it into its manifest by hand.")


async def form_of(house: House, source: str, ref: Ref) -> Form:
    found, base, _, _ = await _own_file(house, source, ref)
    guest = next((item for item in base.loaded.declared.guests if item.ref == ref), None)
    if guest is None:
        raise NotFound(f"source {source} declares no {ref}")
    return form_from(found.name, guest)


def _writable(house: House, name: str) -> Source:
    source = house.source(name)
    if source.spec.write is None:
        raise Denied(f"forms may not write to source {name}", "Name write: DIRECTORY in the source.")
    return source


async def _newest(house: House, source: Source) -> str:
    commit = await house.repository(source.name).fetch()
    await house.store.put_source(source.name, seen=commit.revision, fetched_at=house.now())
    return commit.revision


async def _own_file(house: House, name: str, ref: Ref) -> tuple[Source, Rendered, str, str]:
    """The source, its newest revision, and the file that declares a guest with its text."""
    source = _writable(house, name)
    base = await render(house, source, await _newest(house, source))
    guest = next((item for item in base.loaded.declared.guests if item.ref == ref), None)
    if guest is None:
        raise NotFound(f"source {name} declares no {ref}", "Its manifest may have errors; look at the source.")
    return source, base, *_text_of(source, base, guest)


def _text_of(source: Source, base: Rendered, guest: Guest) -> tuple[str, str]:
    file = guest.origin.location.file
    text = Path(file).read_text(encoding="utf-8")
    if editing.data_of(text, guest.ref) is None:
        raise Stalled(f"{guest.ref} is not written as a manifest of its own", "Change it in the repository by hand.")
    path = repository_path(file, base.place, source)
    below = source.spec.write or ""
    if below != "." and not path.startswith(f"{below.rstrip('/')}/"):
        raise Denied(f"{path} is not below {below}", "Forms write only there; change it in the repository by hand.")
    return path, text


def _files(source: Source, base: Rendered, form: Form) -> tuple[FileChange, ...]:
    there = {item.ref: item for item in base.loaded.declared.guests}
    if form.original:
        kind, _, name = form.original.partition("/")
        old = there.get(Ref(kind, name))
        if old is None:
            raise Conflict(f"{form.original} is declared no more", "Somebody removed it; make a new one.")
        if old.ref != form.ref:
            raise Conflict(f"{form.original} cannot become {form.ref}", "Make a new guest, and remove this one.")
        path, text = _text_of(source, base, old)
        changes = _differences(spec_of(form_from(form.source, old)), spec_of(form))
        return (FileChange(path, editing.edited(text, old.ref, changes)),) if changes else ()
    if form.ref in there:
        raise Conflict(f"{form.ref} is declared already", "Take another name.")
    item = manifest(form.kind, form.name, spec_of(form))
    below = (source.spec.write or "").strip("/")
    path = file_name(item) if below in ("", ".") else f"{below}/{file_name(item)}"
    if (base.place / _inside(source, path)).exists():
        raise Conflict(f"{path} is there already", "Take another name.")
    return (FileChange(path, to_yaml([item])),)


def _inside(source: Source, path: str) -> str:
    """A path of the repository as seen from the source's directory."""
    root = source.spec.path.strip("/")
    return path if root in ("", ".") else path.removeprefix(f"{root}/")


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], base: editing.Path = ("spec",)
) -> dict[editing.Path, object]:
    found: dict[editing.Path, object] = {}
    for key in (*old, *(key for key in new if key not in old)):
        path, before, after = (*base, key), old.get(key), new.get(key)
        if before == after:
            continue
        if key not in new:
            found[path] = REMOVED
        elif isinstance(before, Mapping) and isinstance(after, Mapping):
            found |= _differences(before, after, path)
        elif isinstance(before, list) and isinstance(after, list) and before and after:
            found |= _differences(before[0], after[0], (*path, 0)) if isinstance(before[0], Mapping) else {path: after}
        else:
            found[path] = after
    return found


@contextmanager
def _overlay(place: Path, source: Source, files: tuple[FileChange, ...]) -> Iterator[Path]:
    """A copy of a checkout with files changed; it costs links, not bytes."""
    with tempfile.TemporaryDirectory(prefix=".form-", dir=place.parent) as made:
        copy = Path(made) / "tree"
        shutil.copytree(place, copy, copy_function=os.link)
        (copy / ".git").touch()
        for change in files:
            target = copy / _inside(source, change.path)
            if ".." in target.parts:
                raise Denied(f"{change.path!r} is not below the source's path")
            target.unlink(missing_ok=True)
            if change.text is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(change.text, encoding="utf-8")
        yield copy


async def _prepared(house: House, source: Source, rendered: Rendered, ref: Ref) -> Prepared:
    """The plan of one guest. Nothing is asked inside guests, and no secret is read, for a look."""
    declared = rendered.loaded.declared
    policy = Policy(source.name, rendered.revision[:SHORT], only=frozenset({str(ref)}))
    async with house.links.connected(declared.clusters) as links:
        return await prepare(declared, links, policy)


def _wrong(form: Form) -> Iterator[Problem]:
    if not _NAME.fullmatch(form.name):
        advice = "Lower-case letters, digits and inner hyphens, at most 63 characters."
        yield _problem("name", "BadName", f"{form.name[:80]!r} cannot be a name", advice)
    if form.expose and not form.domain:
        yield _problem("domain", "MissingField", "a service that is exposed needs a domain", "Give it one.")
    if form.domain and not form.expose:
        yield _problem("expose", "BadCombination", "a domain without a service", "Expose it, or leave the domain out.")
    if form.network == "static" and not form.address:
        yield _problem("address", "MissingField", "a static address is missing", "Write it with its prefix length.")
    if form.public and not form.expose:
        yield _problem("public", "BadCombination", "what is not exposed cannot be public", "Expose it first.")


async def _approved(house: House, source: Source, form: Form) -> list[Problem]:
    """What profile and cluster do not offer, and what others have already."""
    offered = await offering.options(house, source.name)
    found: list[Problem] = []
    profile = next((item for item in offered.profiles if item.name == form.profile), None)
    if form.profile and profile is None:
        found.append(_problem("profile", "UnknownProfile", f"there is no profile {form.profile}", ""))
    if profile is not None and form.expose and form.public and not profile.may_be_public:
        found.append(_problem("public", "NotAllowed", f"profile {profile.name} is never public", "Keep it internal."))
    if profile is not None and form.domain and not profile.may_have_domain:
        found.append(_problem("domain", "NotAllowed", f"profile {profile.name} has no domain", "Take another profile."))
    cluster = next((item for item in offered.clusters if form.cluster in ("", item.name)), None)
    if form.cluster and cluster is None:
        found.append(_problem("cluster", "UnknownCluster", f"there is no cluster {form.cluster} for this source", ""))
    if cluster is not None and not cluster.problem:
        for name, value, known in (
            ("node", form.node, cluster.nodes),
            ("storage", form.storage, cluster.storages),
            ("bridge", form.bridge, cluster.bridges),
        ):
            if value and value not in known:
                advice = f"There: {', '.join(known)}."
                found.append(_problem(name, "UnknownValue", f"{cluster.name} has no {name} {value}", advice))
    return [*found, *await _taken(house, form)]


async def _taken(house: House, form: Form) -> list[Problem]:
    page = await house.store.guests(GuestQuery(limit=offering.MOST))
    others = [item for item in page.guests if (item.source, str(item.ref)) != (form.source, form.original)]
    address = form.address.partition("/")[0] if form.network == "static" else ""
    found: list[Problem] = []
    for item in others:
        expose = item.desired.get("expose")
        if form.domain and isinstance(expose, dict) and expose.get("domain") == form.domain:
            found.append(_problem("domain", "Taken", f"{form.domain} is the domain of {item.ref}", "Take another."))
        if address and address == item.address and form.cluster in ("", item.cluster):
            found.append(_problem("address", "AddressInUse", f"{address} belongs to {item.ref}", "Take another."))
    return found


def _said(changed: Rendered, files: tuple[FileChange, ...], form: Form) -> Iterator[Problem]:
    ours = {item.path for item in files}
    for item in changed.loaded.diagnostics:
        if item.location is not None and item.location.file in ours:
            yield _of(item)
        elif item.severity == "error":
            yield Problem("", item)


def _of(item: Diagnostic) -> Problem:
    field = next((name for path, name in _FIELDS if item.summary.startswith(path)), "")
    return Problem(field, item)


def _problem(field: str, code: str, summary: str, advice: str) -> Problem:
    return Problem(field, Diagnostic("error", code, summary, advice))


def _service(source: Source, guest: Guest) -> Mapping[str, object]:
    """The definition that would be published; its address comes from the guest once it is there."""
    desired = guest.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    record = GuestRecord(source.name, guest.ref, guest.spec.cluster or "", "", guest.spec.vmid or 100,
                         guest.spec.hostname or guest.ref.name, "0.0.0.0", "Synced", "Healthy", "running", "",  # noqa: S104
                         desired=desired)  # fmt: skip
    service = service_of(record)
    if service is None or service.expose is None:
        return {}
    expose = service.expose
    return {
        "name": guest.ref.name,
        "type": "proxy",
        "domain": expose.domain,
        "headers": expose.headers,
        "auth": expose.auth,
        "backend": f"the guest's own address:{expose.port}",
    }


async def _commit(
    house: House,
    actor: Actor,
    source: str,
    files: tuple[FileChange, ...],
    message: str,
    expected: str,
    pull: bool,
    form: Mapping[str, Json],
) -> Job:
    if not files:
        raise Stalled("nothing would change", "The manifest says so already.")
    spec = house.source(source).spec
    payload: dict[str, Json] = {
        "files": [{"path": item.path, "text": item.text} for item in files],
        "message": message,
        "expected": expected,
        "pull": pull or spec.propose,
        "form": dict(form),
    }
    return await request(house, Request("commit", source, "", (), actor.via, actor.name, payload))
