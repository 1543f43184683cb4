"""`innkeeper validate`: everything that can be said about manifests before anything is planned."""

import asyncio
from typing import Annotated

import typer

from innkeeper.cli.options import Format, In, Output, Paths


def validate(
    paths: Paths = None,
    written: In = None,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no cluster.")] = False,
    output: Output = Format.text,
) -> None:
    """Check manifests. Where a cluster can be reached, also that what they name exists there.

    \b
    Examples:
      innkeeper validate                    the current directory
      innkeeper validate --offline guests/  in a commit hook
      cat web.yaml | innkeeper validate -

    A cluster that cannot be reached does not fail the check; one line says what was not looked at.
    """
    from innkeeper import runtime
    from innkeeper.cli.output import console, counted, print_json, show_findings
    from innkeeper.model.diagnostics import has_errors

    loaded = runtime.loaded(paths or (), written)
    findings = asyncio.run(runtime.validate(loaded, offline=offline))
    declared, valid = loaded.declared, not has_errors(findings)
    if output is Format.json:
        counts = {kind: len(getattr(declared, kind)) for kind in ("clusters", "profiles", "guests")}
        found = [item.to_json() for item in findings]
        print_json({"valid": valid, "files": list(loaded.files), "declared": counts, "diagnostics": found})
    else:
        out = console()
        show_findings(out, findings)
        errors = sum(item.severity == "error" for item in findings)
        what = f"{counted(len(declared.guests), 'guest')} in {counted(len(loaded.files), 'file')}"
        out.print(f"Valid: {what}." if valid else f"Not valid: {counted(errors, 'error')}.")
    raise typer.Exit(0 if valid else 1)
