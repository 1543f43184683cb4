"""The rules that every plan must keep, checked on the finished plan by code that shares nothing with what made it.

A violation is a fault of the planner, never of the person: nothing of such a plan is carried out.
"""

import re
from collections.abc import Iterable, Iterator

from innkeeper.model.objects import Declared, Ref
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Operation, Plan, Step
from innkeeper.planner.policy import Policy, Views, named

_GUEST = re.compile(r"^/nodes/([^/]+)/(lxc|qemu)/(\d+)(/.*)?$")
_FILE = re.compile(r"^/nodes/([^/]+)/storage/[^/]+/(upload|download-url)$")
_DESTROYS = frozenset({"delete", "replace"})


def check(plan: Plan, declared: Declared, views: Views, policy: Policy) -> tuple[str, ...]:
    """Every rule that this plan breaks, as a sentence; empty for a sound plan."""
    return tuple(_all(plan, declared, views, policy))


def _all(plan: Plan, declared: Declared, views: Views, policy: Policy) -> Iterator[str]:
    yield from _unique(plan.steps)
    yield from _order(plan.steps)
    only = declared.clusters[0].name if len(declared.clusters) == 1 else None
    homes = {(guest.spec.cluster or only, guest.ref) for guest in declared.guests}
    for step in plan.steps:
        if step.refused or step.action == "noop":
            if step.operations or step.configure:
                yield f"{step.ref}: a {step.action} that is not to run has operations"
            continue
        view = views.get(step.cluster)
        if not isinstance(view, ClusterView):
            yield f"{step.ref}: writes to cluster {step.cluster}, which was not seen"
            continue
        if not step.operations and not step.configure:
            yield f"{step.ref}: {step.action} without an operation"
        yield from _step(step, view, policy)
        if step.action == "delete":
            yield from _prune(step, view, policy, (step.cluster, step.ref) in homes)
    deletes = [step for step in plan.steps if step.action == "delete" and not step.refused]
    if len(deletes) > policy.max_deletes:
        yield f"{len(deletes)} deletes where {policy.max_deletes} are allowed"


def _unique(steps: Iterable[Step]) -> Iterator[str]:
    refs: set[tuple[str, Ref, int]] = set()
    vmids: dict[tuple[str, int], Ref] = {}
    for step in steps:
        # Of an object that is declared no more there may be two guests, each made by us: both may go.
        key = (step.cluster, step.ref, step.vmid if step.action == "delete" else 0)
        if key in refs:
            yield f"{step.ref}: two steps"
        refs.add(key)
        for vmid in {step.vmid, step.former if step.former is not None else step.vmid}:
            if (step.cluster, vmid) in vmids:
                yield f"vmid {vmid}: {step.ref} and {vmids[step.cluster, vmid]}"
            vmids[step.cluster, vmid] = step.ref


def _order(steps: Iterable[Step]) -> Iterator[str]:
    steps = list(steps)
    place = {step.ref: at for at, step in enumerate(steps) if step.action != "delete"}
    for at, step in enumerate(steps):
        for need in step.needs:
            if place.get(need, -1) > at:
                yield f"{step.ref}: stands before {need}, which it needs"


def _step(step: Step, view: ClusterView, policy: Policy) -> Iterator[str]:
    seen = view.guests.get(step.former if step.former is not None else step.vmid)
    if step.action == "create":
        if seen is not None:
            yield f"{step.ref}: creates vmid {step.vmid}, which exists"
    elif seen is None:
        yield f"{step.ref}: {step.action} of vmid {step.vmid}, which was not seen"
    else:
        yield from _existing(step, seen, view, policy)
    fresh = step.action in ("create", "replace")
    bringing = True
    for operation in step.operations:
        if fresh and (match := _FILE.match(operation.path)):
            yield from _brought(step, operation, match, bringing)
            continue
        bringing = False
        yield from _operation(step, operation, fresh, seen, view)


def _brought(step: Step, operation: Operation, match: re.Match[str], first: bool) -> Iterator[str]:
    at = f"{step.ref}: {operation.method} {operation.path}"
    if match[1] != step.node:
        yield f"{at}: the guest is to be on {step.node}"
    if operation.method != "POST" or dict(operation.params).get("content") not in ("import", "vztmpl"):
        yield f"{at}: brings no image"
    if (operation.build is not None) != (match[2] == "upload"):
        yield f"{at}: what is uploaded must be built, and nothing else"
    if not first:
        yield f"{at}: brings an image after the guest was touched"


def _existing(step: Step, seen: ObservedGuest, view: ClusterView, policy: Policy) -> Iterator[str]:
    node = view.nodes.get(seen.node)
    if node is None or not node.online:
        yield f"{step.ref}: writes to a guest on node {seen.node}, which is offline"
    if seen.config is None or seen.lock in ("create", "clone"):
        yield f"{step.ref}: writes to a guest whose configuration is not known"
    marker = seen.marker
    if step.action != "adopt" and (marker is None or marker.source != policy.source):
        yield f"{step.ref}: {step.action} of a guest that is not ours"
    if step.action in _DESTROYS:
        tags = [tag.lower() for tag in seen.tags]
        if "protected" in tags or (seen.config or {}).get("protection") == "1":
            yield f"{step.ref}: {step.action} of a protected guest"
        if marker is not None and dict(marker.made).get("vmid", str(seen.vmid)) != str(seen.vmid):
            yield f"{step.ref}: {step.action} of a copy of a guest of ours"
    if step.action == "replace" and not named(step.ref, policy.replace):
        yield f"{step.ref}: replacement that nobody allowed"


def _prune(step: Step, view: ClusterView, policy: Policy, declared: bool) -> Iterator[str]:
    if not policy.prune:
        yield f"{step.ref}: deleted without --prune"
    if declared:
        seen = view.guests.get(step.vmid)
        yield f"{step.ref}: deleted though declared ({seen.name if seen else step.vmid})"
    if not view.complete:
        yield f"{step.ref}: deleted though not every guest can be seen"


def _operation(
    step: Step, operation: Operation, fresh: bool, seen: ObservedGuest | None, view: ClusterView
) -> Iterator[str]:
    at = f"{step.ref}: {operation.method} {operation.path}"
    match = _GUEST.match(operation.path)
    if match is not None:
        vmid = int(match[3])
        if operation.path.endswith("/clone"):
            template = view.guests.get(vmid)
            if template is None or not template.template:
                yield f"{at}: clones what is no template"
        elif vmid not in (step.vmid, step.former):
            yield f"{at}: is about another guest than {step.vmid}"
        elif match[4] in ("/config", "/resize") and not operation.guarded:
            yield f"{at}: writes the configuration without a digest"
        if match[4] == "/config" and not operation.derived and not operation.params:
            yield f"{at}: writes nothing"
        if seen is not None and not fresh and match[1] != seen.node:
            yield f"{at}: the guest is on {seen.node}"
    elif operation.path == "/pools":
        if dict(operation.params).get("vms") != str(step.vmid):
            yield f"{at}: moves another guest than {step.vmid}"
    elif not (fresh and re.fullmatch(r"/nodes/[^/]+/(lxc|qemu)", operation.path)):
        yield f"{at}: is no call of a {step.action}"
    if operation.method == "DELETE" and step.action not in _DESTROYS:
        yield f"{at}: a {step.action} deletes"
