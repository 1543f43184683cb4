"""From declared guests to what must hold inside each. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from innkeeper.engine.inside import Inside, RoleCall, Tracked
from innkeeper.model.applications import ENVIRONMENT, PROJECT
from innkeeper.model.inside import Configure
from innkeeper.model.objects import Declared, Guest, Ref
from innkeeper.planner.addresses import static_addresses
from innkeeper.planner.build import guests_of
from innkeeper.planner.pair import host_name

_DEPLOYING = ("app_setup", "python_app", "release")
"""Roles that deploy a branch of a repository; their variables begin with their names."""


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
        RoleCall(role.role, directory, role.vars) for role, directory in zip(configure.roles, guest.roles, strict=True)
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


def _groups(guest: Guest, cluster: str) -> Iterator[str]:
    labels = dict(guest.labels)
    yield f"cluster_{cluster}"
    if guest.spec.profile is not None:
        yield f"profile_{guest.spec.profile}"
    if (project := labels.get(PROJECT)) is not None:
        yield from ("app_all", f"app_{project}_all")
        if (environment := labels.get(ENVIRONMENT)) is not None:
            yield f"app_{project}_{environment}"


def _tracked(calls: Iterable[RoleCall]) -> Iterator[tuple[str, Tracked]]:
    """The branches that roles deploy, each with its role; not those that are held at a revision."""
    for call in calls:
        url = call.variables.get(f"{call.name}_repository")
        if call.name in _DEPLOYING and isinstance(url, str) and url and not call.variables.get(f"{call.name}_revision"):
            branch = call.variables.get(f"{call.name}_branch") or "main"
            yield call.name, Tracked(url, str(branch), call.variables.get(f"{call.name}_key"))


def pinned(item: Inside, commits: Sequence[str]) -> Inside:
    """The same with each branch held at the commit that was planned (in the order of `tracked`)."""
    at = {role: commit for (role, _), commit in zip(_tracked(item.roles), commits, strict=False)}
    calls = (
        replace(call, variables={**call.variables, f"{call.name}_revision": at[call.name]}) if call.name in at else call
        for call in item.roles
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
