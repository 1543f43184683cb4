"""A plan as a page tells it: by how much is felt, the gravest first, so that nobody approves what they did not see."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from innkeeper.model.plan import IMPACTS, Json, Plan

Raw = Mapping[str, Json]
_TITLES: Mapping[str, tuple[str, str]] = {
    "data-loss": ("Destroys data", "What is removed here cannot be brought back by Innkeeper."),
    "replace": ("Replaces guests", "Each is destroyed and made anew from its manifest."),
    "restart": ("Waits for a restart", "Written now, in effect once the guest has restarted."),
    "live": ("Changes while it runs", "In effect at once; the guest goes on."),
    "new": ("New guests", "Nothing that exists is touched."),
    "none": ("Not felt", "Notes, tags and settings that the guest does not notice."),
    "refused": ("Will not be done", "The plan shows it; something stands in the way."),
}


@dataclass(frozen=True, slots=True)
class Field:
    field: str
    before: Json
    after: Json
    impact: str = ""
    file: str = ""
    line: int = 0
    commit: str = ""
    """The commit that its line comes from, where that was looked up."""

    @property
    def place(self) -> str:
        """`file:line`, as far as it is known."""
        return f"{self.file}:{self.line}" if self.file and self.line else self.file


@dataclass(frozen=True, slots=True)
class StepView:
    action: str
    kind: str
    name: str
    cluster: str
    node: str
    vmid: Json
    impact: str
    reason: str
    needs: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    refused: str = ""
    result: str = ""
    error: str = ""
    pending: str = ""

    @property
    def destroys(self) -> bool:
        return not self.refused and (self.action in ("delete", "replace") or self.impact == "data-loss")


@dataclass(frozen=True, slots=True)
class Group:
    impact: str
    title: str
    about: str
    steps: tuple[StepView, ...]


@dataclass(frozen=True, slots=True)
class PlanView:
    groups: tuple[Group, ...] = ()
    summary: Mapping[str, int] = field(default_factory=dict)
    diagnostics: tuple[Raw, ...] = ()
    digest: str = ""
    reads: int = 0
    writes: int = 0

    @property
    def steps(self) -> tuple[StepView, ...]:
        return tuple(step for group in self.groups for step in group.steps)

    @property
    def destroyed(self) -> tuple[str, ...]:
        """The guests whose names are typed before the plan is approved."""
        return tuple(dict.fromkeys(step.name for step in self.steps if step.destroys))

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Where its fields are declared, each place once, in the order that they are shown in."""
        found = ((item.file, item.line) for step in self.steps for item in step.fields if item.file and item.line)
        return tuple(dict.fromkeys(found))

    def blamed(self, commits: Mapping[tuple[str, int], str]) -> "PlanView":
        """The same with the commits that places come from."""

        def step(item: StepView) -> StepView:
            return replace(
                item,
                fields=tuple(replace(one, commit=commits.get((one.file, one.line), "")) for one in item.fields),
            )

        groups = (replace(group, steps=tuple(map(step, group.steps))) for group in self.groups)
        return replace(self, groups=tuple(groups))

    @property
    def told(self) -> str:
        """`2 to create, 1 to replace; 12 unchanged`."""
        parts = [f"{number} to {action}" for action, number in self.summary.items() if number and action != "noop"]
        same = self.summary.get("noop", 0)
        return "; ".join(filter(None, (", ".join(parts), f"{same} unchanged" if same or not parts else "")))


def plan_view(plan: Raw) -> PlanView | None:
    """The view of `Plan.to_json()` or `Result.to_json()`; None where it is neither."""
    steps = plan.get("steps")
    if not isinstance(steps, list):
        return None
    views = [_step(step) for step in steps if isinstance(step, Mapping)]
    shown = [step for step in views if step.action != "noop" or step.refused or step.result == "failed"]
    groups = [
        Group(kind, *_TITLES[kind], tuple(step for step in shown if _group(step) == kind))
        for kind in ("data-loss", "replace", "restart", "live", "new", "none", "refused")
    ]
    calls = plan.get("calls")
    counts = calls if isinstance(calls, Mapping) else {}
    return PlanView(
        tuple(group for group in groups if group.steps),
        _summary(plan),
        tuple(item for item in _list(plan.get("diagnostics")) if isinstance(item, Mapping)),
        _text(plan.get("digest")),
        _number(counts.get("read")),
        _number(counts.get("write")),
    )


def view_of(plan: Plan) -> PlanView:
    """The view of a plan that was just made."""
    steps = [
        {
            **step.to_json(),
            "refused": step.refused,
            "changes": [{**change.to_json(), "impact": change.impact} for change in step.changes],
        }
        for step in plan.steps
    ]
    raw = {**plan.to_json(), "steps": steps}
    return plan_view(raw) or PlanView()  # type: ignore[arg-type]


def _group(step: StepView) -> str:
    if step.refused:
        return "refused"
    if step.action == "delete":
        return "data-loss"
    if step.action == "replace":
        return "data-loss" if step.impact == "data-loss" else "replace"
    if step.action == "create":
        return "new"
    return step.impact if step.impact in IMPACTS else "none"


def _step(raw: Raw) -> StepView:
    return StepView(
        action=_text(raw.get("action")),
        kind=_text(raw.get("kind")),
        name=_text(raw.get("name")),
        cluster=_text(raw.get("cluster")),
        node=_text(raw.get("node")),
        vmid=raw.get("vmid"),
        impact=_text(raw.get("impact")) or "none",
        reason=_text(raw.get("reason")),
        needs=tuple(_text(item) for item in _list(raw.get("needs"))),
        fields=tuple(change_view(item) for item in _list(raw.get("changes")) if isinstance(item, Mapping)),
        refused=_text(raw.get("refused")),
        result=_text(raw.get("result")),
        error=_text(raw.get("error")),
        pending=_text(raw.get("pending")),
    )


def change_view(raw: Raw) -> Field:
    """A field of a change."""
    field, impact, file = (_text(raw.get(name)) for name in ("field", "impact", "file"))
    return Field(field, raw.get("from"), raw.get("to"), impact, file, _number(raw.get("line")))


def _summary(plan: Raw) -> Mapping[str, int]:
    summary = plan.get("summary")
    return {name: _number(value) for name, value in summary.items()} if isinstance(summary, Mapping) else {}


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, (list, tuple)) else ()


def _text(value: Json) -> str:
    return "" if value is None else str(value)


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
