"""Which format a path is in, and all that it declares there."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from innkeeper.manifests.drafts import Draft
from innkeeper.manifests.files import STDIN, read
from innkeeper.manifests.formats.tree import Evaluate, Tree
from innkeeper.manifests.origins import finding
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin
from innkeeper.model.sources import Format

_MARKS: Mapping[Format, tuple[str, ...]] = {
    "container-monorepo": ("libs", "container.env", "config.env"),
    "app-projects": ("group_vars", "inventory", "inventories", "ansible"),
    "proxnix": ("config.json", "flake.nix"),
}
"""Formats that are a directory as a whole, by what lies in it; vitistack's are documents among others."""

Reader = tuple[Callable[[Tree], bool], Callable[[Tree], Iterator[Draft | Diagnostic]]]


@dataclass
class Translation:
    """What the paths declare in formats that are whole directories; `roots` are those paths."""

    drafts: list[Draft] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    roots: list[Path] = field(default_factory=list)

    def covers(self, file: str) -> bool:
        """Whether a file lies in a directory that was translated: what is not ours there is nobody's business."""
        return file != STDIN and any(Path(file).is_relative_to(root) for root in self.roots)


def translate(paths: Iterable[str | Path], format: Format | None, evaluate: Evaluate | None = None) -> Translation:  # noqa: A002 (the field's own word)
    """`format` None: as each path plainly is. A path that is of none of them is left alone."""
    found = Translation()
    for path in map(Path, paths):
        if str(path) == "-" or format in ("native", "vitistack") or not path.exists():
            continue
        if path.is_file():
            if path.suffix == ".json" and format in (None, "proxnix"):
                _take(found, path, _one_file(path))
            continue
        named = [format] if format is not None else _recognised(path)
        if len(named) > 1:
            problem = f"this could be {' or '.join(named)}"
            advice = f"Say which: --format {named[0]} (in a Source: format)."
            found.diagnostics.append(finding("AmbiguousFormat", Origin(Location(str(path))), "", problem, advice))
            found.roots.append(path)
        elif named:
            tree = Tree(path)
            _take(found, path, _reader(named[0], evaluate)[1](tree))
            found.diagnostics += tree.problems
            found.files += dict.fromkeys(tree.read)
    return found


def _take(found: Translation, path: Path, items: Iterator[Draft | Diagnostic]) -> None:
    found.roots.append(path)
    for item in items:
        if isinstance(item, Draft):
            found.drafts.append(item)
        else:
            found.diagnostics.append(item)


def _recognised(path: Path) -> list[Format]:
    """The formats that a directory plainly is in."""
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError:
        return []  # said by whoever reads its manifests
    marked = [name for name, marks in _MARKS.items() if names.intersection(marks)]
    return [name for name in marked if _reader(name)[0](Tree(path))]


def _reader(name: Format, evaluate: Evaluate | None = None) -> Reader:
    """What tells a format, and what translates it. Imported here: most directories are in none of them."""
    if name == "container-monorepo":
        from innkeeper.manifests.formats.monorepo import containers

        return containers.is_monorepo, containers.translate
    if name == "app-projects":
        from innkeeper.manifests.formats.appprojects import projects

        return projects.is_inventory, projects.translate
    from innkeeper.manifests.formats import proxnix

    return proxnix.is_proxnix, lambda tree: proxnix.translate(tree, evaluate)


def _one_file(path: Path) -> Iterator[Draft | Diagnostic]:
    from innkeeper.manifests.formats.proxnix import translate_text

    source = next(read([path]))
    if source.failure is not None:
        yield source.failure
    else:
        yield from translate_text(source.file, source.text, str(path.parent))
