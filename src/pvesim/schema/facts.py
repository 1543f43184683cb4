"""Reads the tables below `methods/`, one line a fact, into `Method` and `Param` values for one version.

    param   NAME TYPE WORDS          a parameter that many methods share; `= NAME …` in a method stands for it
    format  NAME                     the keys of a property string, one a line
    group   NAME                     parameters that several methods or formats share; `+ NAME` includes them
    VERB PATH [protected] [proxyto=P] [notoken] [open]
      ! RIGHTS                       all, world, root, or checks: `/vms/{vmid}: VM.Audit`, privileges joined by `,`
                                     (all) or `|` (one); and(A; B), or(A; B); `… if P`: only when parameter P was given
      NAME TYPE WORDS                TYPE ends in `?` when it may be left out; NAME[0..31] are net0 … net31

WORDS: LOW..HIGH (a number's limits), len=LOW..HIGH, enum=a|b, format=NAME (`:NAME`: the table of this package),
default=V, requires=P, when=P:a,b, of=ITEM (an array's items, commas for blanks), key (the default key), alias=P, as=P
and, last, pattern=REGEX. A line that begins with `8.4:` or `9.1:` is true of that version only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from pvesim.schema.types import Check, Method, Param

VERSIONS = ("8.4", "9.1")
VERBS = frozenset({"GET", "POST", "PUT", "DELETE"})
WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')
NUMBERED = re.compile(r"(.+)\[(\d+)\.\.(\d+)\]$")

Block = tuple[str, list[str]]  # a heading and its indented lines


def supported(version: str) -> str:
    """The version of the facts that speaks for `version` (such as `9.0.3`): the newest of the same major release."""
    major = version.partition(".")[0]
    return next((known for known in VERSIONS if known.startswith(major + ".")), VERSIONS[-1])


@cache
def load(version: str) -> Mapping[str, Method]:
    """Every method of a version by `VERB PATH`."""
    return _Reader(supported(version)).methods()


@cache
def table(version: str, name: str) -> Mapping[str, Param]:
    """The keys of the property string `name` (`lxc-net`, `qemu-scsi`, …); KeyError when there is none."""
    return _Reader(supported(version)).table(name)


@cache
def _blocks(version: str) -> tuple[Block, ...]:
    found: list[Block] = []
    for file in sorted(resources.files("pvesim.schema").joinpath("methods").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".txt"):
            continue
        for line in _lines_of(version, file.read_text("utf-8").splitlines()):
            if line.startswith(" "):
                found[-1][1].append(line.strip())
            else:
                found.append((line, []))
    return tuple(found)


def _lines_of(version: str, lines: Iterable[str]) -> Iterator[str]:
    """The lines that are true of that version; one that speaks of another version takes its indented lines along."""
    skipping = False
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        indented = line.startswith(" ")
        if skipping and indented:
            continue
        only, colon, rest = text.partition(": ")
        if colon and only in VERSIONS:
            skipping = not indented and only != version
            if only == version:
                yield f"  {rest.strip()}" if indented else rest.strip()
            continue
        skipping = False
        yield line


class _Reader:
    """One version's blocks, sorted by what they define."""

    def __init__(self, version: str) -> None:
        self._shared: dict[str, Param] = {}
        self._tables: dict[str, Mapping[str, Param]] = {}
        self._lists: dict[tuple[str, str], list[str]] = {}
        self._methods: list[Block] = []
        for heading, lines in _blocks(version):
            kind, _, rest = heading.partition(" ")
            if kind in VERBS:
                self._methods.append((heading, lines))
            elif kind == "param":
                param = self._param(rest)
                self._shared[param.name] = param
            else:
                self._lists[kind, rest.strip()] = lines

    def methods(self) -> Mapping[str, Method]:
        return {f"{found.verb} {found.path}": found for found in map(self._method, self._methods)}

    def table(self, name: str) -> Mapping[str, Param]:
        if name not in self._tables:
            self._tables[name] = self._params(self._lists["format", name])
        return self._tables[name]

    def _params(self, lines: Iterable[str]) -> dict[str, Param]:
        params: dict[str, Param] = {}
        for line in lines:
            sign, _, rest = line.partition(" ")
            if sign == "=":
                params |= {name: self._shared[name] for name in rest.split()}
            elif sign == "+":
                params |= self._params(self._lists["group", rest.strip()])
            elif sign != "!":
                param = self._param(line)
                params |= {name: _renamed(param, name) for name in _names(param.name)}
        return params

    def _method(self, block: Block) -> Method:
        heading, lines = block
        verb, path, *words = heading.split()
        params = self._params(lines)
        user, check = _rights(next((line[2:] for line in lines if line.startswith("! ")), "root"))
        return Method(
            verb,
            path,
            params,
            user,
            check,
            protected="protected" in words,
            proxyto=next((word[8:] for word in words if word.startswith("proxyto=")), None),
            allow_token="notoken" not in words,
            open="open" in words,
            required=tuple(name for name, param in params.items() if not param.optional and not param.alias),
        )

    def _param(self, line: str) -> Param:
        line, _, pattern = line.partition(" pattern=")
        name, *words = WORD.findall(line)
        values: dict[str, Any] = {"type": "any"} | ({"pattern": pattern} if pattern else {})
        for word in words:
            values |= self._word(word)
        return Param(name, **values)

    def _word(self, word: str) -> dict[str, Any]:
        key, equals, value = word.partition("=")
        value = value.strip('"')
        if not equals:
            return _bare(word)
        match key:
            case "len":
                low, high = value.split("..")
                return {"min_length": int(low) if low else None, "max_length": int(high) if high else None}
            case "enum":
                return {"enum": tuple(value.split("|"))}
            case "format":
                name = value.removeprefix(":")
                named = ("format", name) in self._lists
                return {"format": value, "table": self.table(name) if named else None}
            case "of":
                return {"items": self._param(f"items {value.replace(',', ' ')}")}
            case "when":
                owner, _, variants = value.partition(":")
                return {"when": (owner, tuple(variants.split(",")))}
            case "as":
                return {"alias_as": value}
            case _:
                return {key: value}


def _bare(word: str) -> dict[str, Any]:
    if word == "key":
        return {"key": True}
    if ".." in word:
        low, high = word.split("..")
        return {"minimum": float(low) if low else None, "maximum": float(high) if high else None}
    return {"type": word.removesuffix("?"), "optional": word.endswith("?")}


def _names(name: str) -> list[str]:
    numbered = NUMBERED.match(name)
    if not numbered:
        return [name]
    base, low, high = numbered.groups()
    return [f"{base}{number}" for number in range(int(low), int(high) + 1)]


def _renamed(param: Param, name: str) -> Param:
    if param.name == name:
        return param
    return Param(name, *(getattr(param, field) for field in Param.__slots__[1:]))


def _rights(text: str) -> tuple[str | None, Check | None]:
    if text == "root":
        return None, None
    user, both, checks = text.partition(" & ")
    if user in ("all", "world"):
        return user, _check(checks) if both else None
    return None, _check(text)


def _check(text: str) -> Check:
    text = text.strip()
    for kind in ("and", "or"):
        if text.startswith(f"{kind}(") and text.endswith(")"):
            return (kind, *map(_check, _split(text[len(kind) + 1 : -1])))
    first, _, rest = text.partition(" ")
    if first == "userid-param" or first == "perm-modify":
        return first, rest
    if first == "userid-group":
        privs, groups, value = rest.partition(" groups=")
        return (first, _words(privs), *(("groups_param", value) if groups else ()))
    path, _, rest = text.partition(": ")
    privs, only, needed = rest.partition(" if ")
    return (
        "perm",
        path,
        _words(privs),
        *(("any", 1) if "|" in privs else ()),
        *(("require_param", needed) if only else ()),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,|\s]+", text) if word)


def _split(text: str) -> list[str]:
    """The parts between `;` outside of parentheses."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "(") - (char == ")")
        if char == ";" and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]
