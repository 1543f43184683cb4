"""Containers that are git submodules: where each may come from, decided before anything is fetched. Pure.

A submodule's URL is written by whoever writes the repository. It is followed only to where the repository itself came
from (the same server and the same owner), or to a remote that was allowed by name.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from innkeeper.manifests.formats.tree import Tree
from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin

FILE = ".gitmodules"
_SECTION = re.compile(r'\[submodule "(?P<name>[^"\n]*)"\]')
_ENTRY = re.compile(r"(?P<key>[A-Za-z][A-Za-z0-9-]*)\s*=\s*(?P<value>.*)")
_SCP = re.compile(r"(?P<user>[A-Za-z0-9_.-]+@)?(?P<host>[A-Za-z0-9.-]+):(?P<path>(?!/)[^\s]+)")
_SAFE = re.compile(r"[A-Za-z0-9_.~/@:+\[\]-]+")
_SCHEMES = ("https", "http", "ssh", "git")


@dataclass(frozen=True, slots=True)
class Submodule:
    """`path` is where it lies in the repository; `line` where its section begins."""

    path: str
    url: str
    line: int


class Refused(Exception):
    """Why a submodule is not followed."""


def read_submodules(text: str) -> tuple[Submodule, ...]:
    """The sections of a `.gitmodules` that name a path; what else git writes there is passed over."""
    found: list[tuple[int, dict[str, str]]] = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if _SECTION.fullmatch(stripped):
            found.append((number, {}))
        elif found and (entry := _ENTRY.fullmatch(stripped)) is not None:
            found[-1][1].setdefault(entry["key"].lower(), entry["value"].strip().strip('"'))
    return tuple(Submodule(own["path"], own.get("url", ""), line) for line, own in found if "path" in own)


def resolved(submodule: Submodule, remote: str, allowed: Sequence[str] = ()) -> str:
    """The URL to fetch a submodule from. Refused where its path or its URL leads elsewhere.

    `remote` is the URL that the repository itself came from; `allowed` are prefixes of other ones.
    """
    check(submodule)
    url = _beside(remote, submodule.url) if _is_relative(submodule.url) else submodule.url
    server, path = _taken_apart(url)
    own_server, own_path = _taken_apart(remote)
    same = server == own_server and posixpath.dirname(path) == posixpath.dirname(own_path)
    if not same and not any(url == prefix or url.startswith(prefix.rstrip("/") + "/") for prefix in allowed):
        raise Refused(f"its URL {described(submodule.url)} is not where the repository itself comes from")
    return url


def check(submodule: Submodule) -> None:
    """Refused where no repository could allow this path or this URL."""
    parts = PurePosixPath(submodule.path).parts
    if not parts or submodule.path.startswith(("/", "-", "~")) or {"..", ".git"} & {part.lower() for part in parts}:
        raise Refused(f"its path {described(submodule.path)} leads out of the repository")
    url = submodule.url
    if not url or url.startswith("-") or not _SAFE.fullmatch(url) or "::" in url:
        raise Refused(f"its URL {described(url)} is not a plain one")
    if not _is_relative(url) and ".." in _taken_apart(url)[1].split("/"):
        raise Refused(f"its URL {described(url)} leads upwards")


def _is_relative(url: str) -> bool:
    return url.startswith(("./", "../"))


def _beside(remote: str, relative: str) -> str:
    """A relative URL as git takes it: from the repository's own URL, a step up for each `../`."""
    head, mark, path = _split(remote)
    joined = posixpath.normpath(posixpath.join(path.rstrip("/") or "/", relative))
    if joined == ".." or joined.startswith(("../", "/..")):
        raise Refused(f"its URL {described(relative)} leads above its server")
    return f"{head}{mark}{joined}"


def _split(url: str) -> tuple[str, str, str]:
    if "://" in url:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.netloc}", "", parts.path
    if (scp := _SCP.fullmatch(url)) is not None:
        return f"{scp['user'] or ''}{scp['host']}", ":", scp["path"]
    return "", "", url


def _taken_apart(url: str) -> tuple[str, str]:
    """The server and the path of a URL; who signs in does not count."""
    if "://" in url:
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise Refused(f"{described(parts.scheme)} is not how repositories are fetched")
        try:
            port = parts.port
        except ValueError:
            raise Refused(f"its URL {described(url)} has no valid port") from None
        return f"{parts.hostname}:{port or ''}", _path(parts.path)
    if (scp := _SCP.fullmatch(url)) is not None:
        return f"{scp['host']}:", _path(scp["path"])
    return "", _path(url)


def _path(path: str) -> str:
    return path.strip("/").removesuffix(".git")


def check_submodules(tree: Tree, libs: str) -> Iterator[Diagnostic]:
    """Containers that are declared as submodules and are not there, and submodules that lead elsewhere."""
    text = tree.text(FILE)
    if text is None:
        return
    for submodule in read_submodules(text):
        place = Origin(Location(tree.file(FILE), submodule.line))
        try:
            check(submodule)
        except Refused as error:
            yield finding(
                "UnsafeValue", place, "", f"this submodule is not followed: {error}", "Name a repository beside it."
            )
            continue
        if submodule.path.startswith(f"{libs}/") and not tree.files(submodule.path):
            advice = "Fetch it: git submodule update --init"
            yield finding("NotFound", place, "", f"the submodule {submodule.path} was not fetched", advice)
