"""`innkeeper doctor`: what stands in the way between these manifests and their clusters."""

import asyncio
from typing import TYPE_CHECKING

import typer

from innkeeper.cli.options import Format, In, Output, Paths

if TYPE_CHECKING:
    from innkeeper.manifests.loading import Loaded
    from innkeeper.proxmox.doctor import Finding

_SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "bold red")}


def doctor(paths: Paths = None, written: In = None, output: Output = Format.text) -> None:
    """Check the way to every cluster. Looks at TLS, clock, version, and each privilege that these manifests need.

    \b
    Examples:
      innkeeper doctor
      innkeeper doctor cluster.yaml

    For every missing privilege it prints the exact pveum line; privileges that nothing here uses are named too.
    """
    from innkeeper import runtime
    from innkeeper.cli.output import console, print_json, show_findings

    loaded = runtime.loaded(paths or (), written)
    found = asyncio.run(_examine(loaded))
    broken = not loaded.declared.clusters or any(item.status == "error" for some in found.values() for item in some)
    if output is Format.json:
        clusters = [{"name": name, "findings": [item.to_json() for item in some]} for name, some in found.items()]
        print_json({"clusters": clusters, "diagnostics": [item.to_json() for item in loaded.diagnostics]})
    else:
        out = console()
        show_findings(out, loaded.diagnostics)
        for name, some in found.items():
            out.print(f"Cluster {name}", style="bold")
            for item in some:
                _show(item)
        if not loaded.declared.clusters:
            console(stderr=True).print("error: no cluster is declared here.")
    raise typer.Exit(1 if broken or not loaded.ok else 0)


async def _examine(loaded: "Loaded") -> "dict[str, tuple[Finding, ...]]":
    from innkeeper import runtime

    found = {}
    async with runtime.connected(loaded.declared.clusters) as clusters:
        for cluster in loaded.declared.clusters:
            found[cluster.name] = await runtime.examine(loaded.declared, cluster, clusters[cluster.name])
    return found


def _show(item: "Finding") -> None:
    from rich.text import Text

    from innkeeper.cli.output import console

    sign, style = _SIGNS[item.status]
    line = Text(f"  {sign} ", style)
    line.append(f"{item.topic:<11}", "bold")
    line.append(item.text, "default")
    console().print(line)
    if item.advice:
        console().print(Text(f"{'':15}{item.advice}", "dim" if item.status == "ok" else "default"))
