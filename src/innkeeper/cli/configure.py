"""`innkeeper configure`: run the roles in guests that are there, and provision nothing."""

import asyncio
from dataclasses import replace
from typing import Annotated

import typer

from innkeeper.cli.options import (
    Configure,
    ConfigureWhen,
    Environment,
    Format,
    In,
    Only,
    Output,
    Paths,
    Project,
    Source,
    Wait,
)


def configure(
    paths: Paths = None,
    written: In = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    only: Only = None,
    project: Project = None,
    env: Environment = None,
    when: ConfigureWhen = Configure.always,
    wait: Wait = None,
    parallel: Annotated[int, typer.Option("--parallel", metavar="N", min=1, help="Guests at the same time.")] = 8,
    source: Source = None,
    output: Output = Format.text,
) -> None:
    """Run the roles inside guests that exist. They run whether or not something changed; no guest is created,
    changed or deleted.

    \b
    Examples:
      innkeeper configure --only web
      innkeeper configure --project webshop --env dev --yes --wait
      innkeeper configure --configure changed
    """
    from innkeeper.cli.apply import run
    from innkeeper.cli.planning import load_or_exit, policy, selected

    loaded = load_or_exit(paths, output, written)
    names = selected(loaded, only, project, env)
    allowed = policy(loaded, paths, source, False, 0, None, names, False, when.value)
    allowed = replace(allowed, provision=False)
    ok = asyncio.run(run(loaded, allowed, yes=yes, parallel=parallel, healthy=wait, output=output))
    raise typer.Exit(0 if ok else 1)
