"""The page of diagnostics: every code that the source can say, with what it means and what to do.

The words stand in `diagnostics.toml`. A code of the source without words is an error, and so are words without a code.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1] / "src/innkeeper"
_WORDS = tomllib.loads((Path(__file__).parent / "diagnostics.toml").read_text(encoding="utf-8"))
_CAMEL = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]*)+")


def diagnostics() -> str:
    """A table for each group of codes."""
    _complete()
    lines: list[str] = []
    for group in _WORDS["group"]:
        lines += [
            f"### {group['title']}",
            "",
            group["about"],
            "",
            "| code | severity | means | do |",
            "|---|---|---|---|",
        ]
        lines += (
            f'| <a id="{code}"></a>`{code}` | {" | ".join(words)} |' for code, words in sorted(group["codes"].items())
        )
        lines.append("")
    return "\n".join(lines)


def conditions() -> str:
    """The conditions of `innkeeper status`, each with its reasons."""
    rows = (f"| `{name}` | {' | '.join(words)} |" for name, words in sorted(_WORDS["conditions"].items()))
    return "\n".join(["| condition | reasons | means |", "|---|---|---|", *rows])


def _complete() -> None:
    spoken = set(_in_source())
    codes = {code for group in _WORDS["group"] for code in group["codes"]}
    others = set(_WORDS["others"]) | set(_WORDS["conditions"])
    others |= set(re.findall(r"[A-Z]\w+", " ".join(words[0] for words in _WORDS["conditions"].values())))
    if silent := sorted(spoken - codes - others):
        raise SystemExit(f"scripts/diagnostics.toml says nothing about {', '.join(silent)}")
    if unknown := sorted(code for code in codes - spoken if not _built(code)):
        raise SystemExit(f"scripts/diagnostics.toml knows {', '.join(unknown)}, the source does not")


def _built(code: str) -> bool:
    """`UnknownNode` and its like are put together: `f"Unknown{kind}"`; short ones are no CamelCase."""
    return code.startswith("Unknown") or any(f'"{code}"' in text for text in _texts())


def _in_source() -> Iterator[str]:
    for text in _texts():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CAMEL.fullmatch(node.value):
                yield node.value


def _texts() -> list[str]:
    skipped = tuple(_PACKAGE / part for part in _WORDS["elsewhere"])
    files = (file for file in sorted(_PACKAGE.rglob("*.py")) if not any(file.is_relative_to(part) for part in skipped))
    return [file.read_text(encoding="utf-8") for file in files]
