"""Progress of an apply: a live line per running step on a terminal, a plain line per event elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from innkeeper.cli.output import counted
from innkeeper.cli.rendering import SYMBOLS
from innkeeper.engine.ports import Event
from innkeeper.engine.result import Result
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Action, Plan

_ENDS = {"done": ("✓", "green"), "failed": ("✗", "bold red"), "skipped": ("-", "yellow")}
_PAST: dict[Action, str] = {
    "create": "created",
    "update": "updated",
    "replace": "replaced",
    "delete": "deleted",
    "adopt": "adopted",
    "noop": "unchanged",
}
_LONGEST = 100
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@dataclass(slots=True)
class _Running:
    """One step at work: since when, in which phase, and what Proxmox said last."""

    action: Action
    since: float
    phase: str = ""
    message: str = ""


@dataclass(slots=True)
class Progress:
    """Collects events; `listen` is the engine's listener."""

    console: Console
    total: int
    live: bool
    quiet: bool
    running: dict[Ref, _Running] = field(default_factory=dict)
    ended: int = 0

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, style="yellow")

    def listen(self, event: Event) -> None:
        if event.phase in _ENDS:
            self._end(event)
            return
        known = self.running.setdefault(event.ref, _Running(event.step.action, time.monotonic()))
        changed = known.phase != event.phase
        known.phase, known.message = event.phase, event.message or ("" if changed else known.message)
        if changed and not self.live and not self.quiet:
            self.console.print(Text(f"  {event.ref}: {_phase(known)}"))

    def _end(self, event: Event) -> None:
        known = self.running.pop(event.ref, None)
        self.ended += 1
        if self.quiet:
            return
        symbol, style = _ENDS[event.phase]
        line = Text(f"{symbol} {event.ref} ", style)
        word = _PAST[event.step.action] if event.phase == "done" else event.phase
        line.append(word, "default" if event.phase == "done" else style)
        if event.phase == "done" and event.step.vmid:
            line.append(f" ({event.step.vmid} on {event.step.node})", "dim")
        if event.message and event.phase != "done":
            line.append(f": {event.message}", "default")
        if known is not None:
            line.append(f"  {time.monotonic() - known.since:.1f} s", "dim")
        self.console.print(line)

    def __rich__(self) -> RenderableType:
        rows = Table.grid(padding=(0, 1))
        now = time.monotonic()
        for ref, known in list(self.running.items()):
            turning = Text(_FRAMES[int(now * 8) % len(_FRAMES)], SYMBOLS[known.action][1])
            elapsed = Text(f"{now - known.since:5.1f} s", "dim")
            phase = Text(_phase(known), no_wrap=True, overflow="ellipsis")
            rows.add_row(turning, Text(str(ref), "bold"), elapsed, phase)
        return Group(rows, Text(f"{self.ended} of {counted(self.total, 'step')} done", "dim")) if self.running else rows


def _phase(known: _Running) -> str:
    message = known.message.strip().replace("\n", " ")
    if len(message) > _LONGEST:
        message = message[: _LONGEST - 1] + "…"
    return f"{known.phase}: {message}" if message else known.phase


@contextmanager
def progress(console: Console, plan: Plan, *, quiet: bool) -> Iterator[Progress]:
    live = console.is_terminal and not quiet
    total = sum(1 for step in plan.steps if step.acts)
    shown = Progress(console, total, live, quiet)
    with Live(shown, console=console, refresh_per_second=8, transient=True) if live else nullcontext():
        yield shown


def show_result(out: Console, result: Result) -> None:
    """What waits for a restart; the rest was said while it happened."""
    for item in result.results:
        if item.waits:
            out.print(Text(f"! {item.step.ref}: in effect after a restart: {item.waits}", "yellow"))


def result_line(result: Result) -> Text:
    """`Applied: 5 created, 1 updated. 20 reading and 14 writing calls.`"""
    acting = [item for item in result.results if item.step.action != "noop"]
    counts: dict[str, int] = {}
    for item in acting:
        word = _PAST[item.step.action] if item.state == "done" else item.state
        counts[word] = counts.get(word, 0) + 1
    parts = ", ".join(f"{number} {word}" for word, number in counts.items())
    head, style = ("Applied", "bold green") if result.ok else ("Not all applied", "bold red")
    if result.stopped:
        head, style = "Stopped", "bold yellow"
    line = Text(f"{head}: ", style)
    line.append(f"{parts}. {result.reads} reading and {result.writes} writing calls.", "not bold default")
    if result.stopped:
        line.append(" Run apply again to go on.", "not bold default")
    return line
