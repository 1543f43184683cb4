"""What Innkeeper itself keeps: an SSH key per cluster, the host keys it has seen, a key to hash secrets with.

Nothing here is state of guests: without it Innkeeper makes a new key, and asks for the old guests to accept it.
"""

import fcntl
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from innkeeper.configure.extras import need
from innkeeper.engine.errors import Stalled, Waiting

_PEPPER_BYTES = 32


def data_directory(environ: Mapping[str, str]) -> Path:
    """`$XDG_DATA_HOME/innkeeper`, else `~/.local/share/innkeeper`."""
    base = environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local/share") / "innkeeper"


class Keep:
    """One data directory. Everything in it is made on first need, readable to its owner only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def private_key(self, cluster: str) -> Path:
        """The file of the cluster's ed25519 key, in OpenSSH's form, mode 0600."""
        path = self._folder(cluster) / "id_ed25519"
        if not path.exists():
            private, public = _new_key(f"innkeeper@{cluster}")
            if _write_new(path, private):
                _replace(path.with_suffix(".pub"), public)
        return path

    def public_key(self, cluster: str) -> str:
        """The line for `authorized_keys`."""
        private = self.private_key(cluster)
        path = private.with_suffix(".pub")
        try:
            return path.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            _replace(path, _public_half(private, f"innkeeper@{cluster}"))
            return path.read_text(encoding="ascii").strip()

    def host_key_file(self, cluster: str, alias: str) -> Path:
        """A `known_hosts` file of one line: the host key of `alias` (`guest-101`, `node-pve`) since first sight."""
        return self._folder(cluster, "known_hosts") / alias

    def host_key(self, cluster: str, alias: str) -> str | None:
        """The recorded key as `type base64`, or None where none has been seen."""
        try:
            line = self.host_key_file(cluster, alias).read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        return " ".join(line.split()[1:3]) or None

    def record_host_key(self, cluster: str, alias: str, key: str) -> None:
        _replace(self.host_key_file(cluster, alias), f"{alias} {key}\n".encode())

    def forget_host_key(self, cluster: str, alias: str) -> None:
        self.host_key_file(cluster, alias).unlink(missing_ok=True)

    def pepper(self) -> bytes:
        """The key that secrets are hashed with, so that a fingerprint on a guest tells nothing about them."""
        path = self._folder() / "fingerprint.key"
        if not path.exists():
            _write_new(path, secrets.token_bytes(_PEPPER_BYTES))
        return path.read_bytes()

    def lock(self, cluster: str, name: str) -> int:
        """A file descriptor that holds the lock of that name until it, and every process that got it, is gone.

        Waiting where somebody else holds it.
        """
        path = self._folder(cluster, "locks") / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise Waiting(f"another run is configuring {name}", "wait for it to end, or end it", 5.0) from None
        return descriptor

    def _folder(self, *names: str) -> Path:
        path = self.directory.joinpath(*names)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Stalled(
                f"Innkeeper's data directory {path}: {error.strerror}", "set XDG_DATA_HOME to a directory you own"
            ) from None
        return path


def _new_key(comment: str) -> tuple[bytes, bytes]:
    need("cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private, public + f" {comment}\n".encode()


def _public_half(private: Path, comment: str) -> bytes:
    need("cryptography")
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_ssh_private_key(private.read_bytes(), None)
    except ValueError:
        raise Stalled(f"{private} is not an SSH key", "move it away, then Innkeeper makes a new one") from None
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public + f" {comment}\n".encode()


def _write_new(path: Path, content: bytes) -> bool:
    """Write a file that must not be there yet, whole or not at all; False where another process was faster."""
    draft = _draft(path, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _replace(path: Path, content: bytes) -> None:
    _draft(path, content).replace(path)


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return draft
