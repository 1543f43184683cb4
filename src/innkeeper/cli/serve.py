"""`innkeeper serve`: the server that keeps clusters day and night, with its portal."""

import os
from pathlib import Path
from typing import Annotated

import typer


def serve(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where the portal answers; port 0: a free one.")
    ] = "127.0.0.1:8080",
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Where the server keeps what is its own.")] = Path(
        "innkeeper-data"
    ),
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="PATH", help="A file or directory of Cluster, Source and Server manifests."),
    ] = None,
    database: Annotated[
        str,
        typer.Option(
            "--database", metavar="URL", help="postgresql://… for several replicas. Left out: SQLite in --data."
        ),
    ] = "",
) -> None:
    """Keep clusters as their git repositories declare them. A portal shows people what is done, and why.

    \b
    Examples:
      innkeeper serve
      innkeeper serve --listen 0.0.0.0:8080 --data /var/lib/innkeeper --config /etc/innkeeper

    Prints one line of JSON when it is ready: url, and setup, a link that makes the first admin and works once.
    """
    need_libraries()
    from innkeeper.serving.server import serve as run
    from innkeeper.serving.settings import read_settings

    run(read_settings(data, config, database or os.environ.get("INNKEEPER_DATABASE", ""), os.environ), listen)


def need_libraries() -> None:
    """Stalled where the extra `server` is not installed."""
    from importlib.util import find_spec

    from innkeeper.engine.errors import Stalled

    if find_spec("fastapi") is None or find_spec("sqlalchemy") is None:
        raise Stalled(
            "the server's libraries are not installed", "pip install 'innkeeper[server]', in a clone: '.[server]'"
        )
