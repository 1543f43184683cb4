"""What became of a plan, step by step."""

from dataclasses import dataclass
from typing import Literal

from innkeeper.model.inside import CheckResult
from innkeeper.model.plan import Plan, Step

State = Literal["done", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class StepResult:
    """`error` says why a step failed or was skipped."""

    step: Step
    state: State
    error: str = ""
    waits: str = ""
    """What was done and is not in effect before the guest restarts."""
    cause: str = ""
    """The name of the engine's error that a step failed with."""
    checks: tuple[CheckResult, ...] = ()
    """The guest's health, where it was waited for."""


@dataclass(frozen=True, slots=True)
class Result:
    """One result for each step of the plan, in its order. `reads` and `writes` are the calls that were made."""

    plan: Plan
    results: tuple[StepResult, ...]
    reads: int
    writes: int
    stopped: bool = False

    @property
    def ok(self) -> bool:
        """Nothing failed, nothing was skipped, and the plan itself has no errors."""
        broken = any(finding.severity == "error" for finding in self.plan.diagnostics)
        return not broken and all(item.state == "done" for item in self.results)

    def to_json(self) -> dict[str, object]:
        steps = [
            {
                **item.step.to_json(),
                "result": item.state,
                "error": item.error or None,
                "pending": item.waits or None,
                **({"checks": [check.to_json() for check in item.checks]} if item.checks else {}),
            }
            for item in self.results
        ]
        calls = {"read": self.reads, "write": self.writes}
        return {**self.plan.to_json(), "steps": steps, "calls": calls, "stopped": self.stopped}
