"""`innkeeper apply`: show the plan, ask, carry it out, and prove it."""

import asyncio
import signal
import sys
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
    Wait,
)

if TYPE_CHECKING:
    from innkeeper.engine.reconcile import Prepared
    from innkeeper.engine.result import Result
    from innkeeper.manifests.loading import Loaded
    from innkeeper.planner.policy import Policy


def apply(
    paths: Paths = None,
    written: In = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    prune: Prune = False,
    max_deletes: MaxDeletes = 3,
    replace: Replace = None,
    only: Only = None,
    project: Project = None,
    env: Environment = None,
    configure: ConfigureWhen = Configure.changed,
    wait: Wait = None,
    allow_ip_conflicts: AllowIPConflicts = False,
    plan_digest: Annotated[
        str | None, typer.Option("--plan-digest", metavar="DIGEST", help="Apply only exactly this plan.")
    ] = None,
    parallel: Annotated[int, typer.Option("--parallel", metavar="N", min=1, help="Steps at the same time.")] = 8,
    source: Source = None,
    take_over: TakeOver = False,
    output: Output = Format.text,
) -> None:
    """Bring the guests to what the manifests declare. Shows the plan and asks first.

    \b
    Examples:
      innkeeper apply
      innkeeper apply --yes --prune --max-deletes 1
      innkeeper apply --yes --project webshop --env dev --wait
      innkeeper apply --yes --replace web
      innkeeper apply --yes --plan-digest "$(innkeeper plan -o json | jq -r .digest)"

    Ctrl-C stops after the calls that run; the next apply goes on from there.
    """
    from innkeeper.cli.planning import load_or_exit, policy, selected

    loaded = load_or_exit(paths, output, written)
    names = selected(loaded, only, project, env)
    allowed = policy(
        loaded, paths, source, prune, max_deletes, replace, names, take_over, configure.value, allow_ip_conflicts
    )
    ok = asyncio.run(run(loaded, allowed, yes=yes, digest=plan_digest, parallel=parallel, healthy=wait, output=output))
    raise typer.Exit(0 if ok else 1)


async def run(
    loaded: "Loaded",
    allowed: "Policy",
    *,
    yes: bool,
    output: Format,
    digest: str | None = None,
    parallel: int = 8,
    healthy: float | None = None,
) -> bool:
    """Plan, ask, carry out, show; whether all went well. `healthy`: seconds to wait until guests are healthy."""
    from innkeeper import runtime
    from innkeeper.cli.output import console, print_json
    from innkeeper.cli.planning import show_plan
    from innkeeper.cli.progress import result_line, show_result
    from innkeeper.engine.errors import EngineError
    from innkeeper.engine.reconcile import gate

    quiet = output is Format.json
    async with (
        runtime.connected(loaded.declared.clusters) as clusters,
        runtime.working_inside(loaded.declared) as insider,
    ):
        prepared = await runtime.plan(loaded, clusters, allowed, insider)
        if not quiet:
            show_plan(prepared.plan)
        try:
            gate(prepared, digest)
        except EngineError as error:
            if not quiet:
                raise
            print_json(_refused(prepared, error))
            return False
        if not any(step.acts for step in prepared.plan.steps) and healthy is None:
            if quiet:
                print_json((await _carry_out(prepared, clusters, parallel, None, quiet=True)).to_json())
            return not any(item.severity == "error" for item in prepared.plan.diagnostics) and not any(
                step.refused for step in prepared.plan.steps
            )
        if not yes and any(step.acts for step in prepared.plan.steps) and not _agreed(quiet):
            console(stderr=True).print("Nothing was done.")
            return False
        result = await _carry_out(prepared, clusters, parallel, healthy, quiet=quiet)
        if quiet:
            print_json(result.to_json())
        else:
            show_result(console(), result)
            console().print(result_line(result))
    return result.ok


def _agreed(quiet: bool) -> bool:
    """Asks on the terminal; an answer may also be piped in. Without either, `--yes` is needed."""
    if quiet:
        typer.echo("error: -o json asks nothing: agree with --yes.", err=True)
        return False
    # asyncio's own handler would only note the first Ctrl-C and go on waiting for the answer.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        sys.stdout.write("Apply this plan? [y/N] ")
        sys.stdout.flush()
        answer = sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, before)
    if not sys.stdin.isatty():
        typer.echo(answer.strip())
    if not answer:
        typer.echo("error: nobody answers here: agree with --yes.", err=True)
    return answer.strip().lower() in ("y", "yes")


async def _carry_out(
    prepared: "Prepared", clusters: "runtime.Clusters", parallel: int, healthy: float | None, *, quiet: bool
) -> "Result":
    from innkeeper import runtime
    from innkeeper.cli.interrupt import safe_stop
    from innkeeper.cli.output import console
    from innkeeper.cli.progress import progress
    from innkeeper.engine.reconcile import carry_out

    with progress(console(), prepared.plan, quiet=quiet) as shown, safe_stop(shown.say) as stop:
        return await carry_out(prepared, clusters, shown.listen, stop, parallel, healthy=healthy, builder=runtime.built)


def _refused(prepared: "Prepared", error: Exception) -> dict[str, object]:
    from innkeeper.engine.errors import EngineError
    from innkeeper.model.diagnostics import Diagnostic

    message, advice = (error.message, error.advice) if isinstance(error, EngineError) else (str(error), "")
    finding = Diagnostic("error", "PlanRefused", message, advice)
    body = prepared.plan.to_json()
    return {**body, "diagnostics": [*(item.to_json() for item in prepared.plan.diagnostics), finding.to_json()]}


if TYPE_CHECKING:
    from innkeeper import runtime
