"""A plan as the comment on a pull request: gravest first, bounded, and harmless wherever its texts come from. Pure.

What a pull request's author wrote is shown in two ways only: in a code fence longer than any that it contains, or with
every character that Markdown or HTML would understand taken away its meaning. Neither makes a link, a mention, or one
of GitLab's quick actions.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Ref
from innkeeper.model.plan import ACTIONS, Change, Impact, Json, Plan, Step

LIMIT = 30_000
"""Characters; the smallest of the forges' own limits is Bitbucket's 32,768, GitHub's is 65,536."""
_VALUE, _FIELDS, _FINDINGS = 300, 60, 20
_HEADS: Mapping[Impact | Literal["new"], str] = {
    "data-loss": "Data is lost",
    "replace": "Destroyed and made anew",
    "restart": "Needs a restart",
    "live": "While it runs",
    "new": "New",
    "none": "Not felt by the guest",
}
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+.!|~<>&:/-])")
_INLINE = re.compile(r"([\\`*_{}\[\]()#.!|~<>&:])")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a pull request would do. Without a plan the diagnostics say why there is none.

    `places` says where guests are declared; `waiting` are the steps that a person has to approve once it is merged;
    `url` leads to the job; `fork`: strangers wrote it, so it was planned without secrets.
    """

    source: str
    revision: str
    plan: Plan | None = None
    diagnostics: Sequence[Diagnostic] = ()
    places: Mapping[Ref, Location] = field(default_factory=dict)
    url: str = ""
    fork: bool = False
    waiting: Sequence[Step] = ()


def summary(plan: Plan) -> str:
    """`1 to create, 2 to update`: for a commit's status."""
    parts = [f"{plan.summary[action]} to {action}" for action in ACTIONS if action != "noop" and plan.summary[action]]
    refused = sum(1 for step in plan.steps if step.refused)
    return (", ".join(parts) or "no changes") + (f"; {refused} not allowed" if refused else "")


def markdown(proposal: Proposal) -> str:
    """The comment, at most LIMIT characters."""
    head = "\n\n".join(_head(proposal))
    blocks = list(_blocks(proposal))
    tail = f"\n\n[The job, with everything in it]({proposal.url})" if proposal.url else ""
    room = LIMIT - len(head) - len(tail) - 200
    shown: list[str] = []
    for index, block in enumerate(blocks):
        if len(block) + 2 > room:
            shown.append(f"… and {len(blocks) - index} more that this comment has no room for.")
            break
        shown.append(block)
        room -= len(block) + 2
    return "\n\n".join([head, *shown]) + tail + "\n"


def _head(proposal: Proposal) -> Iterator[str]:
    yield f"### Innkeeper: what {harmless(proposal.source)} would do at {proposal.revision[:12]}"
    if proposal.fork:
        yield (
            "From a fork: planned without secrets and without a look inside guests. "
            "Nothing of it runs before it is merged."
        )
    plan = proposal.plan
    if plan is None:
        yield "**There is no plan**: the manifests have to be mended first."
    elif plan.changes_anything:
        yield f"**{summary(plan)}**, {plan.summary['noop']} unchanged"
    else:
        yield f"**No changes**, {plan.summary['noop']} as declared"
    if plan is not None and plan.undecided:
        yield f"Undecided now: {plan.undecided}."
    findings = [*proposal.diagnostics, *(plan.diagnostics if plan is not None else ())]
    lines = [_finding(item) for item in sorted(findings, key=_gravity)[:_FINDINGS]]
    if len(findings) > len(lines):
        lines.append(f"- … and {len(findings) - len(lines)} more")
    if lines:
        yield "\n".join(lines)


def _gravity(item: Diagnostic) -> int:
    return ("error", "warning", "info").index(item.severity)


def _finding(item: Diagnostic) -> str:
    place = f" ({_place(item.location)})" if item.location is not None else ""
    detail = f" — {harmless(item.detail)}" if item.detail else ""
    return f"- **{item.severity}** {harmless(item.summary)}{place}{detail}"


def _blocks(proposal: Proposal) -> Iterator[str]:
    """A heading goes with the first step below it, so that none stands alone."""
    steps = [step for step in proposal.plan.steps if step.action != "noop" or step.refused] if proposal.plan else []
    for impact, head in _HEADS.items():
        for index, step in enumerate(step for step in steps if _group(step) == impact):
            yield (f"#### {head}\n\n" if index == 0 else "") + _step(step, proposal)


def _group(step: Step) -> Impact | Literal["new"]:
    return "new" if step.action == "create" and step.impact == "none" else step.impact


def _step(step: Step, proposal: Proposal) -> str:
    vmid = str(step.vmid) if step.former in (None, step.vmid) else f"{step.former} → {step.vmid}"
    where = ", ".join(
        part for part in (vmid, f"on {step.node}" if step.node else "", f"cluster {step.cluster}") if part
    )
    summary = f"<b>{step.action}</b> <code>{_text(str(step.ref))}</code> {_text(where)}"
    opened = " open" if step.impact in ("data-loss", "replace") or step.refused else ""
    lines = [f"<details{opened}><summary>{summary}</summary>", ""]
    if step.refused:
        lines += [f"**Not allowed**: {harmless(step.refused)}", ""]
    if step in proposal.waiting:
        lines += ["**Waits for an approval** after the merge", ""]
    if step.reason:
        lines += [harmless(step.reason), ""]
    place = proposal.places.get(step.ref)
    if place is not None:
        lines += [f"Declared in {_place(place)}", ""]
    if step.changes:
        lines += [fenced(_changes(step.changes)), ""]
    return "\n".join([*lines, "</details>"])


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    for change in changes[:_FIELDS]:
        impact = f"  ({change.impact})" if change.impact not in ("none", "live") else ""
        name = _line(change.field)
        if change.before is not None:
            yield f"- {name}: {_line(_value(change.before))}{impact if change.after is None else ''}"
        if change.after is not None:
            yield f"+ {name}: {_line(_value(change.after))}{impact}"
    if len(changes) > _FIELDS:
        yield f"  … and {len(changes) - _FIELDS} more fields"


def _value(item: Json) -> str:
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, list):
        return "[" + ", ".join(_value(part) for part in item) + "]"
    if isinstance(item, dict):
        return "{" + ", ".join(f"{name}: {_value(part)}" for name, part in item.items()) + "}"
    return "-" if item is None else str(item)


def fenced(lines: Iterable[str]) -> str:
    """Single lines in a code block that they cannot end."""
    body = "\n".join(lines)
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}diff\n{body}\n{fence}"


def harmless(text: str) -> str:
    """One line of plain text in Markdown, whatever it holds."""
    return _MARKUP.sub(r"\\\1", _line(text)).replace("\\&", "&amp;").replace("\\<", "&lt;").replace("\\>", "&gt;")


def _place(location: Location) -> str:
    return f"<code>{_text(str(location))}</code>"


def _text(text: str) -> str:
    """Between HTML tags in Markdown: no character is left that either would understand."""
    return _INLINE.sub(lambda found: f"&#{ord(found[0])};", _line(text))


def _line(text: str) -> str:
    """Bounded, on one line, nothing invisible; no word follows `@`, `#` or `!` directly, so nobody is mentioned."""
    plain = text[: _VALUE + 1].replace("\r", "").replace("\n", "\\n").replace("\t", " ")
    plain = "".join(letter if letter.isprintable() else "�" for letter in plain)
    plain = plain if len(plain) <= _VALUE else f"{plain[:_VALUE]}…"
    return re.sub(r"(?<=[@#!])(?=\w)", "\N{ZERO WIDTH SPACE}", plain)
