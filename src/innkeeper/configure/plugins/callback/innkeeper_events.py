"""Ansible's events as JSON lines on the descriptor that INNKEEPER_EVENTS names; nothing on the terminal.

Ansible loads this file by itself; it must not import the product.
"""
# mypy: ignore-errors

import json
import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: innkeeper_events
type: stdout
short_description: one JSON line per event for Innkeeper
description: Writes task names, their outcome and the reason of a failure, never the result of a task marked no_log.
"""

_LONGEST = 4000
_REASONS = ("msg", "stderr", "stdout", "module_stderr")


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "innkeeper_events"

    def __init__(self):
        super().__init__()
        self._out = os.fdopen(int(os.environ["INNKEEPER_EVENTS"]), "w", encoding="utf-8", buffering=1)

    def _say(self, event, **fields):
        try:
            self._out.write(json.dumps({"event": event, **fields}) + "\n")
        except BrokenPipeError:
            os._exit(3)

    def v2_runner_on_start(self, host, task):
        self._say("task", task=task.get_name(include_role_fqcn=False), host=host.get_name())

    def _outcome(self, event, result, **fields):
        self._say(event, task=result.task.get_name(include_role_fqcn=False), host=result.host.get_name(), **fields)

    def v2_runner_on_ok(self, result):
        self._outcome("changed" if result.result.get("changed") else "ok", result)

    def v2_runner_on_skipped(self, result):
        self._outcome("skipped", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._outcome("ignored" if ignore_errors else "failed", result, reason=_reason(result))

    def v2_runner_on_unreachable(self, result):
        self._outcome("unreachable", result, reason=_reason(result))

    def v2_runner_retry(self, result):
        self._outcome("retry", result, attempt=result.result.get("attempts"))

    def v2_playbook_on_stats(self, stats):
        self._say("stats", hosts={host: stats.summarize(host) for host in stats.processed})


def _reason(result):
    """Why a task failed. Of a task with no_log only that it did."""
    body = result.result
    if body.get("_ansible_no_log") or result.task.no_log:
        return "the task hides its output (no_log)"
    parts = [_text(body[name]) for name in _REASONS if body.get(name)]
    failed = [item for item in body.get("results") or [] if isinstance(item, dict) and item.get("failed")]
    hidden = any(item.get("_ansible_no_log") for item in failed)
    parts += ["an item hides its output (no_log)"] if hidden else [_text(item.get("msg", "")) for item in failed[:3]]
    return "\n".join(dict.fromkeys(part for part in parts if part))[:_LONGEST]


def _text(value):
    return value.strip() if isinstance(value, str) else json.dumps(value, default=str)
