"""A real Kubernetes API on loopback: etcd and kube-apiserver as processes of their own, kubectl to speak to it."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

_SCRIPT = Path(__file__).parents[3] / "scripts" / "kubernetes_parts.py"
ADMIN = "admin-token"


class Missing(Exception):
    """What must be installed or built first."""


def parts() -> Mapping[str, Path]:
    """The binaries; Missing says what is not there."""
    said = subprocess.run([sys.executable, str(_SCRIPT), "--found"], capture_output=True, text=True, check=True).stdout
    found = {name: Path(path) for name, path in json.loads(said).items()}
    etcd = shutil.which("etcd")
    if etcd is None:
        raise Missing("etcd (Debian: etcd-server)")
    if missing := [name for name in ("kube-apiserver", "kubectl", "helm") if name not in found]:
        raise Missing(f"{', '.join(missing)}: python scripts/kubernetes_parts.py")
    return {**found, "etcd": Path(etcd)}


@dataclass
class ControlPlane:
    """One API server with its own etcd. `users` maps a name to its token and groups."""

    folder: Path
    binaries: Mapping[str, Path]
    users: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    port: int = 0
    etcd: subprocess.Popen[bytes] | None = None
    server: subprocess.Popen[bytes] | None = None

    def start(self) -> ControlPlane:
        self._certificates()
        lines = [f'{ADMIN},admin,1,"system:masters"']
        lines += [f'{token},{name},{name},"{groups}"' for name, (token, groups) in self.users.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        peer, client = _free(), _free()
        self.port = _free()
        self._etcd_url = f"http://127.0.0.1:{client}"
        self.etcd = self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        self.start_server()
        return self

    def start_server(self) -> None:
        keys = self.folder / "service-account.key"
        self.server = self._run(
            "kube-apiserver",
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.folder / 'server.pem'}",
            f"--tls-private-key-file={self.folder / 'server.key'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--service-account-key-file={keys}",
            f"--service-account-signing-key-file={keys}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--watch-cache=true",
        )
        deadline = time.monotonic() + 60
        while not self._ready():
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"kube-apiserver did not start: {self.log('kube-apiserver')[-3000:]}")
            time.sleep(0.1)

    def stop_server(self) -> None:
        if self.server is not None:
            _end(self.server)
            self.server = None

    def stop(self) -> None:
        self.stop_server()
        if self.etcd is not None:
            _end(self.etcd)

    def compact(self) -> None:
        """Forget every former revision, so that a watch which asks for one is told 410 Gone."""
        body = json.dumps({"key": "AA=="}).encode()
        head = json.loads(self._etcd("/v3/kv/range", body))["header"]["revision"]
        self._etcd("/v3/kv/compaction", json.dumps({"revision": head, "physical": True}).encode())

    def _etcd(self, path: str, body: bytes) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(self._etcd_url + path, body), timeout=10) as answer:
            return bytes(answer.read())

    def kubeconfig(self, user: str = "admin") -> Path:
        """A kubeconfig file for one of the users."""
        return self.kubeconfig_of(user, ADMIN if user == "admin" else self.users[user][0])

    def kubeconfig_of(self, user: str, token: str) -> Path:
        """A kubeconfig file for whoever has this token."""
        path = self.folder / f"{user}.kubeconfig"
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {
                        "server": f"https://127.0.0.1:{self.port}",
                        "certificate-authority": str(self.folder / "ca.pem"),
                    },
                }
            ],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": "default"}}],
            "current-context": "test",
        }
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        return path

    def kubectl(self, *words: str, given: str = "", ok: bool = True, patience: float = 90) -> str:
        """What kubectl says; with `ok` false also what it complains of."""
        done = subprocess.run(
            [str(self.binaries["kubectl"]), f"--kubeconfig={self.kubeconfig()}", *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
            env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
        )
        if ok and done.returncode:
            raise AssertionError(f"kubectl {' '.join(words)}: {done.stderr}")
        return done.stdout if ok else done.stdout + done.stderr

    def apply(self, *objects: Mapping[str, Any]) -> None:
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=as_list(objects))

    def refused(self, body: Mapping[str, Any]) -> str:
        """The API server's complaint about an object; empty where it takes it (nothing is kept)."""
        said = self.kubectl("create", "--dry-run=server", "-f", "-", given=json.dumps(body), ok=False)
        return said if "rror" in said or "nvalid" in said or "unknown field" in said else ""

    def refusals(self, bodies: Sequence[Mapping[str, Any]]) -> list[str]:
        """The API server's complaint about each of many objects of one kind, asked directly; nothing is kept."""
        kind = bodies[0]
        plural = f"{kind['kind'].lower()}s"
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        path = f"/apis/{kind['apiVersion']}/namespaces/default/{plural}?dryRun=All&fieldValidation=Strict"
        headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"}
        said = []
        for body in bodies:
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            said.append("" if answer.status < 300 else str(found.get("message", "")))
        connection.close()
        return said

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """An object, empty where there is none."""
        said = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        found: dict[str, Any] = json.loads(said) if said.strip() else {}
        return found

    def list(self, kind: str) -> Sequence[dict[str, Any]]:
        items: Sequence[dict[str, Any]] = json.loads(self.kubectl("get", kind, "-A", "-o", "json"))["items"]
        return items

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _run(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(self.binaries[name]), *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder
            )

    def _certificates(self) -> None:
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1", "localhost")
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        server.private_key_pem.write_to_path(str(self.folder / "server.key"))
        (self.folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
        authority.private_key_pem.write_to_path(str(self.folder / "service-account.key"))

    def _ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        request = urllib.request.Request(
            f"https://127.0.0.1:{self.port}/readyz", headers={"Authorization": f"Bearer {ADMIN}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def as_list(objects: Sequence[Mapping[str, Any]]) -> str:
    """Many objects as one that kubectl takes."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
