"""Rights before anything is begun: what Proxmox would refuse halfway is refused here, with the line that mends it.

Above all a replacement: its old guest would be gone before the new one is refused.
"""

from collections.abc import Iterable
from dataclasses import replace

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.objects import ClusterDefaults
from innkeeper.model.observed import ClusterView
from innkeeper.model.plan import Step
from innkeeper.planner.calls import PROVIDE
from innkeeper.planner.decide import Decision
from innkeeper.settings.desired import compile_guest
from innkeeper.settings.privileges import Missing, Need, changing, copying, making, missing, providing

_POWER = frozenset({"start", "shutdown", "stop", "reboot", "resume"})


def permitted(decision: Decision, view: ClusterView, defaults: ClusterDefaults) -> Decision:
    """The decision, its step refused where the token in use lacks a right for it.

    What such a token does not see is no evidence either: the missing right takes the place of `Unknown…`.
    """
    step = decision.step
    unseen = any(item.code.startswith("Unknown") for item in decision.diagnostics)
    if view.privileges is None or (step is None and not unseen):
        return decision
    if step is not None and (step.refused or step.action == "noop"):
        return decision
    lacks = missing(_needs(decision, step, view, defaults), view.privileges, view.facts.get("user", ""))
    if not lacks:
        return decision
    findings = tuple(_finding(decision, item) for item in lacks)
    if step is None:
        others = tuple(item for item in decision.diagnostics if not item.code.startswith("Unknown"))
        return replace(decision, diagnostics=(*others, *findings))
    names = ", ".join(dict.fromkeys(word for item in lacks for word in item.privileges or ("root@pam itself",)))
    refused = replace(step, refused=f"the token lacks {names}", operations=())
    return replace(decision, step=refused, diagnostics=(*decision.diagnostics, *findings))


def _needs(decision: Decision, step: Step | None, view: ClusterView, defaults: ClusterDefaults) -> Iterable[Need]:
    guest, difference, seen = decision.guest, decision.difference, decision.observed
    if step is None or step.action in ("create", "replace"):
        made = making(guest, compile_guest(guest, defaults, view.version)[0], step.vmid if step else None)
        brings = step is not None and any(operation.phase == PROVIDE for operation in step.operations)
        given = providing(guest, step.node) if step is not None and brings else ()
        return (*made, *copying(guest, view.guests.values()), *given)
    written = (*difference.set, *difference.delete) if difference is not None and step.action == "update" else ()
    power = any(operation.phase in _POWER for operation in step.operations)
    return changing(guest, step.vmid, seen.pool if seen else None, written, power=power)


def _finding(decision: Decision, item: Missing) -> Diagnostic:
    names = ", ".join(item.privileges) or "what only root@pam with a password may do"
    summary = f"{decision.guest.ref}: the token lacks {names}{f' on {item.path}' if item.path else ''}"
    why = f"Needed for {'; '.join(item.why)}."
    advice = f"{why} Grant it on any node: {item.line}" if item.line else f"{why} No token may do it."
    return Diagnostic("error", "MissingPrivilege", summary, advice, decision.guest.origin.location)
