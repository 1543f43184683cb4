"""What Ansible's events mean: lines of progress, and why a run failed. Pure."""

import json
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]

FINISHED = "innkeeper: all is done"
"""The last task of every guest: once it is heard, all of the guest's roles and what they notified have been done."""

_SHOWN = frozenset({"ok", "changed", "ignored"})
_FATAL = frozenset({"failed", "unreachable"})
_LINES = 12
_FULL_DISK = ("No space left on device", "Disk quota exceeded")


def read(line: str) -> Event | None:
    """One line of our callback plugin; None for one that is none."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


@dataclass(slots=True)
class Story:
    """What was heard of one guest so far. `well` is None until Ansible has said how it ended."""

    task: str = ""
    well: bool | None = None
    failure: Event | None = None

    @property
    def over(self) -> bool:
        """Nothing more is to be expected, as far as one can tell: a rescue may still follow a failure."""
        return self.well is not None or self.failure is not None

    def hear(self, event: Event) -> str | None:
        """Take one event; the line to show for it, if any."""
        kind, task = event["event"], str(event.get("task", ""))
        if task == FINISHED:
            self.well = self.well or kind == "ok"
        elif kind == "task":
            self.task = task
        elif kind in _FATAL:
            self.failure = event  # the last one: an earlier one was rescued
            return f"{task}: {kind}"
        elif kind in _SHOWN:
            return f"{task}: {kind}"
        elif kind == "retry":
            return f"{task}: not yet, attempt {event.get('attempt')}"
        return None

    def end(self, counts: dict[str, int]) -> None:
        """Take what Ansible counted for the guest; a failure that a rescue block made good is not among them."""
        self.well = not counts.get("failures") and not counts.get("unreachable")


def told(failure: Event) -> str:
    """The sentence for a failed or unreachable task."""
    lines = str(failure.get("reason", "")).strip().splitlines()
    if len(lines) > _LINES:  # how it began, and where it ended
        lines = [*lines[: _LINES - 2], "…", lines[-1]]
    reason = "\n".join(lines)
    if failure["event"] == "unreachable":
        return f"the guest was lost in the task `{failure['task']}`: {reason}"
    return f"the task `{failure['task']}` failed: {reason}"


def advice(reason: str) -> str:
    if any(sign in reason for sign in _FULL_DISK):
        return "the guest's disk is full: free space in it, or let rootDisk.size grow, then apply again"
    return "mend what the task says and apply again: roles go on where the guest stands"
