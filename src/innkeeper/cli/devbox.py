"""A directory with a `container.yaml` beside a cluster made for it: what `innkeeper dev` works on."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from innkeeper.cli.simulation import Simulation
from innkeeper.engine.errors import Stalled
from innkeeper.manifests.loading import Loaded, load
from innkeeper.manifests.writing import manifest, to_yaml
from innkeeper.manifests.yamltext import documents
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import ContainerNic, ContainerSpec
from innkeeper.model.objects import Guest

FILES = ("container.yaml", "container.yml")
_TEMPLATES = ("debian-12", "debian-13")
_IGNORED = frozenset({".git", "__pycache__", "node_modules", ".venv"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the manifest expects of the cluster around it."""

    cluster: str
    node: str
    bridges: tuple[str, ...]
    storages: tuple[str, ...]
    pools: tuple[str, ...]
    template: str


def manifest_file(directory: Path) -> Path:
    for name in FILES:
        if (directory / name).is_file():
            return directory / name
    raise Stalled(f"{directory} holds no container.yaml", "Name a directory that describes one container.")


def wanted(file: Path) -> Wanted:
    """Read without judging: what is wrong in the manifest is said when it is loaded."""
    spec = next((found for found in _specs(file.read_text(encoding="utf-8", errors="replace"))), {})

    def word(value: object, otherwise: str) -> str:
        return value if isinstance(value, str) else otherwise

    def words(*paths: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(found for path in paths for found in _texts(spec, path.split("."))))

    return Wanted(
        word(spec.get("cluster"), "dev"),
        word(spec.get("node"), "pve"),
        ("vmbr0", *(name for name in words("network.*.bridge") if name != "vmbr0")),
        ("dev", *(name for name in words("rootDisk.storage", "mounts.*.storage") if name not in ("dev", "local"))),
        words("pool"),
        word(spec.get("template"), "debian-12"),
    )


def recipe(template: str) -> tuple[str, bool]:
    """The template of real containers that stands for a manifest's: its name, and whether it is the fat one."""
    name = next((known for known in _TEMPLATES if known in template), _TEMPLATES[0])
    return name, "fat" in template


def seed(found: Wanted) -> str:
    """The cluster for it, as a seed of pvesim (JSON is YAML)."""
    name, fat = recipe(found.template)
    volume = f"local:vztmpl/{name}-{'fat' if fat else 'standard'}_{name[-2:]}.0-1_amd64.tar.zst"
    if found.template.startswith("local:"):
        volume = found.template
    body = {
        "version": "9.1.9",
        "cluster": {"name": found.cluster},
        "nodes": [{"name": found.node, "cpus": 8, "memory": "64Gi"}],
        "bridges": list(found.bridges),
        "storages": [
            {
                "storage": "local",
                "type": "dir",
                "path": "/var/lib/vz",
                "content": ["vztmpl", "iso", "images", "rootdir"],
            },
            *(
                {"storage": name, "type": "dir", "path": f"/mnt/{name}", "content": ["images", "rootdir"]}
                for name in found.storages
            ),
        ],
        "pools": [{"poolid": name} for name in found.pools],
        "volumes": [{"volid": volume, "size": 126_000_000}],
        "tokens": [{"tokenid": "root@pam!dev", "privsep": False}],
    }
    return json.dumps(body)


def cluster_file(place: Path, found: Wanted, simulated: Simulation) -> Path:
    """The Cluster manifest beside which the container is loaded."""
    defaults = {"storage": "dev", "bridge": found.bridges[0], "template": recipe(found.template)[0], "node": found.node}
    file = place / "cluster.yaml"
    file.write_text(to_yaml([manifest("Cluster", found.cluster, {**simulated.cluster, "defaults": defaults})]))
    return file


def loaded(file: Path, cluster: Path, address: str, gateway: str) -> Loaded:
    """The one container that is declared; it gets `address` (with prefix) where its manifest names no network.

    Other guests that it needs are not there, and are not waited for.
    """
    found = load([file, cluster])
    rest = tuple(item for item in found.diagnostics if item.code != "UnknownNeed")
    guests = found.declared.guests
    if len(guests) != 1 or not isinstance(guests[0].spec, ContainerSpec):
        problem = f"{file} declares {len(guests)} guests" if len(guests) != 1 else f"{guests[0].ref} is no Container"
        if not any(item.severity == "error" for item in rest):
            rest = (*rest, Diagnostic("error", "NotOneContainer", problem, "`innkeeper dev` is for one Container."))
        return replace(found, diagnostics=rest)
    guest = _ready(guests[0], guests[0].spec, address, gateway)
    return replace(found, declared=replace(found.declared, guests=(guest,)), diagnostics=rest)


def _ready(guest: Guest, spec: ContainerSpec, address: str, gateway: str) -> Guest:
    changes: dict[str, object] = {"needs": (), "running": True}
    if spec.network is None:
        changes["network"] = (ContainerNic.model_validate({"name": "eth0", "ip": address, "gateway": gateway}),)
    return replace(guest, spec=spec.model_copy(update=changes))


def state(directory: Path) -> str:
    """Changes whenever a file below the directory does."""
    whole = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if _IGNORED.intersection(path.relative_to(directory).parts):
            continue
        try:
            found = path.lstat()
        except OSError:
            continue
        whole.update(f"{path} {found.st_mtime_ns} {found.st_size}\n".encode())
    return whole.hexdigest()


def _specs(text: str) -> Iterator[Mapping[str, Any]]:
    for document in documents(text):
        value = document.value
        if isinstance(value, Mapping) and value.get("kind") == "Container" and isinstance(value.get("spec"), Mapping):
            yield value["spec"]


def _texts(value: object, path: Sequence[str]) -> Iterator[str]:
    if not path:
        if isinstance(value, str):
            yield value
    elif path[0] == "*":
        for item in value if isinstance(value, tuple) else ():
            yield from _texts(item, path[1:])
    elif isinstance(value, Mapping):
        yield from _texts(value.get(path[0]), path[1:])
