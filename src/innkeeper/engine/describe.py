"""From declared guests to what must hold inside each. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from innkeeper.engine.inside import Inside, RoleCall, Tracked
from innkeeper.model.applications import ENVIRONMENT, PROJECT
from innkeeper.model.guests import ContainerSpec
from innkeeper.model.inside import FILE_REF, Configure
from innkeeper.model.objects import Declared, Guest, Ref
from innkeeper.planner.addresses import static_addresses
from innkeeper.planner.build import guests_of
from innkeeper.planner.pair import host_name

_DEPLOYING = ("app_setup", "python_app", "release")
"""Roles that deploy a branch of a repository; their variables begin with their names."""

_WELCOMING = ("base", "base_os")
"""Roles that let the operator in; who names no keys for them means those that the guest itself is declared with."""


def insides(declared: Declared) -> tuple[Inside, ...]:
    """One for each guest that declares roles or health checks."""
    return tuple(
        _inside(guest, cluster.name)
        for cluster in declared.clusters
        for guest in guests_of(declared, cluster.name)
        if guest.spec.configure is not None or guest.spec.health
    )


def _inside(guest: Guest, cluster: str) -> Inside:
    configure = guest.spec.configure or Configure()
    calls = tuple(
        RoleCall(role.role, directory, {**_operators(role.role, guest), **_with_files(role.vars, dict(guest.files))})
        for role, directory in zip(configure.roles, guest.roles, strict=True)
    )
    address = next((place[1] for place, _ in static_addresses(guest)), None)
    return Inside(
        ref=guest.ref,
        cluster=cluster,
        hostname=host_name(guest),
        roles=calls,
        origin=guest.origin,
        user=configure.user,
        groups=tuple(_groups(guest, cluster)),
        health=guest.spec.health or (),
        tracked=tuple(tracked for _, tracked in _tracked(calls)),
        stores=configure.secrets,
        address=address,
    )


def _with_files(variables: Mapping[str, object], texts: Mapping[str, str]) -> dict[str, object]:
    """Variables with the text of each file in place of `{fileRef: its path}`."""

    def filled(value: object) -> object:
        if isinstance(value, Mapping):
            name = value.get(FILE_REF)
            if isinstance(name, str):
                return texts[name]
            return {key: filled(part) for key, part in value.items()}
        return type(value)(map(filled, value)) if isinstance(value, list | tuple) else value

    return {name: filled(value) for name, value in variables.items()}


def _operators(role: str, guest: Guest) -> Mapping[str, object]:
    spec = guest.spec
    keys = spec.ssh_keys if isinstance(spec, ContainerSpec) else spec.cloud_init and spec.cloud_init.ssh_keys
    return {f"{role}_authorized_keys": [str(key) for key in keys]} if keys and role in _WELCOMING else {}


def _groups(guest: Guest, cluster: str) -> Iterator[str]:
    labels = dict(guest.labels)
    yield f"cluster_{cluster}"
    if guest.spec.profile is not None:
        yield f"profile_{guest.spec.profile}"
    if (project := labels.get(PROJECT)) is not None:
        yield from ("app_all", f"app_{project}_all")
        if (environment := labels.get(ENVIRONMENT)) is not None:
            yield f"app_{project}_{environment}"


def _tracked(calls: Iterable[RoleCall]) -> Iterator[tuple[int, Tracked]]:
    """The branches that roles deploy, each with its call's number; not those that are held at a revision."""
    for number, call in enumerate(calls):
        url = call.variables.get(f"{call.name}_repository")
        if call.name in _DEPLOYING and isinstance(url, str) and url and not call.variables.get(f"{call.name}_revision"):
            branch = call.variables.get(f"{call.name}_branch") or "main"
            known = call.variables.get(f"{call.name}_known_hosts")
            key = call.variables.get(f"{call.name}_key")
            yield number, Tracked(url, str(branch), key, known if isinstance(known, str) and known else None)


def pinned(item: Inside, commits: Sequence[str]) -> Inside:
    """The same with each branch held at the commit that was planned (in the order of `tracked`)."""
    at = {number: commit for (number, _), commit in zip(_tracked(item.roles), commits, strict=False)}
    calls = (
        replace(call, variables={**call.variables, f"{call.name}_revision": at[number]}) if number in at else call
        for number, call in enumerate(item.roles)
    )
    return replace(item, roles=tuple(calls))


def of_projects(declared: Declared, projects: Sequence[str], environments: Sequence[str]) -> Mapping[Ref, Guest]:
    """The guests of these projects and environments; an empty list means every one."""
    found: dict[Ref, Guest] = {}
    for guest in declared.guests:
        labels = dict(guest.labels)
        project, environment = labels.get(PROJECT), labels.get(ENVIRONMENT)
        wanted = (not projects or project in projects) and (not environments or environment in environments)
        if project is not None and wanted:
            found[guest.ref] = guest
    return found
