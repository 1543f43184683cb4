"""What `pvesim` can do besides serving: build templates, check this machine, clean up."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from pvesim.backends.lxc import clean, needs
from pvesim.errors import TaskFailed
from pvesim.template import build, cache, recipe


def main(arguments: list[str]) -> int:
    """Exit status 0, 1 where the doctor finds something missing, 2 for an error."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except (recipe.RecipeError, needs.NeedsError, TaskFailed, OSError) as error:
        print(f"pvesim: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pvesim")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    template = verbs.add_parser("template", help="templates that real containers are made from")
    inner = template.add_subparsers(required=True, metavar="COMMAND")
    made = inner.add_parser("build", help="build one, unless it is built already")
    made.add_argument("name", choices=sorted(recipe.CODENAMES), help="the system")
    made.add_argument("--fat", action="store_true", help="with web server, database, cron and firewall in it")
    made.add_argument("--output", type=Path, metavar="DIR", help="put a copy there")
    made.set_defaults(run=_build)
    inner.add_parser("list", help="which are built").set_defaults(run=_list)
    verbs.add_parser("doctor", help="can this machine run real containers?").set_defaults(run=_doctor)
    cleaner = verbs.add_parser("clean", help="remove what a pvesim that was killed has left")
    cleaner.add_argument("--state", type=Path, metavar="DIR", help="of that directory, which goes too")
    cleaner.set_defaults(run=_clean)
    return parser


def _build(options: argparse.Namespace) -> int:
    began = time.monotonic()
    path, made = build.build(recipe.find(options.name, fat=options.fat), options.output)
    size = path.stat().st_size / 2**20
    took = f"built in {time.monotonic() - began:.0f} s" if made else "built already"
    _say(f"{path} ({size:.0f} MiB, {took})")
    return 0


def _list(_: argparse.Namespace) -> int:
    for path in cache.archives():
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
        _say(f"{path.name.rpartition('_')[0]:<16} {path.stat().st_size / 2**20:>5.0f} MiB  {when}  {path}")
    return 0


def _doctor(_: argparse.Namespace) -> int:
    found = needs.check()
    for need in found:
        _say(f"{'ok' if need.met else 'missing':<8} {need.name}" + ("" if need.met else f": {need.advice}"))
    return 0 if all(need.met for need in found) else 1


def _clean(options: argparse.Namespace) -> int:
    for home in [options.state] if options.state else clean.left_behind():
        count = clean.clean(home)
        _say(f"{home}: removed, {count} container{'' if count == 1 else 's'} ran")
    return 0


def _say(line: str) -> None:
    print(line)  # noqa: T201
