"""What plan and apply share: the policy that options say, and a plan on the screen."""

from collections.abc import Sequence
from pathlib import Path

import typer

from innkeeper import runtime
from innkeeper.cli.options import Format
from innkeeper.cli.output import console, print_json, show_findings
from innkeeper.engine.reconcile import Prepared
from innkeeper.manifests.loading import Loaded
from innkeeper.model.plan import Plan
from innkeeper.model.sources import Format as SourceFormat
from innkeeper.planner.policy import Policy


def policy(
    loaded: Loaded,
    paths: Sequence[Path] | None,
    source: str | None,
    prune: bool,
    max_deletes: int,
    replace: Sequence[str] | None,
    only: Sequence[str] | None,
    take_over: bool,
    configure: str = "changed",
    allow_ip_conflicts: bool = False,
) -> Policy:
    """`source` None: the one Source that the manifests declare, which is their own repository; else git is asked."""
    own = loaded.sources[0].name if len(loaded.sources) == 1 else None
    found = runtime.policy(paths or [Path()], source or own)
    return Policy(
        source=found.source,
        revision=found.revision,
        prune=prune,
        max_deletes=max_deletes,
        replace=frozenset(replace or ()),
        take_over=take_over,
        only=frozenset(only or ()),
        configure=configure,  # type: ignore[arg-type]
        allow_ip_conflicts=allow_ip_conflicts,
    )


def selected(
    loaded: Loaded, only: Sequence[str] | None, projects: Sequence[str] | None, environments: Sequence[str] | None
) -> Sequence[str] | None:
    """The names for `only`, with the projects and environments that were named."""
    if not projects and not environments:
        return only
    return sorted(runtime.chosen(loaded.declared, projects or (), environments or (), only or ()))


async def make(loaded: Loaded, allowed: Policy) -> Prepared:
    async with (
        runtime.connected(loaded.declared.clusters) as clusters,
        runtime.working_inside(loaded.declared) as insider,
    ):
        return await runtime.plan(loaded, clusters, allowed, insider)


def failed_plan(loaded: Loaded) -> Plan:
    """Manifests with errors are not planned at all: what they declare is not known."""
    return Plan((), loaded.diagnostics)


def load_or_exit(paths: Sequence[Path] | None, output: Format, written: SourceFormat | None) -> Loaded:
    """The manifests; where they have errors these are shown, and the command ends with 1."""
    loaded = runtime.loaded(paths or (), written)
    if loaded.ok:
        return loaded
    found = failed_plan(loaded)
    if output is Format.json:
        print_json(found.to_json())
    else:
        show_plan(found)
    raise typer.Exit(1)


def show_plan(plan: Plan, *, everything: bool = False) -> None:
    """The plan on standard output, findings on standard error."""
    from innkeeper.cli.rendering import plan_lines

    out, err = console(), console(stderr=True)
    broken = any(item.severity == "error" for item in plan.diagnostics)
    if plan.steps or not broken:
        for line in plan_lines(plan, everything=everything):
            out.print(line)
        if plan.changes_anything:
            out.print(f"Digest: {plan.digest}", style="dim")
    show_findings(err, plan.diagnostics)
