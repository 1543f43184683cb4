"""What must be known about the inside of guests before a plan: fingerprints, keys, addresses that are taken."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from innkeeper.engine.describe import insides, pinned
from innkeeper.engine.inside import Inside, Insider
from innkeeper.engine.interior import Interior
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.model.objects import Declared, Guest, Ref
from innkeeper.model.observed import ClusterView
from innkeeper.planner.addresses import claims, conflicts
from innkeeper.planner.build import guests_of
from innkeeper.planner.policy import NOTHING, Insights, Policy, Views

_SHOWN = 12
"""Digits of a commit that are shown, and noted on the guest."""


@dataclass(frozen=True, slots=True)
class Known:
    """`interior` is None where no guest declares anything about its inside."""

    insights: Insights = NOTHING
    interior: Interior | None = None
    diagnostics: tuple[Diagnostic, ...] = ()


async def known(declared: Declared, policy: Policy, insider: Insider | None) -> Known:
    """Everything about the selected guests, asked once; nothing at all where none declares roles or checks."""
    items = [item for item in insides(declared) if policy.selects(item.ref)] if insider is not None else []
    if insider is None or not items:
        return Known()
    reached = [item for item in items if item.roles or any(_from_inside(check) for check in item.health)]
    clusters = sorted({item.cluster for item in reached})
    keys = {name: await asyncio.to_thread(insider.authorized_keys, name) for name in clusters}
    insights = Insights(keys=keys, reached=frozenset(item.ref for item in reached))
    configured = [item for item in items if item.roles]
    if policy.configure == "never" or not configured:
        return Known(insights, Interior(insider, {item.ref: item for item in items}))
    ready = await insider.prepare(configured)
    held = {item.ref: pinned(item, ready.commits.get(item.ref, "").split()) for item in items}
    prints = {item.ref: _print(item, ready.fingerprints, ready.commits) for item in configured}
    return Known(replace(insights, fingerprints=prints), Interior(insider, held), ready.diagnostics)


def _from_inside(check: object) -> bool:
    return getattr(check, "systemd", None) is not None or getattr(check, "command", None) is not None


def _print(item: Inside, prints: Mapping[Ref, str], commits: Mapping[Ref, str]) -> str | None:
    """The fingerprint with the commits in it that people know; None where it could not be prepared."""
    found = prints.get(item.ref)
    shown = "+".join(commit[:_SHOWN] for commit in commits.get(item.ref, "").split())
    return f"{found}@{shown}" if found is not None and shown else found


def accepting(declared: Declared, insights: Insights) -> Declared:
    """Virtual machines take our keys by cloud-init, for good; containers only get them when they are made."""
    if not insights.keys:
        return declared
    by_ref = {
        guest.ref: _accepting(guest, insights.keys_of(guest.ref, cluster.name))
        for cluster in declared.clusters
        for guest in guests_of(declared, cluster.name)
    }
    return replace(declared, guests=tuple(by_ref.get(guest.ref, guest) for guest in declared.guests))


def _accepting(guest: Guest, keys: tuple[str, ...]) -> Guest:
    spec = guest.spec
    if not keys or not isinstance(spec, VirtualMachineSpec) or spec.cloud_init is None:
        return guest
    own = spec.cloud_init.ssh_keys or ()
    init = spec.cloud_init.model_copy(update={"ssh_keys": (*own, *(key for key in keys if key not in own))})
    return replace(guest, spec=spec.model_copy(update={"cloud_init": init}))


async def guarded(
    inner: Known, declared: Declared, views: Views, policy: Policy
) -> tuple[Insights, tuple[Diagnostic, ...]]:
    """The insights with the guests that may not get their addresses, and why.

    Only what is worked in from here is asked whether something answers already: the rest costs nothing.
    """
    refused: dict[Ref, str] = {}
    said: list[Diagnostic] = []
    for cluster in declared.clusters:
        view = views.get(cluster.name)
        if not isinstance(view, ClusterView):
            continue
        found = claims(declared, cluster.name, view, policy)
        answering: frozenset[str] = frozenset()
        asked = [item.address for item in found if inner.interior and item.guest.ref in inner.interior.items]
        if inner.interior is not None and asked:
            answering = await inner.interior.insider.answering(asked)
        reasons, findings = conflicts(cluster, view, found, answering, policy)
        refused |= reasons
        said += findings
    return replace(inner.insights, refused=refused) if refused else inner.insights, tuple(said)
