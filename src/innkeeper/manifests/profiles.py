"""Profiles: defaults below a guest's own fields, and limits above them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from innkeeper.manifests.drafts import Draft, without_empty
from innkeeper.manifests.layers import Layer, Raw, merged, profile_layer, roles_of, together
from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described, validate
from innkeeper.manifests.vocabulary import Vocabulary, vocabulary
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.exposure import Expose
from innkeeper.model.guests import ContainerSpec, GuestSpec, VirtualMachineSpec
from innkeeper.model.objects import AllowedRange, Origin, Profile, ProfileSpec
from innkeeper.model.units import parse_quantity
from innkeeper.settings.table import find

SPECS: Mapping[str, type[ContainerSpec] | type[VirtualMachineSpec]] = {
    "Container": ContainerSpec,
    "VirtualMachine": VirtualMachineSpec,
}
_ONE_GUEST_ONLY = ("vmid", "profile", "hostname")


@dataclass(frozen=True, slots=True)
class ReadyProfile:
    """A valid profile with its defaults as each kind takes them."""

    profile: Profile
    draft: Draft
    defaults: Mapping[str, dict[str, object]]

    def layer(self, kind: str) -> Layer:
        return profile_layer(self.defaults[kind], self.draft.passage)


def read_profile(draft: Draft) -> ReadyProfile | tuple[Diagnostic, ...]:
    spec = validate(ProfileSpec, without_empty(draft.spec), "spec", draft.origin)
    if isinstance(spec, tuple):
        return spec
    kinds = spec.supported_kinds
    if not kinds:
        return (finding("MissingField", draft.origin, "spec.supportedKinds", "the list is empty", "Name a kind."),)
    found = [*_unknown_defaults(spec, draft.origin), *_limits(spec, draft.origin)]
    given = _with_apart(draft, spec)
    defaults: dict[str, dict[str, object]] = {kind: _fitting(given, kind) for kind in kinds}
    if not found:
        found += _faulty_defaults(spec, defaults, draft.origin)
        for kind in kinds:
            found += outside(spec.allowed, defaults[kind], draft.ref.name, draft.origin, "spec.defaults")
    if found:
        return tuple(dict.fromkeys(found))
    return ReadyProfile(Profile(draft.ref.name, spec, draft.origin), draft, defaults)


def _with_apart(draft: Draft, valid: ProfileSpec) -> dict[str, object]:
    """The defaults with what stands beside them and belongs to them: roles, checks, packages, the web server."""
    spec = draft.spec
    apart = {name: spec[name] for name in ("configure", "health") if spec.get(name) is not None}
    found = together((Layer(apart, draft.passage), Layer(valid.defaults, draft.passage)))
    calls = {str(call["role"]): call for call in roles_of(found)}
    if packages := spec.get("defaultPackages"):
        first = merged({"role": "base", "vars": {"base_extra_packages": packages}}, calls.get("base", {}))
        calls = {"base": first, **{name: call for name, call in calls.items() if name != "base"}}
    if server := spec.get("defaultWebServer"):
        calls["web"] = merged({"role": "web", "vars": {"web_server": server}}, calls.get("web", {}))
    if calls:
        found["configure"] = merged(_map(found.get("configure")), {"roles": tuple(calls.values())})
    return found


def _map(value: object) -> Raw:
    return value if isinstance(value, Mapping) else {}


def outside(
    allowed: Mapping[str, AllowedRange], spec: Mapping[str, object], profile: str, origin: Origin, root: str
) -> Iterator[Diagnostic]:
    """Fields that a profile does not allow to be as they are."""
    for field, limit in allowed.items():
        for path, value in _values(spec, field.split("."), ()):
            if value is not None and not _within(value, limit):
                problem = f"{described(value)} is not what profile {profile} allows"
                yield finding("ProfileRange", origin, f"{root}.{path}", problem, f"Allowed: {_phrase(limit)}.")


def overexposed(expose: Expose | None, profile: Profile, origin: Origin) -> Iterator[Diagnostic]:
    """What a profile does not let its guests be to others."""
    if expose is None:
        return
    if not profile.spec.allow_domain:
        problem, field = f"profile {profile.name} does not allow a domain", "allowDomain"
        yield finding("ProfileExposure", origin, "spec.expose", problem, f"Leave expose out, or set {field} there.")
    elif expose.public and not profile.spec.allow_public_exposure:
        problem, field = f"profile {profile.name} does not allow a public service", "allowPublicExposure"
        yield finding("ProfileExposure", origin, "spec.expose.public", problem, f"Leave it out, or set {field} there.")


def _faulty_defaults(
    spec: ProfileSpec, defaults: Mapping[str, dict[str, object]], origin: Origin
) -> Iterator[Diagnostic]:
    """Faults for the kinds that the profile names; where it names none, only what is wrong for every kind."""
    complaints = {kind: list(_complaints(SPECS[kind], part, origin)) for kind, part in defaults.items()}
    everywhere = set.intersection(*({(item.code, item.summary) for item in found} for found in complaints.values()))
    for item in dict.fromkeys(item for found in complaints.values() for item in found):
        if "supported_kinds" in spec.model_fields_set or (item.code, item.summary) in everywhere:
            yield item


def _complaints(model: type[GuestSpec], defaults: dict[str, object], origin: Origin) -> Iterator[Diagnostic]:
    """What is wrong with defaults, though they need not be complete: the guest may bring the rest of a map."""
    checked = validate(model, defaults, "spec.defaults", origin)
    if isinstance(checked, tuple):
        yield from (item for item in checked if item.code != "MissingField" or "[" in item.summary.partition(":")[0])


def _unknown_defaults(spec: ProfileSpec, origin: Origin) -> Iterator[Diagnostic]:
    words = [vocabulary(SPECS[kind]) for kind in spec.supported_kinds]
    for path in _fields(spec.defaults, ()):
        if path[0] in _ONE_GUEST_ONLY and len(path) == 1:
            advice = "Name it in the guest's own manifest."
            yield finding("UnknownField", origin, f"spec.defaults.{path[0]}", "no two guests can share this", advice)
        elif all(one.node(path) is None for one in words) and any(one.node(path[:-1]) is not None for one in words):
            meant = next((near for one in words if (near := one.meant(path[:-1], path[-1]))), None)
            advice = f"Did you mean {meant}? " if meant else ""
            advice += f"Fields of {' and '.join(spec.supported_kinds)} go here."
            yield finding("UnknownField", origin, f"spec.defaults.{'.'.join(path)}", "there is no such field", advice)


def _limits(spec: ProfileSpec, origin: Origin) -> Iterator[Diagnostic]:
    words = [vocabulary(SPECS[kind]) for kind in spec.supported_kinds]
    for field, limit in spec.allowed.items():
        path, place = field.split("."), f"spec.allowed.{field}"
        if not any(_node(one, path) for one in words):
            meant = next((near for one in words if (near := one.meant(path[:-1], path[-1]))), None)
            advice = f"Did you mean {meant}? " if meant else ""
            yield finding(
                "UnknownField", origin, place, "no guest has this field", advice + "Write cpu.cores, memory, …"
            )
        elif limit.min is None and limit.max is None and limit.one_of is None:
            advice = "Write {min: …, max: …} or {oneOf: [ ]}."
            yield finding("MissingField", origin, place, "no limit is given", advice)
        else:
            for name, value in (("min", limit.min), ("max", limit.max)):
                if value is not None and _number(value) is None:
                    problem = f"{described(value)} is neither a number nor a quantity"
                    yield finding("BadQuantity", origin, f"{place}.{name}", problem, "Write 2, 512Mi, 8Gi …")
            low, high = _number(limit.min), _number(limit.max)
            if low is not None and high is not None and low > high:
                problem = f"nothing is at least {limit.min} and at most {limit.max}"
                yield finding("BadCombination", origin, place, problem, "Exchange min and max.")


def _node(words: Vocabulary, path: Sequence[str]) -> bool:
    """Whether a field exists, list indices left out (`disks.size`)."""
    here: list[str] = []
    for part in path:
        here.append(part)
        if words.node(here) is None:
            here[-1:] = ["0", part]
            if words.node(here) is None:
                return False
    return True


def _fitting(defaults: Mapping[str, object], kind: str, path: tuple[str, ...] = ()) -> dict[str, object]:
    """The defaults without fields and options that only the other kind has."""
    words = vocabulary(SPECS[kind])
    return {
        key: _fitting(value, kind, (*path, key)) if isinstance(value, Mapping) else value
        for key, value in defaults.items()
        if words.node((*path, key)) is not None and not (path == ("options",) and _foreign_option(key, kind))
    }


def _foreign_option(name: str, kind: str) -> bool:
    """Whether only the other kind has this setting."""
    return find(kind, name) is None and any(find(other, name) is not None for other in SPECS)


def _fields(value: Mapping[str, object], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, item in value.items():
        yield (*path, key)
        if isinstance(item, Mapping):
            yield from _fields(item, (*path, key))


def _values(value: object, path: Sequence[str], done: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    if isinstance(value, tuple) and not (path and path[0].isdigit()):
        for index, item in enumerate(value):
            yield from _values(item, path, (*done, str(index)))
    elif not path:
        yield ".".join(done), value
    elif isinstance(value, tuple):
        if int(path[0]) < len(value):
            yield from _values(value[int(path[0])], path[1:], (*done, path[0]))
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _values(value[path[0]], path[1:], (*done, path[0]))


def _within(value: object, limit: AllowedRange) -> bool:
    if limit.one_of is not None and not any(_same(value, word) for word in limit.one_of):
        return False
    number, low, high = _number(value), _number(limit.min), _number(limit.max)
    if number is None:
        return low is None and high is None
    return (low is None or number >= low) and (high is None or number <= high)


def _same(value: object, word: object) -> bool:
    if isinstance(value, bool) or isinstance(word, bool):
        return value is word
    number = _number(value)
    return value == word or (number is not None and number == _number(word))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return value
    try:
        return parse_quantity(value)
    except ValueError:
        return None


def _phrase(limit: AllowedRange) -> str:
    parts: Iterable[str] = (
        f"one of {', '.join(map(str, limit.one_of))}" if limit.one_of is not None else "",
        f"at least {limit.min}" if limit.min is not None else "",
        f"at most {limit.max}" if limit.max is not None else "",
    )
    return ", ".join(part for part in parts if part)
