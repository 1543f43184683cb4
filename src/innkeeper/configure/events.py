"""What Ansible's events mean: lines of progress, and why a run failed. Pure."""

import json
from dataclasses import dataclass, field
from typing import Any

_SHOWN = frozenset({"ok", "changed", "ignored"})
_FATAL = frozenset({"failed", "unreachable"})
_LINES = 12
_FULL_DISK = ("No space left on device", "Disk quota exceeded")


@dataclass(slots=True)
class Story:
    """A run so far."""

    task: str = ""
    done: int = 0
    changed: int = 0
    failure: dict[str, Any] | None = field(default=None)

    def hear(self, line: str) -> str | None:
        """Take one event; the line to show for it, if any."""
        try:
            event: dict[str, Any] = json.loads(line)
            kind, task = str(event["event"]), str(event.get("task", ""))
        except (ValueError, KeyError, TypeError):
            return None
        if kind == "task":
            self.task = task
        elif kind in _FATAL:
            self.failure = event  # the last one: an earlier one was rescued
            return f"{task}: {kind}"
        elif kind in _SHOWN:
            self.done += 1
            self.changed += kind == "changed"
            return f"{task}: {kind}"
        elif kind == "retry":
            return f"{task}: not yet, attempt {event.get('attempt')}"
        return None

    def rescued(self, succeeded: bool) -> None:
        """A failure that a rescue block made good is none."""
        if succeeded:
            self.failure = None


def told(failure: dict[str, Any]) -> str:
    """The sentence for a failed or unreachable task."""
    reason = "\n".join(str(failure.get("reason", "")).strip().splitlines()[:_LINES])
    if failure["event"] == "unreachable":
        return f"the guest was lost in the task `{failure['task']}`: {reason}"
    return f"the task `{failure['task']}` failed: {reason}"


def advice(reason: str) -> str:
    if any(sign in reason for sign in _FULL_DISK):
        return "the guest's disk is full: free space in it, or let rootDisk.size grow, then apply again"
    return "mend what the task says and apply again: roles go on where the guest stands"
