"""Paths to everything that is declared there, with all that is to be said about it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from innkeeper.manifests.checks import check_guest
from innkeeper.manifests.crosschecks import check_clusters, check_together
from innkeeper.manifests.drafts import KINDS, Draft, Foreign, Rejected, draft, without_empty
from innkeeper.manifests.files import SourceText, read
from innkeeper.manifests.origins import OverProfile, finding
from innkeeper.manifests.profiles import SPECS, ReadyProfile, merged, outside, read_profile
from innkeeper.manifests.validation import validate
from innkeeper.manifests.vocabulary import nearest
from innkeeper.manifests.yamltext import documents
from innkeeper.model.diagnostics import Diagnostic, Location, has_errors
from innkeeper.model.objects import API_VERSION, Cluster, ClusterSpec, Declared, Guest, Origin, Ref


@dataclass(frozen=True, slots=True)
class Loaded:
    """`files` are those that hold manifests. Where `diagnostics` hold an error, `declared` is incomplete."""

    declared: Declared
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not has_errors(self.diagnostics)


def load(paths: Iterable[str | Path]) -> Loaded:
    """Read files, directories and `-` (standard input). Never raises for anything that they hold."""
    loader = _Loader()
    paths = tuple(paths)
    for source in read(paths):
        loader.take(source)
    return loader.finish(", ".join(map(str, paths)))


@dataclass(slots=True)
class _Loader:
    diagnostics: list[Diagnostic] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    places: dict[Ref, Location] = field(default_factory=dict)
    clusters: list[Cluster] = field(default_factory=list)
    cluster_names: list[str] = field(default_factory=list)
    profiles: dict[str, ReadyProfile] = field(default_factory=dict)

    def take(self, source: SourceText) -> None:
        if source.failure is not None:
            self.diagnostics.append(source.failure)
            return
        ours = 0
        foreign: list[Foreign] = []
        for document in documents(source.text):
            result = draft(document, source.file, source.text)
            if isinstance(result, Foreign):
                foreign.append(result)
                continue
            ours += 1
            if isinstance(result, Rejected):
                self.diagnostics += result.diagnostics
                if result.ref is not None:
                    self.places.setdefault(result.ref, Location(source.file, document.line, document.column))
            elif self._is_new(result):
                self.drafts.append(result)
        if ours:
            self.files.append(source.file)
        if foreign:
            self.diagnostics.append(_not_ours(foreign, must=source.named))

    def _is_new(self, found: Draft) -> bool:
        place = found.origin.location
        first = self.places.setdefault(found.ref, place)
        if first is place:
            return True
        problem = f"{found.ref} is declared already ({first})"
        advice = "Rename one of the two, or remove it."
        self.diagnostics.append(finding("DuplicateName", found.origin, "metadata.name", problem, advice))
        return False

    def finish(self, given: str) -> Loaded:
        if not self.places and not has_errors(self.diagnostics):
            advice = f"A manifest is a YAML document with apiVersion: {API_VERSION}, in a file *.yaml or *.yml."
            self.diagnostics.append(Diagnostic("error", "NoManifests", f"{given} holds no manifests", advice))
        guests = tuple(self._guests())
        self.diagnostics += check_clusters(self.clusters)
        for guest in guests:
            self.diagnostics += check_guest(guest)
        self.diagnostics += check_together(guests, set(self.places))
        profiles = tuple(ready.profile for ready in self.profiles.values())
        declared = Declared(tuple(self.clusters), profiles, guests)
        return Loaded(declared, tuple(sorted(self.diagnostics, key=_order)), tuple(self.files))

    def _guests(self) -> Iterator[Guest]:
        waiting: list[Draft] = []
        self.cluster_names = [ref.name for ref in self.places if ref.kind == "Cluster"]
        for found in self.drafts:
            if found.empty_fields:
                self.diagnostics += _empty(found.spec, "spec", found.origin)
            if found.ref.kind == "Cluster":
                self._cluster(found)
            elif found.ref.kind == "Profile":
                self._profile(found)
            else:
                waiting.append(found)
        self.drafts.clear()
        waiting.reverse()
        while waiting:
            guest = self._guest(waiting.pop())
            if guest is not None:
                yield guest

    def _cluster(self, found: Draft) -> None:
        spec = validate(ClusterSpec, without_empty(found.spec), "spec", found.origin)
        if isinstance(spec, tuple):
            self.diagnostics += spec
        else:
            self.clusters.append(Cluster(found.ref.name, spec, found.origin))

    def _profile(self, found: Draft) -> None:
        ready = read_profile(found)
        if isinstance(ready, tuple):
            self.diagnostics += ready
        else:
            self.profiles[found.ref.name] = ready

    def _guest(self, found: Draft) -> Guest | None:
        raw, origin = found.spec, found.origin
        name = raw.get("profile")
        ready = self._profile_of(name, found) if isinstance(name, str) else None
        if ready is not None:
            raw = merged(ready.defaults[found.ref.kind], raw)
            origin = Origin(origin.location, OverProfile(found.passage, ready.draft.passage).locate)
        if raw.get("cluster") is None and len(self.clusters) == 1:
            raw = raw | {"cluster": self.clusters[0].name}
        data = without_empty(raw) if found.empty_fields else raw
        spec = validate(SPECS[found.ref.kind], data, "spec", origin)
        if isinstance(spec, tuple):
            self.diagnostics += spec
            return None
        if ready is not None:
            self.diagnostics += outside(ready.profile.spec.allowed, raw, ready.profile.name, origin, "spec")
        labels, annotations = found.metadata.labels, found.metadata.annotations
        guest = Guest(found.ref, spec, origin, tuple(labels.items()), tuple(annotations.items()))
        return guest if self._has_cluster(guest) and (ready is not None or name is None) else None

    def _profile_of(self, name: str, found: Draft) -> ReadyProfile | None:
        """The profile; None where it is unknown, faulty (said already), or not for this kind."""
        ready = self.profiles.get(name)
        if ready is None:
            if Ref("Profile", name) not in self.places:
                advice = _meant(name, [ref.name for ref in self.places if ref.kind == "Profile"], "profiles")
                problem = f"profile {name} is not declared"
                self.diagnostics.append(finding("UnknownProfile", found.origin, "spec.profile", problem, advice))
            return None
        kinds = ready.profile.spec.supported_kinds
        if found.ref.kind not in kinds:
            problem = f"profile {name} is not for a {found.ref.kind}"
            advice = f"It supports {', '.join(kinds)} ({ready.profile.origin.at('spec.supportedKinds')})."
            self.diagnostics.append(finding("ProfileKind", found.origin, "spec.profile", problem, advice))
            return None
        return ready

    def _has_cluster(self, guest: Guest) -> bool:
        declared, name = self.cluster_names, guest.spec.cluster
        if name in declared or (name is None and len(declared) == 1):
            return True
        if name is not None:
            problem, code = f"cluster {name} is not declared", "UnknownCluster"
            advice = _meant(name, declared, "clusters")
        elif declared:
            problem, code = "this field is required, because there are several clusters", "AmbiguousCluster"
            advice = f"Clusters: {', '.join(declared)}."
        else:
            problem, code = "no cluster is declared", "UnknownCluster"
            advice = "Add a manifest of kind: Cluster, or name its file as well."
        self.diagnostics.append(finding(code, guest.origin, "spec.cluster", problem, advice))
        return False


def _not_ours(foreign: list[Foreign], *, must: bool) -> Diagnostic:
    first, more = foreign[0], len(foreign) - 1
    what = "this document is" if not more else f"this document and {more} more are"
    if must:
        advice = f"A manifest begins with apiVersion: {API_VERSION}, and its kind is one of {', '.join(KINDS)}."
        return Diagnostic("error", "NotAManifest", f"{what} not a manifest: {first.why}", advice, first.location)
    return Diagnostic("info", "NotAManifest", f"{what} left out: {first.why}", "", first.location)


def _empty(value: object, path: str, origin: Origin) -> Iterator[Diagnostic]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, tuple) else ()
    for key, item in items:
        field = f"{path}.{key}"
        if item is None and isinstance(value, dict):
            advice = "Give it a value, or remove the line."
            yield finding("EmptyField", origin, field, "has no value and counts as left out", advice, "warning")
        else:
            yield from _empty(item, field, origin)


def _meant(name: str, declared: list[str], what: str) -> str:
    near = nearest(name, declared)
    listed = f"Declared {what}: {', '.join(declared[:20])}." if declared else f"No {what} are declared."
    return f"Did you mean {near}? {listed}" if near else listed


def _order(item: Diagnostic) -> tuple[str, int, int]:
    place = item.location
    return (place.file, place.line, place.column) if place else ("", 0, 0)
