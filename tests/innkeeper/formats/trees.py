"""Small directories for tests: written from a mapping, read with a cluster beside."""

from collections.abc import Mapping
from pathlib import Path

from innkeeper.manifests.loading import Loaded, load
from innkeeper.model.objects import Guest
from innkeeper.model.sources import Format

CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {name: home}
spec:
  endpoints: [https://pve.example.org:8006]
  credentials: {tokenID: a@pam!b, tokenSecret: {env: SECRET}}
"""


def written(root: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        place = root / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def loaded(root: Path, files: Mapping[str, str | bytes], form: Format | None = None) -> Loaded:
    """The directory's objects, with a cluster of the test's own beside it."""
    source = written(root / "source", files)
    cluster = written(root, {"cluster.yaml": CLUSTER}) / "cluster.yaml"
    return load([source, cluster], form)


def only(found: Loaded) -> Guest:
    assert found.ok, [f"{item.location} {item.code} {item.summary}" for item in found.diagnostics]
    (guest,) = found.declared.guests
    return guest


def errors(found: Loaded) -> list[str]:
    """`file:line code: summary`, for findings that are errors."""
    wrong = [item for item in found.diagnostics if item.severity == "error"]
    return [
        f"{Path(item.location.file).name if item.location else ''}:{item.location.line if item.location else 0} "
        f"{item.code}: {item.summary}"
        for item in wrong
    ]
