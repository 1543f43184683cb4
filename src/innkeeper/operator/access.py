"""An open way to one Proxmox cluster.

A secret's value is held in memory and nowhere else. Certificates and keys of SSH go to files of a private directory,
because the libraries read files.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import ValidationError

from innkeeper.engine.errors import EngineError, Stalled
from innkeeper.model.diagnostics import Location
from innkeeper.model.objects import Cluster, ClusterSpec, Origin
from innkeeper.operator.placing import Allowed
from innkeeper.operator.ways import Way
from innkeeper.proxmox.hypervisor import Proxmox


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """`digest` changes with the credentials and with the object's spec; `folder` holds the files."""

    cluster: Cluster
    allowed: Allowed
    digest: str
    hypervisor: Proxmox
    folder: TemporaryDirectory[str]

    async def close(self) -> None:
        await self.hypervisor.close()
        self.folder.cleanup()


def opened(found: Way) -> Access:
    """The access that a way describes; no call is made yet."""
    folder = TemporaryDirectory(prefix="innkeeper-")
    try:
        cluster = _cluster(found, Path(folder.name))
        hypervisor = Proxmox(cluster, Path(folder.name), found.secrets)
    except EngineError:
        folder.cleanup()
        raise
    return Access(cluster, found.allowed, found.digest, hypervisor, folder)


def _cluster(found: Way, folder: Path) -> Cluster:
    try:
        for name, text in found.files.items():
            _write(folder / name, text)
        spec = ClusterSpec.model_validate_json(json.dumps(found.spec))
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False)
        )
        raise Stalled(f"{found.told}: {said}") from None
    except ValueError:
        raise Stalled(f"{found.told}: a certificate is neither PEM nor PEM in base64") from None
    return Cluster(found.name, spec, Origin(Location(found.told), base=str(folder)))


def _write(path: Path, text: str) -> None:
    """A file that only we can read; text, or text in base64 as Kubernetes likes to have certificates."""
    path.touch(mode=0o600)
    path.write_text(text if "-----BEGIN" in text or path.name == "known_hosts" else base64.b64decode(text).decode())
