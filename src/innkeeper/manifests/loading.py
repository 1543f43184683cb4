"""Paths to everything that is declared there, with all that is to be said about it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from innkeeper.manifests.applications import Expanded, expand
from innkeeper.manifests.checks import check_guest
from innkeeper.manifests.crosschecks import check_clusters, check_together
from innkeeper.manifests.drafts import KINDS, SETTINGS, Draft, Foreign, Rejected, draft, without_empty
from innkeeper.manifests.files import SourceText, bundled_profiles, directory_of, read
from innkeeper.manifests.formats.translation import Translation, translate
from innkeeper.manifests.formats.tree import Evaluate
from innkeeper.manifests.images import Derive, made_from, read_image
from innkeeper.manifests.insides import Roles, check_references, referred_files, role_directories
from innkeeper.manifests.layers import Layer, located, roles_of, together
from innkeeper.manifests.origins import finding
from innkeeper.manifests.profiles import SPECS, ReadyProfile, outside, overexposed, read_profile
from innkeeper.manifests.validation import validate
from innkeeper.manifests.vocabulary import nearest
from innkeeper.manifests.yamltext import documents
from innkeeper.model.diagnostics import Diagnostic, Location, has_errors
from innkeeper.model.exposure import EXPORTER
from innkeeper.model.images import Image
from innkeeper.model.objects import API_VERSION, Cluster, ClusterSpec, Declared, Guest, Metadata, Origin, Ref
from innkeeper.model.server import Server, ServerSpec
from innkeeper.model.sources import Format, Source, SourceSpec

_GROUP = API_VERSION.partition("/")[0]
_MACHINES = "vitistack.io/"


@dataclass(frozen=True, slots=True)
class Loaded:
    """`files` are those that hold manifests. Where `diagnostics` hold an error, `declared` is incomplete.

    `translated` are the objects that stand in another format, in the words of ours. `sources` and `servers` are what a
    server is told about itself.
    """

    declared: Declared
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[str, ...]
    translated: tuple[Draft, ...] = ()
    sources: tuple[Source, ...] = ()
    servers: tuple[Server, ...] = ()

    @property
    def ok(self) -> bool:
        return not has_errors(self.diagnostics)


def load(
    paths: Iterable[str | Path],
    format: Format | None = None,  # noqa: A002 (the field's own word)
    evaluate: Evaluate | None = None,
    clusters: Iterable[Cluster] = (),
    *,
    any_store: bool = False,
    derive: Derive | None = None,
) -> Loaded:
    """Read files, directories and `-` (standard input). Never raises for anything that they hold.

    `format` says what a directory is in; None: as it plainly is. Native manifests beside are read all the same.
    `evaluate` gives the output of a flake and `derive` what an image is built from, which take a process and so are not
    done here. `clusters` are those that a server knows besides. `any_store`: see check_references.
    """
    loader = _Loader(format in (None, "vitistack"), derive, any_store, clusters=list(clusters))
    loader.places.update((Ref("Cluster", item.name), item.origin.location) for item in loader.clusters)
    loader.given = frozenset(loader.places)
    known = len(loader.places)
    paths = tuple(paths)
    found = translate(paths, format, evaluate)
    loader.add(found)
    for source in read(path for path in paths if Path(path) not in found.roots or Path(path).is_dir()):
        if source.failure is not None or not found.covers(source.file) or _GROUP in source.text:
            loader.take(source)
    return loader.finish(", ".join(map(str, paths)), empty=len(loader.places) == known)


@dataclass(slots=True)
class _Loader:
    machines: bool
    """Whether documents of vitistack.io are translated."""
    derive: Derive | None = None
    any_store: bool = False
    diagnostics: list[Diagnostic] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    places: dict[Ref, Location] = field(default_factory=dict)
    given: frozenset[Ref] = frozenset()
    """The clusters that a server knows besides: they count, whatever a repository says of the same name."""
    clusters: list[Cluster] = field(default_factory=list)
    cluster_names: list[str] = field(default_factory=list)
    profiles: dict[str, ReadyProfile] = field(default_factory=dict)
    images: dict[str, Image | None] = field(default_factory=dict)
    """None for those that are faulty."""
    bundled: dict[str, ReadyProfile | None] = field(default_factory=dict)
    roles: Roles = field(default_factory=Roles)
    sources: list[Source] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    translated: list[Draft] = field(default_factory=list)
    settings: list[Draft] = field(default_factory=list)
    """Clusters and images that directories in other formats tell of by the way."""

    def add(self, found: Translation) -> None:
        self.diagnostics += found.diagnostics
        self.files += found.files
        for item in found.drafts:
            if item.ref.kind in ("Cluster", "Image"):
                self.settings.append(item)
            else:
                self._add(item)

    def _settle(self) -> None:
        """What manifests declare is meant instead: any cluster, and an image of the same name."""
        own = next((ref for ref in self.places if ref.kind == "Cluster"), None)
        for item in self.settings:
            meant = own if item.ref.kind == "Cluster" else item.ref if item.ref in self.places else None
            if meant is None:
                self._add(item)
            else:
                problem = f"not used: {meant} is declared ({self.places[meant]})"
                code = "ClusterReplaced" if item.ref.kind == "Cluster" else "ImageReplaced"
                self.diagnostics.append(finding(code, item.origin, "", problem, "", "info"))

    def _add(self, item: Draft) -> None:
        if self._is_new(item.ref, item.origin):
            self.drafts.append(item)
            self.translated.append(item)

    def take(self, source: SourceText) -> None:
        if source.failure is not None:
            self.diagnostics.append(source.failure)
            return
        ours = 0
        foreign: list[Foreign] = []
        machines = _vitistack() if self.machines and _MACHINES in source.text else None
        for document in documents(source.text):
            if machines is not None and machines.is_ours(document):
                ours += 1
                for item in machines.translated(document, source.file, source.text):
                    if isinstance(item, Draft):
                        self._add(item)
                    else:
                        self.diagnostics.append(item)
                continue
            result = draft(document, source.file, source.text)
            if isinstance(result, Foreign):
                foreign.append(result)
                continue
            ours += 1
            if isinstance(result, Rejected):
                self.diagnostics += result.diagnostics
                if result.ref is not None:
                    self.places.setdefault(result.ref, Location(source.file, document.line, document.column))
            elif self._is_new(result.ref, result.origin):
                self.drafts.append(result)
        if ours:
            self.files.append(source.file)
        if foreign:
            self.diagnostics.append(_not_ours(foreign, must=source.named))

    def _is_new(self, ref: Ref, origin: Origin) -> bool:
        first = self.places.setdefault(ref, origin.location)
        if first is origin.location:
            return True
        if ref in self.given:
            problem = f"not used: the server's own {ref} is meant"
            self.diagnostics.append(finding("ClusterReplaced", origin, "", problem, "", "info"))
            return False
        problem = f"{ref} is declared already ({first})"
        advice = "Rename one of the two, or remove it."
        self.diagnostics.append(finding("DuplicateName", origin, "metadata.name", problem, advice))
        return False

    def finish(self, given: str, *, empty: bool) -> Loaded:
        self._settle()
        if empty and not self.settings and not has_errors(self.diagnostics):
            advice = f"A manifest is a YAML document with apiVersion: {API_VERSION}, in a file *.yaml or *.yml."
            self.diagnostics.append(Diagnostic("error", "NoManifests", f"{given} holds no manifests", advice))
        guests = tuple(self._guests())
        self.diagnostics += check_clusters(self.clusters)
        for guest in guests:
            self.diagnostics += check_guest(guest)
        self.diagnostics += check_together(guests, set(self.places))
        profiles = tuple(ready.profile for ready in self.profiles.values())
        declared = Declared(tuple(self.clusters), profiles, guests)
        findings = tuple(sorted(self.diagnostics, key=_order))
        translated, sources, servers = tuple(self.translated), tuple(self.sources), tuple(self.servers)
        return Loaded(declared, findings, tuple(self.files), translated, sources, servers)

    def _guests(self) -> Iterator[Guest]:
        waiting: list[Draft] = []
        self.cluster_names = [ref.name for ref in self.places if ref.kind == "Cluster"]
        self.images.update((ref.name, None) for ref in self.places if ref.kind == "Image")
        for found in self.drafts:
            if found.empty_fields:
                self.diagnostics += _empty(found.spec, "spec", found.origin)
            if found.ref.kind == "Cluster":
                self._cluster(found)
            elif found.ref.kind == "Profile":
                self._profile(found)
            elif found.ref.kind == "Image":
                self._image(found)
            elif found.ref.kind in SETTINGS:
                self._setting(found)
            else:
                waiting.append(found)
        self.drafts.clear()
        waiting.reverse()
        while waiting:
            found = waiting.pop()
            if found.ref.kind == "Application":
                yield from self._application(found)
            elif guest := self._guest(found, found.ref, found.metadata, (Layer(found.spec, found.passage),)):
                yield guest

    def _application(self, found: Draft) -> Iterator[Guest]:
        for item in expand(found):
            if isinstance(item, Diagnostic):
                self.diagnostics.append(item)
                continue
            origin = Origin(item.place, located(item.layers).locate, found.origin.base)
            if self._is_new(item.ref, origin) and (
                guest := self._guest(found, item.ref, item.metadata, item.layers, item)
            ):
                yield guest

    def _cluster(self, found: Draft) -> None:
        spec = validate(ClusterSpec, without_empty(found.spec), "spec", found.origin)
        if isinstance(spec, tuple):
            self.diagnostics += spec
        else:
            self.clusters.append(Cluster(found.ref.name, spec, found.origin))

    def _image(self, found: Draft) -> None:
        image = read_image(found, self.derive)
        if isinstance(image, tuple):
            self.diagnostics += image
        else:
            self.images[found.ref.name] = image

    def _setting(self, found: Draft) -> None:
        if found.ref.kind == "Source":
            source = validate(SourceSpec, without_empty(found.spec), "spec", found.origin)
            if isinstance(source, tuple):
                self.diagnostics += source
            else:
                self.sources.append(Source(found.ref.name, source, found.origin))
            return
        server = validate(ServerSpec, without_empty(found.spec), "spec", found.origin)
        if isinstance(server, tuple):
            self.diagnostics += server
        else:
            self.servers.append(Server(found.ref.name, server, found.origin))

    def _profile(self, found: Draft) -> None:
        ready = read_profile(found)
        if isinstance(ready, tuple):
            self.diagnostics += ready
            return
        self.profiles[found.ref.name] = ready
        if found.ref.name in bundled_profiles():
            problem = f"this is used in place of the profile {found.ref.name} that comes with Innkeeper"
            self.diagnostics.append(finding("ProfileHidden", found.origin, "metadata.name", problem, "", "info"))

    def _guest(
        self, found: Draft, ref: Ref, metadata: Metadata, layers: tuple[Layer, ...], item: Expanded | None = None
    ) -> Guest | None:
        """The guest of these layers, its profile's below them."""
        raw, origin = layers[0].raw if len(layers) == 1 else together(layers), found.origin
        name, kind = raw.get("profile"), ref.kind
        ready = self._profile_of(name, found, kind) if isinstance(name, str) else None
        below = (ready.layer(kind),) if ready is not None else ()
        if item is not None:
            below = (item.deployed(roles_of(together((*layers, *below)))), *below)
        if next((layer.raw["monitoring"] for layer in (*layers, *below) if "monitoring" in layer.raw), None) is True:
            below = (*below, Layer({"configure": {"roles": ({"role": EXPORTER},)}}, found.passage))
        if below or len(layers) > 1:
            layers = (*layers, *below)
            raw = together(layers)
            origin = Origin(item.place if item else origin.location, located(layers).locate, origin.base)
        if raw.get("cluster") is None and len(self.clusters) == 1:
            raw = {**raw, "cluster": self.clusters[0].name}
        if (raw.get("configure") or raw.get("health")) and raw.get("running") is None:
            raw = {**raw, "running": True}
        data = without_empty(raw) if found.empty_fields else raw
        spec = validate(SPECS[kind], data, "spec", origin)
        if isinstance(spec, tuple):
            self.diagnostics += spec
            return None
        if ready is not None:
            self.diagnostics += outside(ready.profile.spec.allowed, raw, ready.profile.name, origin, "spec")
            self.diagnostics += overexposed(spec.expose, ready.profile, origin)
        directories: tuple[str, ...] = ()
        files: tuple[tuple[str, str], ...] = ()
        if spec.configure is not None:
            beside = [Path(origin.directory)]
            beside += [directory_of(ready.profile.origin.location.file)] if ready is not None else []
            directories, wrong = role_directories(spec.configure, origin, tuple(beside), self.roles)
            files, missing = referred_files(spec.configure, origin, beside)
            self.diagnostics += (*wrong, *check_references(spec.configure, origin, any_store=self.any_store), *missing)
        home = next((item.spec.defaults for item in self.clusters if item.name == spec.cluster), None)
        spec, images, unknown = made_from(spec, origin, self.images, home.template if home else None)
        self.diagnostics += unknown
        labels, annotations = tuple(metadata.labels.items()), tuple(metadata.annotations.items())
        guest = Guest(ref, spec, origin, labels, annotations, directories, files, images)
        return guest if self._has_cluster(guest) and (ready is not None or name is None) else None

    def _profile_of(self, name: str, found: Draft, kind: str) -> ReadyProfile | None:
        """The profile; None where it is unknown, faulty (said already), or not for this kind."""
        ready = self.profiles.get(name)
        if ready is None and Ref("Profile", name) not in self.places:
            ready = self._bundled(name)
        if ready is None:
            if Ref("Profile", name) not in self.places:
                known = [*(ref.name for ref in self.places if ref.kind == "Profile"), *bundled_profiles()]
                problem, advice = f"profile {name} is not declared", _meant(name, known, "profiles")
                self.diagnostics.append(finding("UnknownProfile", found.origin, "spec.profile", problem, advice))
            return None
        kinds = ready.profile.spec.supported_kinds
        if kind not in kinds:
            problem = f"profile {name} is not for a {kind}"
            advice = f"It supports {', '.join(kinds)} ({ready.profile.origin.at('spec.supportedKinds')})."
            self.diagnostics.append(finding("ProfileKind", found.origin, "spec.profile", problem, advice))
            return None
        return ready

    def _bundled(self, name: str) -> ReadyProfile | None:
        """A profile that comes with Innkeeper."""
        if name not in self.bundled:
            path = bundled_profiles().get(name)
            self.bundled[name] = None
            for source in read([path] if path else []):
                for document in documents(source.text):
                    found = draft(document, source.file, source.text)
                    ready = read_profile(found) if isinstance(found, Draft) else ()
                    if isinstance(ready, ReadyProfile):
                        self.bundled[name] = ready
        return self.bundled[name]

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


def _vitistack() -> ModuleType:
    """Imported where it is met: few files hold its documents."""
    from innkeeper.manifests.formats import vitistack

    return vitistack


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
