"""`innkeeper secrets`: what manifests need to know that never stands in them."""

import typer

from innkeeper.cli.options import HELP, In, Paths

app = typer.Typer(help="The secrets that manifests refer to.", context_settings=HELP, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """The secrets that manifests refer to."""


@app.command("example")
def example(paths: Paths = None, written: In = None) -> None:
    """Print a form for every secret that these manifests refer to: which store, which key, for which guest.

    \b
    Example:
      innkeeper secrets example > vault.example.yml
    """
    from innkeeper import runtime
    from innkeeper.cli.output import console, show_findings

    loaded = runtime.loaded(paths or (), written)
    if not loaded.ok:
        show_findings(console(stderr=True), loaded.diagnostics)
        raise typer.Exit(1)
    form = runtime.secrets_example(loaded.declared)
    typer.echo(form.rstrip("\n") if form else "# These manifests refer to no secrets.")
