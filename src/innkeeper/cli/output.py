"""How things are said: findings and JSON, in colour only on a terminal."""

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from innkeeper.model.diagnostics import Diagnostic

STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def console(*, stderr: bool = False) -> "Console":
    """Lines are never wrapped by us: a terminal wraps them itself, and files keep them whole."""
    from rich.console import Console  # a command that prints JSON does without

    return Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True, emoji=False)


def print_json(value: object, *, line: bool = False) -> None:
    """Indented for the eye, or one `line` of a stream of them."""
    sys.stdout.write(json.dumps(value, indent=None if line else 2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show_findings(out: "Console", findings: Iterable["Diagnostic"]) -> None:
    """`file:line:column: error Code: summary`, and below it what to do."""
    from rich.text import Text

    for item in findings:
        line = Text(f"{item.location}: " if item.location else "", style="bold")
        line.append(f"{item.severity} {item.code}: ", STYLES[item.severity])
        line.append(item.summary, "not bold")
        out.print(line)
        if item.detail:
            out.print(Text(f"    {item.detail}", "dim"))


def counted(number: int, word: str) -> str:
    """`1 guest`, `2 guests`."""
    return f"{number} {word}{'' if number == 1 else 's'}"
