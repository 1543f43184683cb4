"""What a translation yields: drafts whose fields know where they stand in the original, and what could not be said."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from innkeeper.manifests.drafts import Draft
from innkeeper.manifests.origins import Places
from innkeeper.manifests.validation import validate
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Metadata, Origin, Ref

Moves = Mapping[str, tuple[Places, str]]
"""By a field's path in the native manifest: the original's places, and its path there."""


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """Finds a field of a translated object in the original; what has no counterpart is found at `whole`."""

    whole: Location
    moves: Moves = field(default_factory=dict)

    def find(self, path: str) -> tuple[str, Location | None]:
        known = path
        while known and known not in self.moves:
            known = known.rpartition(".")[0]
        if not known:
            return "", self.whole
        places, original = self.moves[known]
        wanted = original + path[len(known) :]
        found, place = places.find(wanted)
        return (path if found == wanted else known), place or self.whole

    def locate(self, path: str) -> Location | None:
        return self.find(path)[1]


@dataclass(frozen=True, slots=True)
class Original:
    """One object of another format in the words of ours; `spec` is in the spelling of files, not yet checked."""

    kind: str
    name: str
    spec: dict[str, object]
    traced: Traced
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None

    def drafted(self) -> Iterator[Draft | Diagnostic]:
        """The draft, or what is wrong with the object's name, labels and annotations."""
        origin = Origin(self.traced.whole, self.traced.locate, self.base)
        raw = {"name": self.name, "labels": dict(self.labels), "annotations": dict(self.annotations)}
        metadata = validate(Metadata, {key: value for key, value in raw.items() if value}, "metadata", origin)
        if isinstance(metadata, tuple):
            yield from metadata
        else:
            yield Draft(Ref(self.kind, metadata.name), metadata, self.spec, self.traced, origin, empty_fields=False)
