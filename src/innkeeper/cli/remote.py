"""The commands that ask a server: what it keeps, what it does, and to do something."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from innkeeper.cli.options import Format, Output

if TYPE_CHECKING:
    from innkeeper.cli.remoteclient import Remote

Server = Annotated[
    str | None, typer.Option("--server", metavar="URL", envvar="INNKEEPER_SERVER", help="The server to ask.")
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", metavar="FILE", envvar="INNKEEPER_CA_FILE", help="Trust only what this authority signed (PEM)."
    ),
]
JobNumber = Annotated[int, typer.Argument(metavar="JOB", help="The job's number.", min=1, show_default="required")]
SourceName = Annotated[str, typer.Argument(metavar="SOURCE", help="The source's name.", show_default="required")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Stay until the job has ended, and show its log.")]
_PAGE = 1000


def login(
    setup: Annotated[
        str | None,
        typer.Option("--setup", metavar="LINK", help="Make the first admin by the link of a server's first start."),
    ] = None,
    server: Server = None,
    ca_file: CaFile = None,
) -> None:
    """Keep a personal token for a server. It stands in a file that only you can read.

    \b
    Examples:
      innkeeper --server https://innkeeper.example.org login
      innkeeper --server https://innkeeper.example.org login < token.txt
      innkeeper login --setup "$(jq -r .setup ready.json)"

    Make the token in the portal's settings. --setup asks for a name and a password instead, makes the first admin, and
    keeps a token with the role operator. Without a terminal all of them are lines of the standard input.
    INNKEEPER_TOKEN in the environment comes before what is kept.
    """
    from innkeeper.cli.remoteclient import address, connected, keep
    from innkeeper.engine.errors import Stalled

    if setup is None:
        url, token = address(server), _hidden("Token: ").strip()
    else:
        from innkeeper.cli.remotesetup import first_token, parts_of

        parts_of(setup)  # nobody is asked in vain
        name = _answer("Name: " if sys.stdin.isatty() else "")
        password = _hidden("Password: ")
        if sys.stdin.isatty() and _hidden("Once more: ") != password:
            raise Stalled("these are two passwords", "nothing was done: type the same one twice")
        url, token = first_token(setup, ca_file, name, password)
    with connected(url, ca_file, token or "-") as remote:
        me = remote.get("/me")
    path = keep(url, token)
    typer.echo(f"Signed in to {url} as {me['name']}, with the role {me['role']}. The token is kept in {path}.")


def guests(server: str, ca_file: Path | None, output: Format) -> None:
    """`innkeeper status` of all guests that a server keeps, and of sources that do not go their way."""
    from innkeeper.cli.remoteshow import guest_lines, source_lines

    def all_of(remote: "Remote") -> dict[str, Any]:
        found: list[Any] = []
        while True:
            page = remote.get("/guests", limit=_PAGE, offset=len(found))
            found += page["guests"]
            if not page["guests"] or len(found) >= page["total"]:
                return {"guests": found, "sources": remote.get("/sources")}

    def lines(found: Any) -> list[Any]:
        return [*guest_lines(found["guests"]), *source_lines(found["sources"])]

    _show(server, ca_file, output, all_of, lines)


def jobs(
    state: Annotated[
        list[str] | None, typer.Option("--state", metavar="STATE", help="Only in this state. Repeatable.")
    ] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only of this source.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=500, help="How many at most.")] = 20,
    server: Server = None,
    ca_file: CaFile = None,
    output: Output = Format.text,
) -> None:
    """List a server's jobs, newest first.

    \b
    Examples:
      innkeeper jobs
      innkeeper jobs --state waiting --source lab
    """
    from innkeeper.cli.remoteshow import job_table

    _show(
        server,
        ca_file,
        output,
        lambda remote: remote.get("/jobs", state=state, source=source, limit=limit),
        job_table,
    )


def job(number: JobNumber, server: Server = None, ca_file: CaFile = None, output: Output = Format.text) -> None:
    """Show one job of a server. Its state, its plan, and what it waits for.

    \b
    Example:
      innkeeper job 12
    """
    from innkeeper.cli.remoteshow import job_lines

    _show(server, ca_file, output, lambda remote: remote.get(f"/jobs/{number}"), job_lines)


def sync(
    source: SourceName,
    revision: Annotated[str, typer.Option("--revision", metavar="COMMIT", help="Instead of the newest.")] = "",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Leave all other guests alone. Repeatable.")
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option("--replace", metavar="NAME", help="Allow this guest to be made anew. Repeatable."),
    ] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Delete its own guests that are declared no more.")] = False,
    follow: Follow = False,
    server: Server = None,
    ca_file: CaFile = None,
    output: Output = Format.text,
) -> None:
    """Let a server sync one source. It brings the guests to what git declares.

    \b
    Examples:
      innkeeper sync lab --follow
      innkeeper sync lab --only Container/web
    """
    body = {
        "revision": revision,
        "only": list(only or ()),
        "replace": list(replace or ()),
        "prune": prune,
    }
    _begin(server, ca_file, output, f"/sources/{quote(source, safe='')}/sync", body, follow)


def rollback(
    source: SourceName,
    revision: Annotated[str, typer.Argument(metavar="REVISION", help="Where to go back to.", show_default="required")],
    snapshot: Annotated[bool, typer.Option("--snapshot", help="Take snapshots of what it touches first.")] = False,
    follow: Follow = False,
    server: Server = None,
    ca_file: CaFile = None,
    output: Output = Format.text,
) -> None:
    """Let a server roll one source back to an earlier revision. Its plan waits for an approval.

    \b
    Example:
      innkeeper rollback lab 1f3c2a9
    """
    body = {"to": revision, "snapshot": snapshot}
    _begin(server, ca_file, output, f"/sources/{quote(source, safe='')}/rollback", body, follow)


def release(source: SourceName, server: Server = None, ca_file: CaFile = None, output: Output = Format.text) -> None:
    """Let a rolled back source follow its branch again.

    \b
    Example:
      innkeeper release lab
    """
    path = f"/sources/{quote(source, safe='')}/release"

    def lines(found: Any) -> list[str]:
        return [f"{found['name']} follows {found['branch']} again."]

    _show(server, ca_file, output, lambda remote: remote.post(path), lines)


def approve(
    number: JobNumber,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    digest: Annotated[
        str | None, typer.Option("--digest", metavar="DIGEST", help="Approve only exactly this plan.")
    ] = None,
    destroy: Annotated[
        list[str] | None,
        typer.Option("--destroy", metavar="NAME", help="A guest that the plan destroys, or takes back. Repeatable."),
    ] = None,
    follow: Follow = False,
    server: Server = None,
    ca_file: CaFile = None,
    output: Output = Format.text,
) -> None:
    """Let the plan go that a job waits with. Shows it and asks first; guests that it destroys are named.

    \b
    Examples:
      innkeeper approve 12
      innkeeper approve 12 --yes --digest "$(innkeeper job 12 -o json | jq -r .digest)" --destroy web
    """
    from innkeeper.cli.output import console
    from innkeeper.cli.remoteclient import connected
    from innkeeper.cli.remoteshow import destroyed, job_lines, taken_back
    from innkeeper.engine.errors import Stalled

    if output is Format.json and not yes:
        raise Stalled("-o json asks nothing", "agree with --yes")
    with connected(server, ca_file) as remote:
        found = remote.get(f"/jobs/{number}")
        if found["state"] != "waiting":
            raise Stalled(f"job {number} does not wait for an approval: it is {found['state']}", "innkeeper jobs")
        names = list(destroy or ())
        if not yes:
            for line in job_lines(found):
                console().print(line)
            lost = {name: f"This takes {name} back to a snapshot" for name in taken_back(found)}
            for name, what in (lost | {name: f"This destroys {name}" for name in destroyed(found)}).items():
                if name not in names and _answer(f"{what}. Type its name: ") == name:
                    names.append(name)
            if _answer("Approve this plan? [y/N] ").lower() not in ("y", "yes"):
                console(stderr=True).print("Nothing was done.")
                raise typer.Exit(1)
        done = remote.post(f"/jobs/{number}/approve", {"digest": digest or found["digest"], "names": names})
        _told(remote, done, output, follow)


def cancel(number: JobNumber, server: Server = None, ca_file: CaFile = None, output: Output = Format.text) -> None:
    """Stop a server's job at a safe point.

    \b
    Example:
      innkeeper cancel 12
    """
    _begin(server, ca_file, output, f"/jobs/{number}/cancel", {}, False)


def logs(
    number: JobNumber,
    follow: Follow = False,
    server: Server = None,
    ca_file: CaFile = None,
    output: Output = Format.text,
) -> None:
    """Show the log of a server's job.

    \b
    Examples:
      innkeeper logs 12
      innkeeper logs -f 12

    With --follow, JSON is one line of the log a line, and the exit status tells how the job ended.
    """
    from innkeeper.cli.output import console, print_json
    from innkeeper.cli.remoteclient import connected
    from innkeeper.cli.remoteshow import log_line

    with connected(server, ca_file) as remote:
        if follow:
            ended = _followed(remote, number, output)
            raise typer.Exit(0 if ended in ("succeeded", "waiting") else 1)
        found = remote.get(f"/jobs/{number}/logs", limit=5000)
    if output is Format.json:
        print_json(found)
    else:
        for line in found:
            console().print(log_line(line))


def _show(
    server: str | None,
    ca_file: Path | None,
    output: Format,
    ask: "Callable[[Remote], Any]",
    lines: Callable[[Any], Any],
) -> None:
    from innkeeper.cli.output import console, print_json
    from innkeeper.cli.remoteclient import connected

    with connected(server, ca_file) as remote:
        found = ask(remote)
    if output is Format.json:
        print_json(found)
    else:
        for line in lines(found):
            console().print(line)


def _begin(
    server: str | None, ca_file: Path | None, output: Format, path: str, body: dict[str, object], follow: bool
) -> None:
    from innkeeper.cli.remoteclient import connected

    with connected(server, ca_file) as remote:
        _told(remote, remote.post(path, body), output, follow)


def _told(remote: "Remote", found: Any, output: Format, follow: bool) -> None:
    """The job that was made; with `follow` its log, and exit status 1 where it did not end well."""
    from innkeeper.cli.output import console, print_json
    from innkeeper.cli.remoteshow import job_lines

    if follow:
        state = _followed(remote, found["id"], output)
        raise typer.Exit(0 if state in ("succeeded", "waiting") else 1)
    if output is Format.json:
        print_json(found)
        return
    for line in job_lines(found):
        console().print(line)


def _followed(remote: "Remote", number: int, output: Format) -> str:
    """The state that the job ended in, or waits in for an approval."""
    from innkeeper.cli.output import console, print_json
    from innkeeper.cli.remoteshow import job_lines, log_line

    after = 0
    while True:
        for name, data in remote.follow(f"/jobs/{number}/logs/follow?after={after}"):
            if name == "log":
                after = data["number"]
                print_json(data, line=True) if output is Format.json else console().print(log_line(data))
            elif name in ("end", "waiting"):
                for line in job_lines(data) if output is Format.text else ():
                    console().print(line)
                return str(data["state"])


def _hidden(question: str) -> str:
    """A secret: typed unseen, or the next line of the standard input."""
    import getpass

    return getpass.getpass(question) if sys.stdin.isatty() else sys.stdin.readline().removesuffix("\n")


def _answer(question: str) -> str:
    sys.stdout.write(question)
    sys.stdout.flush()
    return sys.stdin.readline().strip()
