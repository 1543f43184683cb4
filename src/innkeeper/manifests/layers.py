"""Specs laid over each other: an environment over its application over its profile, each field with its place.

Maps merge, lists replace. One list merges too: roles, by their names, so that a guest gives a variable to a role of its
profile without repeating the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from innkeeper.manifests.origins import Places
from innkeeper.model.diagnostics import Location

Raw = Mapping[str, object]
_APART = frozenset({"configure", "health"})
"""Fields of a profile that stand beside its defaults."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Plain data of a spec, and where it stands: below `prefix` of a document, `moved` parts elsewhere in it."""

    raw: Raw
    passage: Places
    prefix: str = "spec"
    moved: tuple[tuple[str, str], ...] = ()


def profile_layer(raw: Raw, passage: Places) -> Layer:
    return Layer(raw, passage, "spec.defaults", tuple((name, f"spec.{name}") for name in sorted(_APART)))


def merged(base: Raw, own: Raw) -> dict[str, object]:
    """Maps merge, everything else replaces; a field of `own` without a value takes the default away."""
    result = dict(base)
    for key, value in own.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def together(layers: Sequence[Layer]) -> dict[str, object]:
    """The spec of these layers, the first one on top."""
    result: dict[str, object] = {}
    for layer in reversed(layers):
        result = _over(result, layer.raw)
    return result


def _over(base: Raw, own: Raw) -> dict[str, object]:
    result = merged(base, own)
    below, above = roles_of(base), roles_of(own)
    if below and above:
        calls = {str(call["role"]): dict(call) for call in below}
        for call in above:
            name = str(call["role"])
            calls[name] = merged(calls.get(name, {}), call)
        configure = result["configure"]
        assert isinstance(configure, Mapping)
        result["configure"] = {**configure, "roles": tuple(calls.values())}
    return result


def roles_of(raw: Raw) -> tuple[Raw, ...]:
    """The role calls of a spec; none where they are not as they should be (said elsewhere), or are named twice."""
    configure = raw.get("configure")
    calls = configure.get("roles") if isinstance(configure, Mapping) else None
    if not isinstance(calls, tuple) or not all(isinstance(call, Mapping) and "role" in call for call in calls):
        return ()
    return calls if len({str(call["role"]) for call in calls}) == len(calls) else ()


@dataclass(frozen=True, slots=True, eq=False)
class Layered:
    """Finds a field of the merged spec in the layer that names it; a list's items in the layer that gave the list.

    It keeps names, not data: ten thousand guests have one each.
    """

    roles: tuple[str, ...]
    layers: tuple["_Layer", ...]

    def locate(self, path: str) -> Location | None:
        top = self.layers[0]
        head, _, rest = path.partition(".")
        if head != "spec":
            return top.passage.find(path)[1]
        best, place = 0, top.passage.find(top.prefix)[1]
        for layer in self.layers:
            own = self._in(layer, rest)
            if own is None:
                continue
            known, found = layer.find(own)
            if known > best:
                best, place = known, found
            if any(part.isdigit() for part in own.split(".")[:known]) and own == rest:
                break
        return place

    def _in(self, layer: "_Layer", path: str) -> str | None:
        """The path in one layer: a role has another index there, or is not there at all."""
        parts = path.split(".")
        if parts[:2] != ["configure", "roles"] or len(parts) < 3 or not self.roles:
            return path
        name = self.roles[int(parts[2])]
        if name not in layer.roles:
            return None
        return ".".join(["configure", "roles", str(layer.roles.index(name)), *parts[3:]])


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    passage: Places
    prefix: str
    moved: tuple[tuple[str, str], ...]
    roles: tuple[str, ...]

    def find(self, path: str) -> tuple[int, Location | None]:
        """How many parts of the path stand here, and the place of the last of them."""
        best: tuple[int, Location | None] = (0, None)
        for name, elsewhere in (("", self.prefix), *self.moved):
            if name and path != name and not path.startswith(name + "."):
                continue
            rest = path[len(name) :].lstrip(".")
            known, place = self.passage.find(f"{elsewhere}.{rest}" if rest else elsewhere)
            depth = len(known.split(".")) - len(elsewhere.split("."))
            if known and depth >= 0 and (found := depth + (len(name.split(".")) if name else 0)) > best[0]:
                best = found, place
        return best


def located(layers: Sequence[Layer]) -> Layered:
    """Where the fields of the merged spec stand."""
    names = [tuple(str(call["role"]) for call in roles_of(layer.raw)) for layer in layers]
    whole = tuple(str(call["role"]) for call in roles_of(together(layers))) if any(names) else ()
    return Layered(
        whole,
        tuple(_Layer(layer.passage, layer.prefix, layer.moved, own) for layer, own in zip(layers, names, strict=True)),
    )
