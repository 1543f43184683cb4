"""Sync and health: two axes, and conditions whose reason is never empty."""

from dataclasses import dataclass
from typing import Literal

from innkeeper.model.inside import CheckResult
from innkeeper.model.objects import Ref

Sync = Literal["Synced", "OutOfSync", "Unknown"]
Health = Literal["Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """As in Kubernetes. `type` is what is told (`PendingReboot`, `Drifted`), `reason` a CamelCase word."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError(f"condition {self.type} needs a reason")


@dataclass(frozen=True, slots=True)
class GuestStatus:
    ref: Ref
    cluster: str
    node: str
    vmid: int | None
    sync: Sync
    health: Health
    conditions: tuple[Condition, ...] = ()
    checks: tuple[CheckResult, ...] = ()

    def to_json(self) -> dict[str, object]:
        return {
            "kind": self.ref.kind,
            "name": self.ref.name,
            "cluster": self.cluster,
            "node": self.node,
            "vmid": self.vmid,
            "sync": self.sync,
            "health": self.health,
            "conditions": [
                {"type": item.type, "status": item.status, "reason": item.reason, "message": item.message}
                for item in self.conditions
            ],
            "checks": [check.to_json() for check in self.checks],
        }
