"""What a person allows and asks for in one run, and what stands in for a cluster that could not be seen."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from innkeeper.model.objects import Ref
from innkeeper.model.observed import ClusterView


@dataclass(frozen=True, slots=True)
class Policy:
    """`replace` and `only` hold names (`web`) or whole references (`Container/web`)."""

    source: str
    revision: str = ""
    prune: bool = False
    max_deletes: int = 3
    last: frozenset[str] = frozenset()
    """Whole references of guests that may go even where nothing of ours stays declared on their cluster, because a
    person is asked first. Whatever goes by itself has none."""
    replace: frozenset[str] = frozenset()
    take_over: bool = False
    only: frozenset[str] = frozenset()
    configure: Literal["always", "changed", "never"] = "changed"
    """When roles are run inside guests that are as they were: always, when something of them changed, or never."""
    allow_ip_conflicts: bool = False
    provision: bool = True
    """False: guests stay as they are, and only roles are run inside them."""

    def selects(self, ref: Ref) -> bool:
        return not self.only or named(ref, self.only)

    def may_replace(self, ref: Ref) -> bool:
        return named(ref, self.replace)


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A cluster of which nothing is known: every guest on it is Unknown, and none is created, changed or deleted."""

    message: str
    advice: str = ""
    cause: str = ""
    """The name of the engine's error that it came from; it says whether to look again is of use."""


@dataclass(frozen=True, slots=True)
class Insights:
    """What is known about the insides of guests before anything is planned.

    `fingerprints` of configurations, None where one cannot be prepared (a diagnostic says why); guests that declare no
    roles are not in it. `keys` that new guests must accept, by cluster; `reached` are the guests that they are for.
    `refused` says of a guest why it may not be made or changed.
    """

    fingerprints: Mapping[Ref, str | None] = field(default_factory=lambda: MappingProxyType({}))
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    reached: frozenset[Ref] = frozenset()
    refused: Mapping[Ref, str] = field(default_factory=lambda: MappingProxyType({}))

    def keys_of(self, ref: Ref, cluster: str) -> tuple[str, ...]:
        return self.keys.get(cluster, ()) if ref in self.reached else ()


NOTHING = Insights()

Views = Mapping[str, ClusterView | Unreachable]


def named(ref: Ref, names: Collection[str]) -> bool:
    return ref.name in names or str(ref) in names
