"""Real parts: an OpenSSH server on loopback that stands for a guest, and guests made of values."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from innkeeper.configure.bounds import Bounds
from innkeeper.configure.insider import Insides
from innkeeper.engine.inside import Inside, RoleCall, Target, Tracked
from innkeeper.model.diagnostics import Location
from innkeeper.model.inside import Check, SecretStore
from innkeeper.model.objects import Cluster, ClusterSpec, Origin, Ref

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass
class Sshd:
    """One OpenSSH server that lets root in with the keys of a file."""

    directory: Path
    address: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def authorized(self) -> Path:
        return self.directory / "authorized_keys"

    def new_host_key(self, kind: str = "ed25519") -> None:
        for path in self.directory.glob("host_key*"):
            path.unlink()
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(self.directory / "host_key")]
        subprocess.run(command, check=True)

    def allow(self, *keys: str) -> None:
        self.authorized.write_text("".join(f"{key}\n" for key in keys))
        self.authorized.chmod(0o600)

    def start(self) -> None:
        config = self.directory / "sshd_config"
        config.write_text(
            f"Port 22\nListenAddress {self.address}\nHostKey {self.directory}/host_key\n"
            f"AuthorizedKeysFile {self.authorized}\nPidFile none\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nPermitRootLogin yes\nLogLevel QUIET\nAllowTcpForwarding yes\n"
            f"SetEnv PATH={self.directory}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        )
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((self.address, 22), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


@contextmanager
def openssh(directory: Path) -> Iterator[Sshd]:
    """A server of its own on some address of loopback."""
    if not Path(SSHD).exists():
        pytest.skip("needs: openssh-server")
    if os.geteuid() != 0:
        pytest.skip("needs: root, to be signed in as root")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    (directory / "bin").mkdir(parents=True)
    server = Sshd(directory, "127." + ".".join(str(1 + secrets.randbelow(250)) for _ in range(3)))
    server.new_host_key()
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    with openssh(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def another_sshd(tmp_path: Path) -> Iterator[Sshd]:
    with openssh(tmp_path / "another") as server:
        yield server


@pytest.fixture
def insides(tmp_path: Path) -> Insides:
    return Insides(
        {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, tmp_path / "data", Bounds(reach=10, refused=0.5)
    )


@pytest.fixture
def guest(sshd: Sshd, insides: Insides) -> Sshd:
    """A guest that accepts Innkeeper's key."""
    sshd.allow(*insides.authorized_keys("home"))
    return sshd


def cluster(directory: Path, ssh: Mapping[str, object] | None = None) -> Cluster:
    values = {"endpoints": ["https://127.0.0.1:8006"], "credentials": {"file": "token"}}
    spec = ClusterSpec.model_validate_json(json.dumps(values | ({"ssh": ssh} if ssh is not None else {})))
    return Cluster("home", spec, Origin(Location(str(directory / "cluster.yaml"))))


def target(directory: Path, address: str | None, ssh: Mapping[str, object] | None = None) -> Target:
    return Target(cluster(directory, ssh), "pve", 101, "Container", address)


def role(directory: Path, name: str, tasks: str, **files: str) -> str:
    """A role directory with these tasks (YAML)."""
    path = directory / "roles" / name
    (path / "tasks").mkdir(parents=True, exist_ok=True)
    (path / "tasks/main.yml").write_text(tasks)
    for place, text in files.items():
        file = path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return str(path)


def inside(
    directory: Path,
    roles: Sequence[tuple[str, Mapping[str, object]]] = (),
    *,
    name: str = "web",
    health: Sequence[Mapping[str, object]] = (),
    stores: Mapping[str, Mapping[str, object]] | None = None,
    tracked: Sequence[Tracked] = (),
    groups: Sequence[str] = (),
) -> Inside:
    return Inside(
        ref=Ref("Container", name),
        cluster="home",
        hostname=name,
        roles=tuple(RoleCall(Path(path).name, path, values) for path, values in roles),
        origin=Origin(Location(str(directory / "web.yaml"), 1, 1)),
        groups=tuple(groups),
        health=tuple(Check.model_validate(check) for check in health),
        tracked=tuple(tracked),
        stores={key: SecretStore.model_validate(value) for key, value in (stores or {}).items()},
        address="127.0.0.1",
    )
