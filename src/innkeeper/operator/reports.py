"""What an object's status says. Pure: a report of what was found goes in, the status as Kubernetes keeps it comes out.

Every condition has a reason: the API server refuses a status with an empty one, and a status that is not written is
how a second machine comes about.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from innkeeper.engine.health import why
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.inside import CheckResult
from innkeeper.model.status import Condition
from innkeeper.model.vitistack import Phase
from innkeeper.operator.objects import Object

_LONGEST = 4000


@dataclass(frozen=True, slots=True)
class Report:
    """What to tell of one guest. What is None, and a condition that is not named, stays as it was told before.

    `over` are conditions that have nothing to say any more.
    """

    conditions: tuple[Condition, ...]
    phase: Phase | None = None
    vmid: int | None = None
    node: str | None = None
    addresses: tuple[str, ...] | None = None
    over: frozenset[str] = frozenset()

    @property
    def ready(self) -> Condition:
        return next(item for item in self.conditions if item.type == "Ready")


def ready(reason: str, message: str, *, ok: bool = False) -> Condition:
    return Condition("Ready", "True" if ok else "False", reason, message[:_LONGEST])


def problem(reason: str, message: str, phase: Phase | None = "Error") -> Report:
    """Something stands in the way, and more is not known."""
    return Report((ready(reason, message), *_named(reason, message)), phase)


_NETWORK = frozenset({"UnknownBridge", "BridgeNotAllowed"})
_RESOURCES = frozenset({"InsufficientResources", "NoFreeVmid", "NoNode", "NodeUnfit", "UnknownStorage", "UnknownNode"})
_CREATION = frozenset({"CreationFailed", "UnknownTemplate", "AmbiguousTemplate", "NotATemplate"})


def _named(reason: str, message: str) -> Iterable[Condition]:
    """The published condition that a reason belongs to."""
    if reason in _NETWORK:
        yield Condition("NetworkConfigured", "False", "NetworkError", message[:_LONGEST])
    elif reason in _RESOURCES:
        yield Condition("ResourcesAllocated", "False", "InsufficientResources", message[:_LONGEST])
    elif reason in _CREATION:
        yield Condition("VMCreated", "False", "CreationFailed", message[:_LONGEST])


_SAID = {"NoNode": "InsufficientResources", "NotOurs": "OwnershipConflict"}


def of_findings(findings: Iterable[Diagnostic], phase: Phase | None = "Error") -> Report:
    """The gravest finding as reason, all of them as message."""
    found = sorted(findings, key=lambda item: ("error", "warning", "info").index(item.severity))
    if not found:
        return problem("Undecided", "nothing could be decided about it", phase)
    said = "; ".join(f"{item.summary}. {item.detail}".strip() for item in found)
    return problem(_SAID.get(found[0].code, found[0].code), said, phase)


def creating(vmid: int, node: str) -> Report:
    """The vmid and the node are recorded; the call comes next."""
    return Report(
        (
            ready("Creating", f"machine {vmid} is being created on node {node}"),
            Condition("ResourcesAllocated", "True", "AllocationSucceeded", f"node {node} has room for it"),
        ),
        "Creating",
        vmid,
        node,
    )


def configuring(vmid: int, node: str, *, new: bool) -> Report:
    """The guest is there, and its roles are run."""
    said = f"the roles of guest {vmid} are run"
    made = Condition("VMCreated", "True", "CreationSucceeded", f"machine {vmid} on node {node}")
    return Report(
        (ready("Configuring", said), Condition("Configured", "False", "Configuring", said), made),
        "Creating" if new else None,
        vmid,
        node,
    )


def not_configured(vmid: int, node: str, message: str) -> Report:
    """The guest is there, and its roles could not be run."""
    failed = Condition("Configured", "False", "ConfigurationFailed", message[:_LONGEST])
    made = Condition("VMCreated", "True", "CreationSucceeded", f"machine {vmid} on node {node}")
    return Report((ready("ConfigurationFailed", message), failed, made), "Error", vmid, node)


def exists(
    vmid: int,
    node: str,
    *,
    running: bool,
    waits: str = "",
    addresses: tuple[str, ...] | None = None,
    roles: tuple[str, ...] = (),
    checks: tuple[CheckResult, ...] = (),
) -> Report:
    """The guest is as declared. `waits`: what comes into effect only after a restart; `checks`: of its health."""
    sick = why(checks)
    inside: list[Condition] = []
    if roles:
        inside.append(Condition("Configured", "True", "RolesApplied", f"as declared: {', '.join(roles)}"))
    if checks:
        well = f"{len(checks)} of {len(checks)} checks passed"
        told = ("False", "CheckFailed", sick[:_LONGEST]) if sick else ("True", "ChecksPassed", well)
        inside.append(Condition("Healthy", *told))  # type: ignore[arg-type]
    if waits:
        state = ready("PendingReboot", f"accepted, in effect after a restart: {waits}")
    elif running and sick:
        state = ready("Unhealthy", sick)
    elif running:
        state = ready("Running", f"machine {vmid} runs on node {node} as declared", ok=True)
    else:
        state = ready("Stopped", f"machine {vmid} on node {node} is stopped, as declared")
    return Report(
        (
            state,
            Condition("VMCreated", "True", "CreationSucceeded", f"machine {vmid} on node {node}"),
            Condition("ResourcesAllocated", "True", "AllocationSucceeded", f"on node {node}"),
            Condition("NetworkConfigured", "True", "NetworkReady", "its interfaces are as declared"),
            *inside,
        ),
        "Running" if running else "Stopped",
        vmid,
        node,
        addresses,
        frozenset({"Configured", "Healthy"} - {item.type for item in inside}),
    )


_SETTLED = frozenset({"Running", "Stopped", "PendingReboot", "Unhealthy"})
"""The reasons that `exists` gives: everything was done that the object asks for."""


def settled(item: Object) -> bool:
    """Whether an object's guest is as it was declared, the object's newest generation meant."""
    ready = item.ready
    return ready.get("reason") in _SETTLED and ready.get("observedGeneration") == item.generation


_HEALTH = {
    "Pending": "Missing",
    "Creating": "Progressing",
    "Running": "Healthy",
    "Stopped": "Suspended",
    "Error": "Degraded",
}
_TOLD = {"Unhealthy": "Degraded", "Configuring": "Progressing"}
_SYNCED = frozenset({"Running", "Stopped", "Unhealthy"})
_UNSEEN = frozenset(
    {"ClusterUnreachable", "AuthenticationFailed", "ClusterRefused", "ClusterNotFound", "SecretNotFound"}
)


def status(report: Report, item: Object, now: str) -> dict[str, Any] | None:
    """The status to write, whole; None where it says nothing new."""
    old = item.status
    new: dict[str, Any] = {key: value for key, value in old.items() if key != "lastUpdated"}
    new |= _native(report, old) if item.key.native else _published(report, old)
    if report.vmid is not None:
        new["vmid"] = report.vmid
    if report.node:
        new["node"] = report.node
    if report.addresses is not None:
        new["ipAddresses"] = list(report.addresses)
    known = [one for one in old.get("conditions") or () if one["type"] not in report.over]
    new["conditions"] = conditions(report.conditions, known, item.generation, now)
    before = {key: value for key, value in old.items() if key != "lastUpdated"}
    return None if new == before else {**new, "lastUpdated": now}


def _published(report: Report, old: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"phase": report.phase or old.get("phase", "Pending")}
    if report.node:
        found["providerID"] = f"proxmox://{report.node}/{report.vmid}"
    return found


def _native(report: Report, old: Mapping[str, Any]) -> dict[str, Any]:
    """The two axes of native kinds."""
    ready = report.ready
    if ready.reason in _UNSEEN:
        return {"sync": "Unknown", "health": "Unknown"}
    health = _HEALTH[report.phase] if report.phase else old.get("health", "Unknown")
    health = _TOLD.get(ready.reason, health)
    return {"sync": "Synced" if ready.reason in _SYNCED else "OutOfSync", "health": health}


def conditions(
    told: Iterable[Condition], old: Iterable[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """As `metav1.Condition`; the moment of a transition stays where the status stays."""
    known = {item["type"]: dict(item) for item in old}
    for item in told:
        before = known.get(item.type, {})
        since = before.get("lastTransitionTime") if before.get("status") == item.status else None
        known[item.type] = {
            "type": item.type,
            "status": item.status,
            "reason": item.reason,
            "message": item.message[:_LONGEST],
            "lastTransitionTime": since or now,
            "observedGeneration": generation,
        }
    return list(known.values())
