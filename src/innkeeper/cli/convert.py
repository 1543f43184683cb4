"""`innkeeper convert`: what stands in another format, written as native manifests."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from innkeeper.cli.options import In

_NOT_SAID = ("UnknownCluster", "AmbiguousCluster")
"""A cluster may be declared where the manifests will lie."""


def convert(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A directory or a file in another format.")],
    written: In = None,
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", metavar="DIR", help="One file per object, roles beside; existing ones are kept."),
    ] = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take over guests that exist with the same id.")] = False,
) -> None:
    """Write another format's objects as native manifests. Planning the result equals planning the original.

    \b
    Examples:
      innkeeper convert ~/proxmox-gitops --output-dir manifests
      innkeeper convert --format proxnix config.json > machines.yaml
      innkeeper convert --adopt inventory --output-dir manifests
    """
    from innkeeper import runtime
    from innkeeper.cli.importing import write
    from innkeeper.cli.output import console, show_findings
    from innkeeper.manifests.formats.conversion import native
    from innkeeper.manifests.writing import to_yaml

    err = console(stderr=True)
    loaded = runtime.loaded([path], written)
    findings = tuple(item for item in loaded.diagnostics if item.code not in _NOT_SAID)
    show_findings(err, findings)
    if any(item.severity == "error" for item in findings):
        raise typer.Exit(1)
    if not loaded.translated:
        err.print(f"error: nothing in {path} is in another format.")
        raise typer.Exit(1)
    found = native(loaded.translated, output_dir or Path(), adopt=adopt)
    if output_dir is None:
        typer.echo(to_yaml(found.manifests), nl=False)
        if any(not Path(name).is_dir() for name in found.brought):
            err.print(
                f"info: these belong beside the manifests: {', '.join(found.brought)} (--output-dir brings them)."
            )
        return
    kept = write(found.manifests, output_dir, quiet=False)
    kept += _bring(found.brought, output_dir)
    raise typer.Exit(1 if kept else 0)


def _left_out(_: str, names: list[str]) -> set[str]:
    """What belongs to no role; the machine's own file would be taken for a container once more."""
    from innkeeper.model.inside import MACHINE_FILE

    return {name for name in names if name == ".git" or MACHINE_FILE.fullmatch(name)}


def _bring(brought: Mapping[str, Path], directory: Path) -> int:
    """How many directories of roles were not copied because something else is there."""
    from innkeeper.cli.output import console

    kept = 0
    for name, origin in brought.items():
        target = directory / name
        if target.exists():
            if not target.samefile(origin):
                kept += 1
                console(stderr=True).print(f"error: {target} exists already and is kept.")
            continue
        shutil.copytree(origin, target, symlinks=True, ignore=_left_out)
        console().print(f"{target}")
    return kept
