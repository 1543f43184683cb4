"""The environment of one container: its file and those laid over it, each value with the file that it came from."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from innkeeper.manifests.formats.envfile import EnvFile, read_env
from innkeeper.manifests.formats.tree import Tree
from innkeeper.manifests.origins import finding
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin

STEMS = ("container", "config")
"""Today's name of the file, and its older one."""
ORGANISATION = "main"
"""The organisation that a container is deployed for where nothing else is said; other words are stages."""
_LAYER = re.compile(r"(?P<stem>container|config)\.(?P<word>[A-Za-z0-9][A-Za-z0-9_-]*)\.env")


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables of one container in one stage (`""`: none), the last layer's first."""

    stage: str
    layers: tuple[EnvFile, ...]

    def get(self, key: str) -> str:
        """A variable's value without blanks around it; empty where it is not given."""
        return next((layer.values[key].strip() for layer in self.layers if key in layer.values), "")

    def layer(self, key: str) -> EnvFile:
        """The file that gives a variable, else the topmost one."""
        return next((layer for layer in self.layers if key in layer.values), self.layers[0])

    def at(self, key: str) -> Origin:
        """Where a variable stands, else its file."""
        layer = self.layer(key)
        return Origin(Location(layer.file, layer.lines.get(key, 0)))

    @property
    def keys(self) -> Iterator[str]:
        return iter(dict.fromkeys(key for layer in reversed(self.layers) for key in layer.values))

    @property
    def own(self) -> EnvFile:
        """The file that makes this a container, or a stage of one."""
        return self.layers[0] if self.stage else self.layers[-1]


def environments(tree: Tree, directory: str) -> Iterator[Environment | Diagnostic]:
    """A container's environments: its own, and one for each stage that has a file. None where there is no file."""
    names = set(tree.files(directory))
    stems = [stem for stem in STEMS if f"{stem}.env" in names]
    if not stems:
        return
    if len(stems) == 2:
        place = Origin(Location(tree.file(_join(directory, "config.env"))))
        problem = "container.env stands beside it; they are two names of one file"
        yield finding("DuplicateFile", place, "", problem, "Keep container.env.")
        return
    stem = stems[0]
    words = {match["word"]: name for name in names if (match := _LAYER.fullmatch(name)) and match["stem"] == stem}
    read: dict[str, EnvFile] = {}
    for word, name in sorted({"": f"{stem}.env", **words}.items()):
        text = tree.text(_join(directory, name))
        if text is None:
            return  # said among the tree's problems
        read[word], found = read_env(tree.file(_join(directory, name)), text)
        yield from found
    yield Environment("", _over(read, ("", "local", ORGANISATION)))
    for stage in sorted(words.keys() - {"local", ORGANISATION}):
        yield Environment(stage, _over(read, ("", "local", stage)))


def _over(read: Mapping[str, EnvFile], words: tuple[str, ...]) -> tuple[EnvFile, ...]:
    return tuple(read[word] for word in reversed(words) if word in read)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory != "." else name
