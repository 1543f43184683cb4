"""What all containers of a monorepo share: `globals.json`, and `config.json` with the cluster and its network."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from innkeeper.manifests.drafts import Draft
from innkeeper.manifests.formats.jsonfile import JsonFile, read_json
from innkeeper.manifests.formats.translated import Moves, Original, Traced
from innkeeper.manifests.formats.tree import Tree
from innkeeper.manifests.origins import finding
from innkeeper.manifests.validation import described
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.objects import Origin

_CONFIGS = ("local/config.local.json", "local/config.json", "config.json")
_GLOBALS = ("globals.local.json", "local/globals.local.json", "globals.json")
_PORT = 8006
_CLUSTER = "proxmox"


@dataclass
class Shared:
    """`config` is the first of its files that is there; `variables` are the shared ones, local ones over the others."""

    config: JsonFile | None = None
    globals: list[JsonFile] = field(default_factory=list)

    def word(self, name: str) -> str:
        """A setting of the network or the template: of config.json, else of globals.json (`BASE_GATEWAY`)."""
        for layer, keys in self._layers(name):
            here: object = layer.data
            for key in keys:
                here = here.get(key) if isinstance(here, dict) else None
            if isinstance(here, str | int) and not isinstance(here, bool) and str(here).strip():
                return str(here).strip()
        return ""

    def place(self, name: str) -> tuple[JsonFile, str] | None:
        """Where that setting stands."""
        for layer, keys in self._layers(name):
            path = ".".join(keys)
            if layer.find(path)[0] == path:
                return layer, path
        return None

    def _layers(self, name: str) -> Iterator[tuple[JsonFile, tuple[str, ...]]]:
        if self.config is not None:
            yield self.config, (name,)
            yield self.config, (_CLUSTER, name)
        for layer in self.globals:
            yield layer, (f"BASE_{name.upper()}",)

    @property
    def variables(self) -> dict[str, object]:
        found: dict[str, object] = {}
        for layer in reversed(self.globals):
            found |= layer.data
        return found


def read_shared(tree: Tree) -> tuple[Shared, list[Diagnostic]]:
    shared, found = Shared(), list[Diagnostic]()
    for path in (*_CONFIGS, *_GLOBALS):
        if path in _CONFIGS and shared.config is not None:
            continue
        text = tree.text(path)
        if text is None:
            continue
        read = read_json(tree.file(path), text)
        if isinstance(read, Diagnostic):
            found.append(read)
        elif path in _CONFIGS:
            shared.config = read
        else:
            shared.globals.append(read)
    return shared, found


def cluster(shared: Shared, root: str) -> Iterator[Draft | Diagnostic]:
    """The Cluster that config.json describes; its secret stays in that file, and only its place is taken over."""
    if shared.config is None or not isinstance(shared.config.data.get(_CLUSTER), dict):
        return
    host = _word(shared, "host")
    if not host:
        return
    address = f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host
    if not address.rpartition("]")[2].partition(":")[2]:
        address += f":{_PORT}"
    credentials = _credentials(shared, root)
    if isinstance(credentials, Diagnostic):
        yield credentials
        return
    moves: Moves = {
        "spec.endpoints": (shared.config, f"{_CLUSTER}.host"),
        "spec.credentials": (shared.config, _CLUSTER),
        "spec": (shared.config, _CLUSTER),
    }
    whole = shared.config.find(_CLUSTER)[1] or Location(shared.config.file)
    spec: dict[str, object] = {"endpoints": (f"https://{address}",), "credentials": credentials}
    yield from Original("Cluster", _CLUSTER, spec, Traced(whole, moves), base=root).drafted()


def _word(shared: Shared, name: str) -> str:
    """A word of the section `proxmox`."""
    assert shared.config is not None
    section = shared.config.data[_CLUSTER]
    value = section.get(name) if isinstance(section, dict) else None
    return value.strip() if isinstance(value, str) else ""


def _credentials(shared: Shared, root: str) -> dict[str, object] | Diagnostic:
    """A password comes before a token, as in the original: only root's own ticket may do everything."""
    assert shared.config is not None
    config = shared.config
    user, token = _word(shared, "user"), _word(shared, "token")
    place = Origin(Location(config.file), lambda path: config.find(path)[1])
    if not user:
        return finding("MissingField", place, f"{_CLUSTER}.user", "nobody to sign in as", "Write user: root@pam.")
    if _word(shared, "password") or not token:
        return {"username": user, "password": _secret(shared, root, "password")}
    if "!" not in token:
        token = f"{user}!{token}"
    if "=" in token:
        problem = f"{described(token.partition('=')[0] + '=…')} holds the secret, too"
        return finding("PlainSecret", place, f"{_CLUSTER}.token", problem, "Put what follows the = into secret.")
    return {"tokenID": token, "tokenSecret": _secret(shared, root, "secret")}


def _secret(shared: Shared, root: str, name: str) -> dict[str, str]:
    assert shared.config is not None
    if _word(shared, name):
        path = shared.config.file.removeprefix(root.rstrip("/") + "/")
        return {"file": path, "key": f"{_CLUSTER}.{name}"}
    return {"env": f"{_CLUSTER}_{name}".upper()}
