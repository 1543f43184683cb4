"""What will be done, decided to the last call: the command line's output, the review page and the executor's input."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.images import Build
from innkeeper.model.objects import Ref

Action = Literal["create", "update", "replace", "delete", "adopt", "noop"]
ACTIONS: tuple[Action, ...] = ("create", "update", "replace", "delete", "adopt", "noop")
Impact = Literal["none", "live", "restart", "replace", "data-loss"]
IMPACTS: tuple[Impact, ...] = ("none", "live", "restart", "replace", "data-loss")
"""From harmless to grave. `none`: the guest does not notice (notes, tags, creation); `live`: while it runs."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class Change:
    """One field, in the manifest's spelling (`rootDisk.size`, `network.eth0.bridge`); None: not set."""

    field: str
    before: Json
    after: Json
    impact: Impact = "live"

    def to_json(self) -> dict[str, Json]:
        return {"field": self.field, "from": self.before, "to": self.after}


@dataclass(frozen=True, slots=True)
class Operation:
    """One writing call to Proxmox.

    `guarded` calls carry the digest of the configuration that the plan was made from, or, after an own write in the
    same step, of the configuration read back after it. `phase` is the word that progress shows. A `derived` call stands
    for what can only be decided from the guest that the calls before it made (a clone): it has no parameters yet, and
    the executor plans that guest again in its place. `build` is made first, and goes with the call as its file.
    """

    phase: str
    method: Literal["POST", "PUT", "DELETE"]
    path: str
    params: tuple[tuple[str, str], ...] = ()
    guarded: bool = False
    derived: bool = False
    build: Build | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """All that happens to one guest. `refused` names why it may not run (no --replace, a limit): shown, never run."""

    action: Action
    ref: Ref
    cluster: str
    node: str
    vmid: int
    impact: Impact = "none"
    changes: tuple[Change, ...] = ()
    reason: str = ""
    needs: tuple[Ref, ...] = ()
    wave: int = 0
    operations: tuple[Operation, ...] = ()
    digest: str = ""
    """The observed configuration's digest that guarded operations start from."""
    running: bool | None = None
    """The power state to verify at the end; None: not managed."""
    refused: str = ""
    former: int | None = None
    """The vmid that a replacement deletes."""
    configure: str = ""
    """The fingerprint of the configuration to be run inside the guest once it is as declared; empty: none."""

    @property
    def acts(self) -> bool:
        return bool(self.operations or self.configure)

    def to_json(self) -> dict[str, Json]:
        return {
            "action": self.action,
            "kind": self.ref.kind,
            "name": self.ref.name,
            "cluster": self.cluster,
            "node": self.node,
            "vmid": self.vmid,
            "impact": self.impact,
            "changes": [change.to_json() for change in self.changes],
            "reason": self.reason,
            "needs": [str(ref) for ref in self.needs],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in a valid order of execution; `reads` is how many calls the observation took."""

    steps: tuple[Step, ...]
    diagnostics: tuple[Diagnostic, ...] = ()
    reads: int = 0
    source: str = ""
    revision: str = ""
    undecided: int = 0
    """Selected guests without a step: the diagnostics say why nothing can be decided about them."""

    @property
    def summary(self) -> dict[Action, int]:
        counts = Counter(step.action for step in self.steps)
        return {action: counts[action] for action in ACTIONS}

    @property
    def writes(self) -> int:
        return sum(len(step.operations) + bool(step.configure) for step in self.steps if not step.refused)

    @property
    def changes_anything(self) -> bool:
        return any(step.action != "noop" for step in self.steps)

    @property
    def digest(self) -> str:
        """Names exactly this plan on exactly this observation; unchanged guests do not count."""
        body = [
            [
                step.to_json(),
                [[op.method, op.path, list(op.params)] for op in step.operations],
                step.digest,
                step.refused,
            ]
            for step in self.steps
            if step.action != "noop"
        ]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, object]:
        return {
            "summary": self.summary,
            "steps": [step.to_json() for step in self.steps],
            "diagnostics": [item.to_json() for item in self.diagnostics],
            "calls": {"read": self.reads, "write": self.writes},
            "digest": self.digest,
        }
