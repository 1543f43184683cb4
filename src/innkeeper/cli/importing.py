"""`innkeeper import`: manifests of guests that exist, ready to be taken over."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from innkeeper.cli.options import Format, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from innkeeper.manifests.writing import Manifest


def import_(
    vmids: Annotated[list[int] | None, typer.Argument(metavar="[VMID]...", show_default="all guests")] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="NAME", help="Where there are several clusters.")
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option("--output-dir", metavar="DIR", help="One file per guest; existing ones are kept.")
    ] = None,
    output: Output = Format.text,
) -> None:
    """Print manifests of what exists. The Cluster is read from the current directory.

    \b
    Examples:
      innkeeper import 142
      innkeeper import --output-dir guests/
      innkeeper import --cluster home 100 101 > legacy.yaml
      innkeeper import -o json | jq -r '.manifests[].metadata.name'

    Guests that are not ours get the annotation innkeeper.dev/adopt: planning them changes nothing but marker and tag.
    """
    from innkeeper import runtime
    from innkeeper.cli.output import console, print_json, show_findings
    from innkeeper.manifests.loading import load
    from innkeeper.manifests.writing import to_yaml

    loaded = load([Path()])
    chosen = [item for item in loaded.declared.clusters if cluster in (None, item.name)]
    if len(chosen) != 1:
        show_findings(console(stderr=True), loaded.diagnostics)
        names = ", ".join(item.name for item in loaded.declared.clusters)
        what = f"name one with --cluster: {names}" if names else "the current directory declares no cluster"
        console(stderr=True).print(f"error: {what}.")
        raise typer.Exit(1)
    alone = len(loaded.declared.clusters) == 1
    manifests, findings = asyncio.run(runtime.import_guests(chosen[0], frozenset(vmids or ()), alone=alone))
    kept = write(manifests, output_dir, quiet=output is Format.json) if output_dir is not None else 0
    if output is Format.json:
        print_json({"manifests": manifests, "diagnostics": [item.to_json() for item in findings]})
    else:
        show_findings(console(stderr=True), findings)
        typer.echo(to_yaml(manifests) if output_dir is None else "", nl=False)
    raise typer.Exit(1 if kept or any(item.severity == "error" for item in findings) else 0)


def write(manifests: "Sequence[Manifest]", directory: Path, *, quiet: bool) -> int:
    """How many manifests were not written: a file of that name is kept, or there can be none."""
    from innkeeper.cli.output import console
    from innkeeper.manifests.writing import file_name, to_yaml

    out, err, kept = console(), console(stderr=True), 0
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        err.print(f"error: {directory} cannot be made: {error.strerror}.")
        return len(manifests)
    for item in manifests:
        file = directory / file_name(item)
        try:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(to_yaml([item]))
        except FileExistsError:
            kept += 1
            err.print(f"error: {file} exists already and is kept.")
        except OSError as error:
            kept += 1
            err.print(f"error: {file} cannot be written: {error.strerror}.")
        else:
            if not quiet:
                out.print(f"{file}")
    return kept
