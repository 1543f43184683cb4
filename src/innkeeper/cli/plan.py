"""`innkeeper plan`: what apply would do, and nothing done."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from innkeeper.cli.options import (
    AllowIPConflicts,
    Configure,
    ConfigureWhen,
    Environment,
    Format,
    In,
    MaxDeletes,
    Only,
    Output,
    Paths,
    Project,
    Prune,
    Replace,
    Source,
    TakeOver,
)

if TYPE_CHECKING:
    from innkeeper.model.plan import Plan


def plan(
    paths: Paths = None,
    written: In = None,
    prune: Prune = False,
    max_deletes: MaxDeletes = 3,
    replace: Replace = None,
    only: Only = None,
    project: Project = None,
    env: Environment = None,
    configure: ConfigureWhen = Configure.changed,
    allow_ip_conflicts: AllowIPConflicts = False,
    source: Source = None,
    take_over: TakeOver = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit with 2 where there are changes.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show unchanged guests too.")] = False,
    output: Output = Format.text,
) -> None:
    """Show what apply would do, guest by guest and field by field. Makes no writing call.

    \b
    Examples:
      innkeeper plan
      innkeeper plan --prune --only Container/web
      innkeeper plan -o json | jq .summary
      innkeeper plan --detailed-exitcode   0: as declared, 2: changes, 1: an error
    """
    from innkeeper import runtime
    from innkeeper.cli.planning import failed_plan, make, policy, selected

    loaded = runtime.loaded(paths or (), written)
    if not loaded.ok:
        found = failed_plan(loaded)
    else:
        names = selected(loaded, only, project, env)
        allowed = policy(
            loaded, paths, source, prune, max_deletes, replace, names, take_over, configure.value, allow_ip_conflicts
        )
        found = asyncio.run(make(loaded, allowed)).plan
    _show(found, output, everything=everything)
    if any(item.severity == "error" for item in found.diagnostics):
        raise typer.Exit(1)
    raise typer.Exit(2 if detailed_exitcode and found.changes_anything else 0)


def _show(found: "Plan", output: Format, *, everything: bool) -> None:
    from innkeeper.cli.output import print_json
    from innkeeper.cli.planning import show_plan

    if output is Format.json:
        print_json(found.to_json())
    else:
        show_plan(found, everything=everything)
