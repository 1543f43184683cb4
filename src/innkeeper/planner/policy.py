"""What a person allows and asks for in one run, and what stands in for a cluster that could not be seen."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from innkeeper.model.objects import Ref
from innkeeper.model.observed import ClusterView


@dataclass(frozen=True, slots=True)
class Policy:
    """`replace` and `only` hold names (`web`) or whole references (`Container/web`)."""

    source: str
    revision: str = ""
    prune: bool = False
    max_deletes: int = 3
    replace: frozenset[str] = frozenset()
    take_over: bool = False
    only: frozenset[str] = frozenset()

    def selects(self, ref: Ref) -> bool:
        return not self.only or named(ref, self.only)

    def may_replace(self, ref: Ref) -> bool:
        return named(ref, self.replace)


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A cluster of which nothing is known: every guest on it is Unknown, and none is created, changed or deleted."""

    message: str
    advice: str = ""


Views = Mapping[str, ClusterView | Unreachable]


def named(ref: Ref, names: Collection[str]) -> bool:
    return ref.name in names or str(ref) in names
