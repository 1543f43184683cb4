"""Stores of secrets: the environment, a directory of files, and files encrypted with Ansible Vault, SOPS or age.

A store is read when its first key is asked for, whole, and once per run. What goes wrong is said with the store's
place, never with a value.
"""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from innkeeper.configure.extras import need, need_command
from innkeeper.configure.secrets import vaultfile
from innkeeper.engine.errors import EngineError
from innkeeper.model.inside import SecretRef, SecretStore

_COMMAND_SECONDS = 30.0
ENVIRONMENT = "env"
"""The store that is there without being declared: environment variables by their own names."""


class Missing(Exception):
    """A secret, or its whole store, that is not there. `place` says where it was looked for; `advice` what to do."""

    def __init__(self, place: str, advice: str) -> None:
        super().__init__(place)
        self.place = place
        self.advice = advice


@dataclass(frozen=True, slots=True)
class _Place:
    """A store as one manifest declares it: its paths are relative to that manifest's directory."""

    name: str
    store: SecretStore
    directory: Path


class SecretReader(Protocol):
    """Where the secrets that `secretRef` names come from."""

    def get(self, ref: SecretRef, stores: Mapping[str, SecretStore], directory: Path) -> object:
        """The secret: text, or a number. Missing when it is not there. `stores` and `directory` are the manifest's."""


class Secrets:
    """All stores of a run."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._read: dict[tuple[str, Path], Mapping[str, object] | Missing] = {}

    def get(self, ref: SecretRef, stores: Mapping[str, SecretStore], directory: Path) -> object:
        """The secret: text, or a number where an encrypted file holds one. Missing when it is not there."""
        store = stores.get(ref.name)
        if store is None:
            if ref.name != ENVIRONMENT:
                raise Missing(
                    f"no store is called {ref.name}",
                    f"declare it: spec.configure.secrets: {{{ref.name}: {{vault: vault.yml, …}}}}, or use env",
                )
            store = SecretStore(env="")
        if store.env is not None:
            return self._variable(store.env, ref.key)
        if store.files is not None:
            return _file(_under(directory, store.files) / ref.key)
        place = _Place(ref.name, store, directory)
        return _pick(self._whole(place), ref.key, _encrypted_file(store))

    def _variable(self, prefix: str, key: str) -> str:
        names = variables(prefix, key)
        for name in names:
            if value := self._environ.get(name):
                return value
        raise Missing(f"the environment variable {' or '.join(names)} is not set", f"export {names[-1]}=…")

    def _whole(self, place: _Place) -> Mapping[str, object]:
        key = (place.store.model_dump_json(), place.directory)
        if key not in self._read:
            try:
                self._read[key] = self._open(place)
            except Missing as problem:
                self._read[key] = problem
        found = self._read[key]
        if isinstance(found, Missing):
            raise Missing(found.place, found.advice)
        return found

    def _open(self, place: _Place) -> Mapping[str, object]:
        store, name = place.store, _encrypted_file(place.store)
        path = _under(place.directory, name)
        if not path.is_file():
            raise Missing(f"the file {path} is not there", "the path is relative to the manifest's directory")
        if store.sops is not None:
            return self._sops(path)
        if store.age is not None:
            return _mapping(_age(path, self._identity(place)), path)
        return self._vault(path, place)

    def _vault(self, path: Path, place: _Place) -> Mapping[str, object]:
        text = _text(path)
        password = _once(lambda: self._vault_password(place))
        if vaultfile.encrypted(text):
            text = _decrypted(text, password(), path)
        values = _mapping(text, path)
        return {name: _inline(value, password, path) for name, value in values.items()}

    def _vault_password(self, place: _Place) -> bytes:
        store = place.store
        if store.vault_password_command is not None:
            words = shlex.split(store.vault_password_command)
        elif (named := store.vault_password_file or self._environ.get("ANSIBLE_VAULT_PASSWORD_FILE")) is not None:
            path = _under(place.directory, named)
            if not os.access(path, os.X_OK):
                return _text(path).strip().encode()
            words = [str(path)]
        else:
            raise Missing(
                f"the store {place.name} does not say where its password is",
                "add vaultPasswordFile: a path, or vaultPasswordCommand: a command that prints it; or set "
                "ANSIBLE_VAULT_PASSWORD_FILE",
            )
        return _output(words, place.directory, self._environ, "the password of the vault").strip().encode()

    def _sops(self, path: Path) -> Mapping[str, object]:
        try:
            sops = need_command("sops", "sops (github.com/getsops/sops)")
        except EngineError as error:
            raise Missing(error.message, error.advice) from None
        words = [sops, "--decrypt", "--output-type", "json", str(path)]
        values = json.loads(_output(words, path.parent, self._environ, f"sops --decrypt {path}"))
        return {str(name): value for name, value in values.items()}

    def _identity(self, place: _Place) -> Path:
        named = place.store.age_identity
        if named is not None:
            return _under(place.directory, named)
        if found := self._environ.get("SOPS_AGE_KEY_FILE"):
            return Path(found)
        raise Missing(f"the store {place.name} does not say who may decrypt it", "add ageIdentity: a path")


def variables(prefix: str, key: str) -> tuple[str, ...]:
    """The names that an environment variable for a key may have; the usual one last."""
    exact, usual = f"{prefix}{key}", f"{prefix}{re.sub(r'[.-]', '_', key).upper()}"
    return (usual,) if exact == usual or not exact.isidentifier() else (exact, usual)


def _encrypted_file(store: SecretStore) -> str:
    return store.vault or store.sops or store.age or ""


def _under(directory: Path, name: str) -> Path:
    return directory / Path(name).expanduser()


def _once(read: Callable[[], bytes]) -> Callable[[], bytes]:
    kept: list[bytes] = []

    def get() -> bytes:
        if not kept:
            kept.append(read())
        return kept[0]

    return get


def _file(path: Path) -> str:
    text = _text(path).rstrip("\n")
    if not text:
        raise Missing(f"the file {path} is empty", "write the secret into it")
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        problem = error.strerror or "cannot be read"
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    raise Missing(f"the file {path}: {problem}", "the path is relative to the manifest's directory")


def _decrypted(text: str, password: bytes, path: Path) -> str:
    try:
        return vaultfile.decrypt(text, password)
    except vaultfile.NotReadable as error:
        problem = str(error)
    raise Missing(f"the vault {path} {problem}", "check with: ansible-vault view " + str(path))


class _Loader(yaml.SafeLoader):
    """Plain YAML, with Ansible's `!vault` for a value that is encrypted by itself."""


class _Encrypted(str):
    __slots__ = ()


_Loader.add_constructor("!vault", lambda loader, node: _Encrypted(loader.construct_scalar(node)))  # type: ignore[arg-type]
_Loader.add_constructor("!unsafe", lambda loader, node: str(loader.construct_scalar(node)))  # type: ignore[arg-type]


def _mapping(text: str, path: Path) -> Mapping[str, object]:
    try:
        values: Any = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError:
        raise Missing(f"{path} does not hold YAML once it is decrypted", "it must be key: value lines") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise Missing(f"{path} does not hold keys and values once it is decrypted", "it must be key: value lines")
    return {str(name): value for name, value in values.items()}


def _inline(value: object, password: Callable[[], bytes], path: Path) -> object:
    if isinstance(value, _Encrypted):
        return _decrypted(value, password(), path)
    if isinstance(value, dict):
        return {str(name): _inline(part, password, path) for name, part in value.items()}
    return value


def _pick(values: Mapping[str, object], key: str, where: str) -> object:
    """A key as it stands, else as a path through nested mappings (`database.password`)."""
    found: object = values
    for part in (key,) if key in values else key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str | int | float):
        return found
    state = "holds no single value for" if found is not None else "has no key"
    raise Missing(f"{where} {state} {key}", f"add {key}: … to it")


def _age(path: Path, identity: Path) -> str:
    pyrage = need("pyrage")
    lines = [line.strip() for line in _text(identity).splitlines()]
    try:
        if any(line.startswith("-----BEGIN") for line in lines):
            keys = [pyrage.ssh.Identity.from_buffer(_text(identity).encode())]
        else:
            keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line.startswith("AGE-SECRET-KEY-")]
        plain: bytes = pyrage.decrypt(path.read_bytes(), keys)
        return plain.decode()
    except (pyrage.DecryptError, pyrage.IdentityError, ValueError):
        raise Missing(
            f"the age file {path} cannot be decrypted with the identity {identity}",
            "encrypt it to that identity's public key, or name another ageIdentity",
        ) from None


def _output(words: list[str], directory: Path, environ: Mapping[str, str], what: str) -> str:
    """What a command prints. Its errors are not repeated: nobody knows what stands in them."""
    try:
        done = subprocess.run(  # noqa: S603
            words,
            cwd=directory,
            env=dict(environ),
            capture_output=True,
            timeout=_COMMAND_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode == 0:
            return done.stdout.decode()
        problem = f"ended with status {done.returncode}"
    except subprocess.TimeoutExpired:
        problem = f"did not answer within {_COMMAND_SECONDS:.0f} seconds"
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "did not print text"
    raise Missing(f"{what}: {words[0]} {problem}", f"run it by hand in {directory} to see why")
