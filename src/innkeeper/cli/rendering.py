"""A plan as a good diff: what happens to whom, field by field, how much it is felt, and why."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from innkeeper.cli.output import counted
from innkeeper.model.plan import ACTIONS, Action, Change, Json, Plan, Step

SYMBOLS: dict[Action, tuple[str, str]] = {
    "create": ("+", "green"),
    "update": ("~", "yellow"),
    "replace": ("±", "magenta"),
    "delete": ("-", "red"),
    "adopt": ("*", "cyan"),
    "noop": (" ", "dim"),
}
_ALL_UP_TO_DATE = "up to date; configuration up to date"
_IMPACT_STYLES = {"restart": "yellow", "replace": "magenta", "data-loss": "bold red"}


def plan_lines(plan: Plan, *, everything: bool = False) -> Iterator[Text]:
    """The steps in their order, unchanged guests only where `everything` is asked for, and the summary."""
    shown = [step for step in plan.steps if everything or step.action != "noop" or step.refused or _waits(step)]
    several = len({step.wave for step in shown}) > 1
    wave = -1
    for step in shown:
        if several and step.wave != wave and step.action != "delete":
            wave = step.wave
            yield Text(f"Wave {wave}" + ("" if wave == 0 else ": when the ones before are done"), "bold")
        yield from _step_lines(step)
    if shown:
        yield Text()
    yield summary_line(plan)


def _waits(step: Step) -> bool:
    """Whether an unchanged guest has something to say: a change of it that is not in effect yet."""
    return step.reason not in ("", "up to date", _ALL_UP_TO_DATE)


def summary_line(plan: Plan) -> Text:
    """`Plan: 5 to create, 1 to update, …, 3 unchanged.`"""
    counts = plan.summary
    parts = [f"{counts[action]} to {action}" for action in ACTIONS if action != "noop" and counts[action]]
    refused = sum(1 for step in plan.steps if step.refused)
    line = Text("Plan: ", "bold")
    line.append(", ".join([*parts, f"{counts['noop']} unchanged"]) if parts else "", "not bold")
    same = sum(1 for step in plan.steps if step.reason == _ALL_UP_TO_DATE)
    told = f" Configuration up to date: {counted(same, 'guest')}." if same else ""
    if not parts:
        same, of = counts["noop"], counts["noop"] + plan.undecided
        style = "yellow" if plan.undecided else "green"
        return Text(f"No changes: {same} of {of} guests are as declared.{told}{_undecided(plan)}", style)
    line.append(f"; {refused} of them not allowed" if refused else "", "yellow")
    line.append(f".{told}", "not bold")
    line.append(_undecided(plan), "not bold yellow")
    return line


def _undecided(plan: Plan) -> str:
    return f" Nothing can be decided about {counted(plan.undecided, 'guest')} now." if plan.undecided else ""


def _step_lines(step: Step) -> Iterator[Text]:
    symbol, style = SYMBOLS[step.action]
    head = Text(f"{symbol} {step.ref}", f"bold {style}")
    vmid = str(step.vmid) if step.former in (None, step.vmid) else f"{step.former} → {step.vmid}"
    where = f"{vmid} on {step.node}" if step.node else vmid
    head.append(f"  {where}, cluster {step.cluster}", "not bold default")
    head.append(f"  {step.action}", f"not bold {style}")
    if step.impact not in ("none", "live"):
        head.append(f" ({step.impact})", _IMPACT_STYLES[step.impact])
    elif step.action == "update":
        head.append(f" ({'live' if step.impact == 'live' else 'not felt by the guest'})", "not bold dim")
    yield head
    if step.reason:
        yield Text(f"      {step.reason}", "dim")
    if step.needs and step.action == "create":
        yield Text(f"      needs {', '.join(map(str, step.needs))}", "dim")
    yield from _change_lines(step)
    if step.refused:
        yield Text(f"    ! not allowed: {step.refused}", "bold yellow")


def _change_lines(step: Step) -> Iterator[Text]:
    width = max((len(change.field) for change in step.changes), default=0)
    for change in step.changes:
        symbol, style = _change_symbol(step, change)
        line = Text(f"    {symbol} ", style)
        line.append(f"{change.field + ':':<{width + 1}} ", "default")
        if step.action != "create":
            line.append(value(change.before), "red" if change.after is None else "default")
            line.append(" → ", "dim")
        line.append(value(change.after), style)
        if change.impact not in ("none", "live") and step.action not in ("create", "delete"):
            line.append(f"  ({change.impact})", _IMPACT_STYLES[change.impact])
        yield line


def _change_symbol(step: Step, change: Change) -> tuple[str, str]:
    if step.action == "create" or change.before is None:
        return "+", "green"
    return ("-", "red") if change.after is None else ("~", "yellow")


def value(item: Json) -> str:
    """A value as manifests spell it; what is not set is `-`."""
    if item is None:
        return "-"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, list):
        return "[" + ", ".join(value(part) for part in item) + "]"
    if isinstance(item, dict):
        return "{" + ", ".join(f"{name}: {value(part)}" for name, part in item.items()) + "}"
    text = str(item)
    if isinstance(item, str) and (not text or "\n" in text):
        return '"' + text.replace("\n", "\\n") + '"'
    return text


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as they must be, two blanks between them."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))] if rows else []
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
