"""Options that several commands share, each said once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from innkeeper.model.sources import Format as SourceFormat

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Configure(StrEnum):
    """When roles are run inside guests."""

    always = "always"
    changed = "changed"
    never = "never"


class Format(StrEnum):
    """How a command answers."""

    text = "text"
    json = "json"


Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PATH]...",
        help="Manifests: files, directories (searched recursively), or - for standard input.",
        show_default="the current directory",
    ),
]
In = Annotated[
    SourceFormat | None,
    typer.Option("--format", help="What the files are written for.", show_default="as they plainly are"),
]
Output = Annotated[Format, typer.Option("--output", "-o", help="Text for people, or one JSON object.")]
Source = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Who owns the guests of these manifests.",
        show_default="the only Source among them, else the git remote, else the directory's name",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="NAME", help="Leave all other guests alone; web or Container/web. Repeatable."),
]
Replace = Annotated[
    list[str] | None,
    typer.Option("--replace", metavar="NAME", help="Allow this guest to be deleted and made anew. Repeatable."),
]
Prune = Annotated[bool, typer.Option("--prune", help="Delete our own guests that are declared no more.")]
MaxDeletes = Annotated[
    int, typer.Option("--max-deletes", metavar="N", min=0, help="Prune nothing at all where it would be more.")
]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Take over guests that another source owns.")]
ConfigureWhen = Annotated[
    Configure,
    typer.Option("--configure", help="Run roles in guests: always, when something of them changed, or never."),
]
Project = Annotated[
    list[str] | None, typer.Option("--project", metavar="NAME", help="Only the guests of this Application. Repeatable.")
]
Environment = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="Only this environment of Applications. Repeatable."),
]
AllowIPConflicts = Annotated[
    bool, typer.Option("--allow-ip-conflicts", help="Go on where an address is in use already.")
]
Wait = Annotated[
    float | None,
    typer.Option("--wait", metavar="SECONDS", min=1, help="Wait until the guests are healthy, or fail; 300 by itself."),
]
WAIT_SECONDS = "300"
