"""Which format a path is in, and all that it declares there."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from innkeeper.manifests.drafts import Draft
from innkeeper.manifests.files import STDIN, read
from innkeeper.manifests.formats import proxnix
from innkeeper.manifests.formats.appprojects import projects
from innkeeper.manifests.formats.monorepo import containers
from innkeeper.manifests.formats.proxnix import Evaluate
from innkeeper.manifests.formats.tree import Tree
from innkeeper.manifests.origins import finding
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin
from innkeeper.model.sources import Format

_DIRECTORIES = {
    "container-monorepo": containers.is_monorepo,
    "app-projects": projects.is_inventory,
    "proxnix": proxnix.is_proxnix,
}
"""Formats that are a directory as a whole, by what tells them. vitistack's are documents among others."""


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
                _take(found, path, (item for item in _one_file(path)))
            continue
        tree = Tree(path)
        named = [format] if format is not None else [name for name, is_it in _DIRECTORIES.items() if is_it(tree)]
        if len(named) > 1:
            problem = f"this could be {' or '.join(named)}"
            advice = f"Say which: --format {named[0]} (in a Source: format)."
            found.diagnostics.append(finding("AmbiguousFormat", Origin(Location(str(path))), "", problem, advice))
            found.roots.append(path)
        elif named:
            tree = Tree(path)
            _take(found, path, _translated(named[0], tree, evaluate))
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


def _one_file(path: Path) -> Iterator[Draft | Diagnostic]:
    source = next(read([path]))
    if source.failure is not None:
        yield source.failure
    else:
        yield from proxnix.translate_text(source.file, source.text, str(path.parent))


def _translated(name: str, tree: Tree, evaluate: Evaluate | None) -> Iterator[Draft | Diagnostic]:
    if name == "proxnix":
        return proxnix.translate(tree, evaluate)
    return containers.translate(tree) if name == "container-monorepo" else projects.translate(tree)
