"""Where every command begins and ends: the list of commands, and the rule that nobody ever sees a traceback."""

import asyncio
import gc
import io
import logging
import os
import sys
import warnings
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from innkeeper.cli import (
    apply,
    configure,
    convert,
    demo,
    dev,
    doctor,
    importing,
    operator,
    plan,
    remote,
    schema,
    secrets,
    serve,
    status,
    validate,
)
from innkeeper.cli.options import HELP, WAIT_SECONDS

_INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

app = typer.Typer(
    name="innkeeper",
    help="Keep the guests of Proxmox VE the way a directory of manifests declares them.",
    epilog=(
        "Begin with `innkeeper demo` (no Proxmox needed), or `innkeeper doctor` beside a Cluster manifest. "
        "Exit status: 0, or 1 after any error."
    ),
    context_settings=HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("validate")(validate.validate)
app.command("plan")(plan.plan)
app.command("apply")(apply.apply)
app.command("configure")(configure.configure)
app.command("status")(status.status)
app.command("import")(importing.import_)
app.command("convert")(convert.convert)
app.command("doctor")(doctor.doctor)
app.command("schema")(schema.schema)
app.command("crds")(operator.crds)
app.command("operator")(operator.operator)
app.command("login")(remote.login)
app.command("jobs")(remote.jobs)
app.command("job")(remote.job)
app.command("sync")(remote.sync)
app.command("approve")(remote.approve)
app.command("cancel")(remote.cancel)
app.command("rollback")(remote.rollback)
app.command("release")(remote.release)
app.command("logs")(remote.logs)
app.command("dev")(dev.dev)
app.add_typer(secrets.app, name="secrets")
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    server: str = typer.Option("", "--server", metavar="URL", help="Ask this server, not the manifests here."),
    version: bool = typer.Option(False, "--version", help="Show the version."),
) -> None:
    if server:  # each command that asks a server reads it from there, too
        os.environ["INNKEEPER_SERVER"] = server
    if version:
        from importlib.metadata import version as version_of

        typer.echo(f"innkeeper {version_of('innkeeper')}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> NoReturn:
    """Exit status: 0; 1 after any error (wrong usage too); 2 only from `plan --detailed-exitcode`."""
    # A command lives shortly and makes many lasting values: collecting seldom halves the time of large plans.
    gc.set_threshold(200_000, 20, 50)
    # Models have no plugins here; looking for some reads the metadata of every package that is installed.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Python's warnings speak to developers; a cancelled connection would end with one.
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    # What is worth telling is a finding; without a handler, logging would print some of it a second time.
    logging.getLogger("innkeeper").addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    sys.argv[1:] = _completed(sys.argv[1:])
    status = _run()
    gc.freeze()  # else the interpreter's end goes through every value of a large plan once more
    sys.exit(status)


def _run() -> int:
    try:
        status = app(prog_name="innkeeper", standalone_mode=False)
    except TyperException as error:
        show = getattr(error, "show", None)
        _say(str(error)) if show is None else show()
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError, typer.Abort):
        status = _INTERRUPTED
    except BrokenPipeError:
        # Who read our output went away (`| head`): nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return _failed(error)
    if status == _INTERRUPTED:  # typer, too, turns Ctrl-C into this
        _say("Interrupted.")
    return status if isinstance(status, int) else 0


def _completed(words: list[str]) -> list[str]:
    """`--wait` may stand without its seconds."""
    following = [*words[1:], ""]
    return [
        f"--wait={WAIT_SECONDS}" if word == "--wait" and not next_one.replace(".", "", 1).isdigit() else word
        for word, next_one in zip(words, following, strict=False)
    ]


def _failed(error: Exception) -> int:
    from innkeeper.engine.errors import EngineError

    if os.environ.get("INNKEEPER_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    elif isinstance(error, EngineError):
        _say(f"error: {error.message}" + (f"\n    {error.advice}" if error.advice else ""))
    elif isinstance(error, OSError) and error.filename is not None:  # a file that cannot be had is not our mistake
        _say(f"error: {error.filename}: {error.strerror}")
    else:
        _say(
            f"error: Innkeeper made a mistake ({type(error).__name__}). Please report it with the output of the same "
            "command under INNKEEPER_DEBUG=1."
        )
    return 1


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
