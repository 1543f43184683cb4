"""The only place that wires: manifests to plans, clusters to Proxmox, the checkout to the source's name."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from innkeeper.checkout import checkout
from innkeeper.engine.describe import insides, of_projects
from innkeeper.engine.errors import EngineError, Stalled
from innkeeper.engine.inside import Insider
from innkeeper.engine.interior import preferred
from innkeeper.engine.ports import Log, Scope
from innkeeper.engine.reconcile import Prepared, prepare
from innkeeper.manifests.loading import Loaded, load
from innkeeper.manifests.writing import Manifest, manifest
from innkeeper.model.applications import ENVIRONMENT, PROJECT
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.images import Build
from innkeeper.model.objects import ADOPT, Cluster, ClusterDefaults, Declared
from innkeeper.model.observed import ObservedGuest
from innkeeper.model.sources import Format
from innkeeper.planner.addresses import static_addresses
from innkeeper.planner.build import guests_of
from innkeeper.planner.existence import missing_things
from innkeeper.planner.place import nearest
from innkeeper.planner.policy import Policy, Unreachable, named
from innkeeper.proxmox import doctor
from innkeeper.proxmox.doctor import Finding
from innkeeper.proxmox.hypervisor import Proxmox
from innkeeper.settings.desired import compile_guest
from innkeeper.settings.importing import to_spec
from innkeeper.settings.made import NAME
from innkeeper.settings.paring import pared

NEWEST = (9, 1)
"""The version of Proxmox VE that manifests are held against where no cluster can be asked."""

Clusters = Mapping[str, Proxmox | Unreachable]


def policy(paths: Sequence[Path], source: str | None = None) -> Policy:
    """The policy of a run that allows nothing extra. The source is asked of git unless it is named."""
    first = next((path for path in paths if str(path) != "-"), Path())
    found = checkout(first if first.is_dir() else first.parent)
    return Policy(source=source or found.source, revision=found.revision)


def loaded(paths: Sequence[str | Path], format: Format | None = None) -> Loaded:  # noqa: A002 (the field's own word)
    """Everything that is declared there (in the current directory where no path is given), flakes evaluated."""
    return load(paths or [Path()], format, _evaluated, derive=_derived)


def _evaluated(flake: Path) -> str | Diagnostic:
    from innkeeper.sources.nix import evaluate  # few have flakes

    return evaluate(flake)


def _derived(flake: Path, output: str) -> str | Diagnostic:
    from innkeeper.sources.nixbuild import derive

    return derive(flake, output)


def built(build: Build, log: Log) -> AbstractAsyncContextManager[Path]:
    """See engine.ports.Builder."""
    from innkeeper.sources import nixbuild

    return nixbuild.built(build, log)


@asynccontextmanager
async def connected(clusters: Iterable[Cluster]) -> AsyncIterator[Clusters]:
    """The clusters by name; one whose secret or certificate is missing is Unreachable, with the reason."""
    found: dict[str, Proxmox | Unreachable] = {}
    try:
        for cluster in clusters:
            try:
                found[cluster.name] = Proxmox(cluster, Path(cluster.origin.directory))
            except EngineError as error:
                found[cluster.name] = Unreachable(error.message, error.advice)
        yield found
    finally:
        for hypervisor in found.values():
            if isinstance(hypervisor, Proxmox):
                await hypervisor.close()


@asynccontextmanager
async def working_inside(
    declared: Declared, data: Path | None = None, *, foreign: bool = False
) -> AsyncIterator[Insider | None]:
    """What works inside guests; None, and nothing imported for it, where no guest declares roles or checks.

    `data` is where keys are kept, if not in Innkeeper's own data directory. `foreign`: whoever wrote the manifests is
    not who runs this, so that no repository of an application may be this machine's own.
    """
    if not any(guest.spec.configure is not None or guest.spec.health for guest in declared.guests):
        yield None
        return
    from innkeeper.configure.insider import Insides  # needs the extra `guests` once it works

    insider = Insides(data=data, foreign=foreign)
    try:
        yield insider
    finally:
        await insider.close()


def secrets_example(declared: Declared) -> str:
    """A form for every secret that the guests need; empty where they need none."""
    from innkeeper.configure.example import example

    return example(insides(declared))


def chosen(declared: Declared, projects: Sequence[str], environments: Sequence[str], only: Sequence[str]) -> set[str]:
    """The guests of these projects and environments that `only` names, too (it may be empty); Stalled for none."""
    known = {name for guest in declared.guests for label, name in guest.labels if label == PROJECT}
    for project in projects:
        if project not in known:
            listed = f"projects: {', '.join(sorted(known))}" if known else "no Application is declared"
            raise Stalled(f"--project {project}: there is no such project{nearest(project, known)}", listed)
    found = of_projects(declared, projects, environments)
    if not found:
        every = {name for guest in declared.guests for label, name in guest.labels if label == ENVIRONMENT}
        raise Stalled(
            f"--env {', '.join(environments)}: no project has it", f"environments: {', '.join(sorted(every))}"
        )
    return {str(ref) for ref in found if not only or named(ref, only)} or {""}


async def plan(
    loaded: Loaded, clusters: Clusters, allowed: Policy, insider: Insider | None = None, *, health: bool = False
) -> Prepared:
    """The plan, with what reading the manifests found. `health`: the guests' checks are made, too."""
    prepared = await prepare(loaded.declared, clusters, allowed, insider=insider, health=health)
    findings = (*loaded.diagnostics, *prepared.plan.diagnostics)
    return replace(prepared, plan=replace(prepared.plan, diagnostics=findings))


def compiled(declared: Declared, versions: Mapping[str, tuple[int, int]]) -> Iterable[Diagnostic]:
    """What Proxmox's own rules say against guests; `versions` by cluster, else the newest is taken."""
    defaults = {cluster.name: cluster.spec.defaults for cluster in declared.clusters}
    for guest in declared.guests:
        name = guest.spec.cluster or ""
        yield from compile_guest(guest, defaults.get(name, ClusterDefaults()), versions.get(name, NEWEST))[1]


async def address_of(prepared: Prepared, clusters: Clusters) -> str | None:
    """The address of the only declared guest: static, else as its cluster tells it now."""
    guest, step = prepared.declared.guests[0], next(iter(prepared.plan.steps), None)
    static = next((place[1] for place, _ in static_addresses(guest)), None)
    hypervisor = clusters[step.cluster] if step is not None else Unreachable("")
    if static is not None or step is None or isinstance(hypervisor, Unreachable):
        return static
    seen = await hypervisor.guest(step.vmid)
    return preferred(await hypervisor.addresses(seen)) if seen is not None else None


_SAID = frozenset({"SlotTwice", "PathTwice", "NicNeedsSlot"})
"""What reading the manifests says as well, in its own words (DuplicateSlot, DuplicatePath, MissingField)."""


async def validate(loaded: Loaded, *, offline: bool) -> tuple[Diagnostic, ...]:
    """Everything to be said about manifests. Clusters are asked for what exists, unless that cannot be done."""
    versions: dict[str, tuple[int, int]] = {}
    findings: list[Diagnostic] = []
    if not offline:
        async with connected(loaded.declared.clusters) as clusters:
            for cluster in loaded.declared.clusters:
                findings += await _existing(loaded.declared, cluster, clusters[cluster.name], versions)
    said = {item.location for item in loaded.diagnostics if item.severity == "error"}
    findings += (
        item for item in compiled(loaded.declared, versions) if item.location not in said and item.code not in _SAID
    )
    return tuple(sorted((*loaded.diagnostics, *findings), key=_place))


async def _existing(
    declared: Declared, cluster: Cluster, hypervisor: Proxmox | Unreachable, versions: dict[str, tuple[int, int]]
) -> Iterable[Diagnostic]:
    try:
        if isinstance(hypervisor, Unreachable):
            return (_not_checked(cluster, hypervisor.message),)
        view = await hypervisor.observe(Scope(ours=False, catalog=True))
    except EngineError as error:
        return (_not_checked(cluster, error.message),)
    versions[cluster.name] = view.version
    return missing_things(declared, cluster, view)


def _not_checked(cluster: Cluster, reason: str) -> Diagnostic:
    summary = f"cluster {cluster.name} was not asked whether nodes, storages, bridges, templates and pools exist"
    return Diagnostic("info", "NotChecked", summary, reason, cluster.origin.at("spec.endpoints"))


def _place(item: Diagnostic) -> tuple[str, int, int]:
    place = item.location
    return (place.file, place.line, place.column) if place else ("", 0, 0)


async def examine(declared: Declared, cluster: Cluster, hypervisor: Proxmox | Unreachable) -> tuple[Finding, ...]:
    """The doctor's findings about one cluster."""
    if isinstance(hypervisor, Unreachable):
        return (Finding("connection", "error", hypervisor.message, hypervisor.advice),)
    return await doctor.examine(hypervisor, cluster, guests_of(declared, cluster.name))


async def import_guests(
    cluster: Cluster, vmids: frozenset[int], *, alone: bool
) -> tuple[list[Manifest], tuple[Diagnostic, ...]]:
    """Manifests of guests that exist (of all but templates where no vmids are given), and of which there are none.

    `alone`: the cluster is the only one, so that manifests need not name it.
    """
    async with connected([cluster]) as clusters:
        hypervisor = clusters[cluster.name]
        if isinstance(hypervisor, Unreachable):
            raise Stalled(hypervisor.message, hypervisor.advice)
        view = await hypervisor.observe(Scope(vmids=vmids, everything=not vmids))
    findings = [
        Diagnostic(
            "error", "NoSuchGuest", f"cluster {cluster.name} has no guest {vmid}", "Or the token may not see it."
        )
        for vmid in sorted(vmids - view.guests.keys())
    ]
    manifests: list[Manifest] = []
    names: set[tuple[str, str]] = set()
    # Ours first: their names are taken.
    for vmid, seen in sorted(view.guests.items(), key=lambda item: (item[1].marker is None, item[0])):
        if (vmid not in vmids) if vmids else seen.template:
            continue
        if seen.config is None:
            why = seen.unreadable or "its configuration was not read"
            findings.append(Diagnostic("error", "Unreadable", f"guest {vmid} on {seen.node}: {why}"))
            continue
        manifests.append(_manifest(seen, cluster.name, view.version, names, alone=alone))
    manifests.sort(key=_vmid)
    if not (view.complete or vmids):
        summary = f"cluster {cluster.name} may have guests that are not shown"
        gaps = "; ".join(view.gaps)
        findings.append(Diagnostic("warning" if manifests else "error", "ViewIncomplete", summary, gaps))
    return manifests, tuple(findings)


def _vmid(item: Manifest) -> int:
    spec = item["spec"]
    return int(spec["vmid"]) if isinstance(spec, Mapping) else 0


def _manifest(
    seen: ObservedGuest, cluster: str, version: tuple[int, int], names: set[tuple[str, str]], *, alone: bool
) -> Manifest:
    """Ours keep the name of their object and what is set for it; others are to be adopted as they are."""
    spec = to_spec(seen, cluster)
    if alone:
        del spec["cluster"]
    if seen.marker is not None:
        names.add((seen.marker.kind, seen.marker.name))
        return manifest(seen.marker.kind, seen.marker.name, pared(spec, seen, seen.marker, version))
    name = re.sub(r"[^a-z0-9]+", "-", (seen.name or "").lower())[:50].strip("-") or f"guest-{seen.vmid}"
    if (seen.kind, name) in names:
        name = f"{name}-{seen.vmid}"
    names.add((seen.kind, name))
    # A guest without a name of its own is listed under one that Proxmox makes up (`VM 207`).
    called = (seen.config or {}).get(NAME[seen.kind], "")
    if called and name != called:
        spec["hostname"] = called
    return manifest(seen.kind, name, spec, {ADOPT: "true"})
