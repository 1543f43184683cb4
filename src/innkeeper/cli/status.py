"""`innkeeper status`: sync and health of every declared guest, once or until told to stop."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from innkeeper.cli import remote
from innkeeper.cli.options import Environment, Format, In, Only, Output, Paths, Project, Source
from innkeeper.cli.remote import CaFile, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.text import Text

    from innkeeper import runtime
    from innkeeper.engine.reconcile import Prepared
    from innkeeper.manifests.loading import Loaded
    from innkeeper.planner.policy import Policy

_STYLES = {
    "Synced": "green",
    "OutOfSync": "yellow",
    "Healthy": "green",
    "Progressing": "cyan",
    "Degraded": "red",
    "Missing": "red",
    "Suspended": "dim",
}


def status(
    paths: Paths = None,
    written: In = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Say it again whenever it changes.")] = False,
    interval: Annotated[float, typer.Option("--interval", metavar="SECONDS", min=0.2, help="Between looks.")] = 5.0,
    only: Only = None,
    project: Project = None,
    env: Environment = None,
    source: Source = None,
    server: Server = None,
    ca_file: CaFile = None,
    output: Output = Format.text,
) -> None:
    """Show where every declared guest stands, and why. Makes the health checks.

    \b
    Examples:
      innkeeper status
      innkeeper status --watch --interval 2
      innkeeper status -o json | jq '.guests[] | select(.sync != "Synced")'

    With --watch, JSON is one line per change. A look that finds nothing changed is one call to each cluster.

    With --server (or INNKEEPER_SERVER) and no path, it shows what that server keeps.
    """
    if server and not paths:
        if watch or only or project or env or written:
            raise typer.BadParameter("these options look at manifests here; with a server, name a path too")
        remote.guests(server, ca_file, output)
        return
    from innkeeper import runtime
    from innkeeper.cli.output import print_json
    from innkeeper.cli.planning import failed_plan, policy, selected, show_plan

    loaded = runtime.loaded(paths or (), written)
    if not loaded.ok:
        if output is Format.json:
            print_json({"guests": [], "diagnostics": [item.to_json() for item in loaded.diagnostics]}, line=watch)
        else:
            show_plan(failed_plan(loaded))
        raise typer.Exit(1)
    allowed = policy(loaded, paths, source, False, 0, None, selected(loaded, only, project, env), False)
    ok = asyncio.run(_status(loaded, allowed, interval if watch else None, output))
    raise typer.Exit(0 if ok else 1)


async def _status(loaded: "Loaded", allowed: "Policy", interval: float | None, output: Format) -> bool:
    from innkeeper import runtime

    async with (
        runtime.connected(loaded.declared.clusters) as clusters,
        runtime.working_inside(loaded.declared) as insider,
    ):
        seen = await _look(clusters) if interval is not None else ""
        prepared = await runtime.plan(loaded, clusters, allowed, insider, health=True)
        _show(prepared, output, stream=interval is not None)
        health = _healths(prepared)
        while interval is not None:
            await asyncio.sleep(interval)
            now = await _look(clusters)
            if now == seen and insider is None:
                continue
            prepared = await runtime.plan(loaded, clusters, allowed, insider, health=True)
            if now != seen or _healths(prepared) != health:
                seen, health = now, _healths(prepared)
                _show(prepared, output, stream=interval is not None)
    return not any(item.severity == "error" for item in prepared.plan.diagnostics)


def _healths(prepared: "Prepared") -> list[object]:
    return [(item.ref, item.sync, item.health) for item in prepared.statuses]


async def _look(clusters: "runtime.Clusters") -> str:
    """What tells whether anything changed; for a cluster that cannot be asked, that is why it cannot."""
    from innkeeper.engine.errors import EngineError
    from innkeeper.planner.policy import Unreachable

    found: list[str] = []
    for hypervisor in clusters.values():
        try:
            found.append(hypervisor.message if isinstance(hypervisor, Unreachable) else await hypervisor.poll())
        except EngineError as error:
            found.append(error.message)
    return "\n".join(found)


def _show(prepared: "Prepared", output: Format, *, stream: bool) -> None:
    from innkeeper.cli.output import console, print_json, show_findings

    if output is Format.json:
        findings = [item.to_json() for item in prepared.plan.diagnostics]
        body = {"guests": [item.to_json() for item in prepared.statuses], "diagnostics": findings}
        print_json(body, line=stream)
        return
    out = console()
    for line in _lines(prepared):
        out.print(line)
    show_findings(console(stderr=True), prepared.plan.diagnostics)


def _lines(prepared: "Prepared") -> "Iterator[Text]":
    from rich.text import Text

    from innkeeper.cli.rendering import table

    rows = [("GUEST", "VMID", "NODE", "SYNC", "HEALTH")]
    statuses = prepared.statuses
    rows += ((str(item.ref), str(item.vmid or "-"), item.node or "-", item.sync, item.health) for item in statuses)
    head, *lines = table(rows)
    yield Text(head, "bold")
    for item, line in zip(statuses, lines, strict=True):
        text = Text(line)
        for word in (item.sync, item.health):
            text.highlight_words([word], _STYLES.get(word, "default"))
        yield text
        for condition in item.conditions:
            yield Text(f"    {condition.type}: {condition.message}", "dim")
