"""The reference of commands, of manifests and of the simulator's methods, from the code that they are made of."""

import tomllib
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from innkeeper.cli.program import app
from innkeeper.manifests.vocabulary import Vocabulary, vocabulary
from innkeeper.model.applications import ApplicationSpec
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.images import ImageSpec
from innkeeper.model.objects import ClusterSpec, Metadata, ProfileSpec
from innkeeper.model.server import ServerSpec
from innkeeper.model.sources import SourceSpec
from pvesim.api.router import Router

_VERBS = ["GET", "POST", "PUT", "DELETE"]
_MODELS: dict[str, type[BaseModel]] = {
    "metadata": Metadata,
    "Cluster": ClusterSpec,
    "Container": ContainerSpec,
    "VirtualMachine": VirtualMachineSpec,
    "Profile": ProfileSpec,
    "Image": ImageSpec,
    "Application": ApplicationSpec,
    "Source": SourceSpec,
    "Server": ServerSpec,
}
_WORDS: dict[str, Any] = tomllib.loads((Path(__file__).parent / "fields.toml").read_text(encoding="utf-8"))


def commands() -> str:
    """A section for each command: usage, what it does, examples, arguments and options."""
    group: Any = typer.main.get_command(app)
    return "\n".join(line for name, command in _all(group, "") for line in _command(name, command))


def _all(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _all(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _command(name: str, command: Any) -> Iterator[str]:
    head, _, rest = command.help.partition("\n")
    yield from (f"## innkeeper {name}", "", f"`{_usage(name, command)}`", "", head, "")
    for paragraph in filter(None, (part.strip("\n") for part in rest.split("\n\n"))):
        lines = paragraph.replace("\b\n", "").splitlines()
        if lines[0].startswith(("Example", "  ")):
            indented = [line.strip() for line in lines if line.startswith("  ")]
            yield from ("```text", *indented, "```", "")
        else:
            yield from (" ".join(lines), "")
    rows = [_parameter(item) for item in command.params if item.name != "help"]
    if rows:
        yield from ("| | | default |", "|---|---|---|", *rows, "")


def _usage(name: str, command: Any) -> str:
    words = ["innkeeper", name]
    words += ["[OPTIONS]"] if any(item.opts[0].startswith("-") for item in command.params) else []
    words += [item.metavar for item in command.params if not item.opts[0].startswith("-")]
    return " ".join(words)


def _parameter(item: Any) -> str:
    if not item.opts[0].startswith("-"):
        return f"| `{item.metavar}` | {item.help or 'Guests by their vmid.'} | {item.show_default} |"
    metavar = item.metavar or ""
    default: object = item.default
    if isinstance(default, Enum):
        metavar, default = "|".join(str(one.value) for one in type(default)), default.value
    names = ", ".join(f"`{one}`" for one in sorted(item.opts, key=len, reverse=True))
    shown = (
        item.show_default if isinstance(item.show_default, str) else "" if default in (None, False) else str(default)
    )
    return f"| {names}{f' `{metavar}`' if metavar else ''} | {item.help} | {shown} |".replace(
        "text|json", "text\\|json"
    )


def fields(kind: str) -> str:
    """A row for each field: what goes there with its unit and limits, the default, what it means."""
    model = _MODELS[kind]
    lines = ["| field | what goes there | default | meaning |", "|---|---|---|---|"]
    lines += [_row(kind, model, path) for path in _paths(vocabulary(model), []) if _of_its_own(kind, path)]
    return "\n".join(lines)


def _of_its_own(kind: str, path: Sequence[str]) -> bool:
    """Whether a field has to be told here: an Application and its environments have all fields of a Container."""
    if kind != "Application":
        return True
    field = path[2] if len(path) > 2 and path[0] == "environments" else path[0]
    return field not in vocabulary(ContainerSpec).fields([])


def _paths(words: Vocabulary, base: list[str]) -> Iterator[list[str]]:
    """Every field below `base`; `0` stands for the items of a list."""
    for name in words.fields(base):
        path = [*base, name]
        yield path
        inner = [*path, "0"] if words.fields([*path, "0"]) else path
        yield from _paths(words, inner)


def _row(kind: str, model: type[BaseModel], path: Sequence[str]) -> str:
    words = vocabulary(model)
    node = words.node(path) or {}
    shown = _shown(words, path)
    allowed = words.allowed(path).partition(" with the fields ")[0]
    items = words.allowed([*path, "0"])
    if allowed == "a list" and items != "nothing here" and not words.fields([*path, "0"]):
        allowed = f"a list; each {items}"
    return f"| `{shown}` | {_cell(allowed)} | {_default(words, path, node)} | {_meaning(kind, shown)} |"


def _shown(words: Vocabulary, path: Sequence[str]) -> str:
    """`network[].ip` for what is in a list, `allowed.*.min` for what is in a map of free names."""
    text = path[0]
    for index, part in enumerate(path[1:], 1):
        listed = "array" in words.kinds(path[:index])
        text += ("[]" if listed else ".*") if part == "0" else f".{part}"
    return text


def _default(words: Vocabulary, path: Sequence[str], node: dict[str, Any]) -> str:
    default = node.get("default")
    if "default" not in node and "$ref" not in node:
        return "required"
    if default in (None, [], {}) or isinstance(default, dict):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _meaning(kind: str, field: str) -> str:
    for group in (kind, "guest"):
        if field in _WORDS.get(group, {}):
            return str(_WORDS[group][field])
    raise SystemExit(f"scripts/fields.toml says nothing about {field} of {kind}")


def methods() -> str:
    """What `pvesim` serves, a row for each path; methods that one version lacks say so."""
    served = {version: Router(version).served for version in ("8.4", "9.1")}
    by_path: dict[str, list[str]] = {}
    for name in sorted(
        served["8.4"] | served["9.1"], key=lambda name: (name.split()[1], _VERBS.index(name.split()[0]))
    ):
        verb, path = name.split()
        only = [version for version, known in served.items() if f"{verb} {path}" in known]
        by_path.setdefault(path, []).append(verb if len(only) == len(served) else f"{verb} ({only[0]})")
    rows = [f"| `{path}` | {', '.join(verbs)} |" for path, verbs in by_path.items()]
    return "\n".join(["| path | methods |", "|---|---|", *rows])
