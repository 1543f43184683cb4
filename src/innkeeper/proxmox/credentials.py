"""Where secrets come in: from the environment or a file, at run time, into values that never show themselves.

Nothing here keeps a secret in a plain string; `pydantic.SecretStr` has no repr that tells.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from innkeeper.engine.errors import Stalled
from innkeeper.model.objects import Credentials, SecretSource

_TOKEN_LINE = re.compile(r"(?P<id>[^\s!=@]+@[^\s!=@]+![^\s!=]+)=(?P<secret>\S+)")
_HOW_TO_MAKE = "make a token with: pveum user token add root@pam innkeeper --privsep 1"


@dataclass(frozen=True, slots=True)
class Token:
    """An API token; `id` is `user@realm!name`."""

    id: str
    secret: SecretStr

    @property
    def user(self) -> str:
        return self.id


@dataclass(frozen=True, slots=True)
class Login:
    """A user with a password, which buys a ticket."""

    username: str
    password: SecretStr

    @property
    def user(self) -> str:
        return self.username


def resolve(credentials: Credentials, directory: Path, environ: Mapping[str, str]) -> Token | Login:
    """The credentials with their secret; files are relative to `directory` (the manifest's).

    Stalled when a secret is not there; the message names the variable or the file, never a value.
    """
    if credentials.file is not None:
        return _token_file(credentials.file, directory)
    if credentials.token_id is not None and credentials.token_secret is not None:
        return Token(credentials.token_id, _read(credentials.token_secret, directory, environ, "tokenSecret"))
    if credentials.username is not None and credentials.password is not None:
        return Login(credentials.username, _read(credentials.password, directory, environ, "password"))
    raise Stalled("no credentials", "name tokenID with tokenSecret, username with password, or file")


def _read(source: SecretSource, directory: Path, environ: Mapping[str, str], field: str) -> SecretStr:
    if source.env is not None:
        value = environ.get(source.env, "").strip()
        if not value:
            state = "is empty" if source.env in environ else "is not set"
            raise Stalled(
                f"credentials.{field}: the environment variable {source.env} {state}",
                f"export {source.env}=… before this command",
            )
    else:
        value = source.within(_text(source.file or "", directory, field))
        if not value and source.key is not None:
            raise Stalled(f"credentials.{field}: the file {source.file} has no {source.key}", "write it there, as text")
        if not value:
            raise Stalled(f"credentials.{field}: the file {source.file} is empty", "put the secret on its only line")
    if not value.isprintable():
        where = f"the environment variable {source.env}" if source.env else f"the file {source.file}"
        raise Stalled(f"credentials.{field}: {where} does not hold one line of plain text", "put only the secret there")
    return SecretStr(value)


def _token_file(name: str, directory: Path) -> Token:
    lines = [line.strip() for line in _text(name, directory, "file").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    match = _TOKEN_LINE.fullmatch(lines[0].removeprefix("PVEAPIToken=")) if len(lines) == 1 else None
    if match is None:
        raise Stalled(
            f"credentials.file: {name} does not hold a token",
            f"it must be one line user@realm!name=secret; {_HOW_TO_MAKE}",
        )
    return Token(match["id"], SecretStr(match["secret"]))


def _text(name: str, directory: Path, field: str) -> str:
    path = directory / Path(name).expanduser()
    problem = ""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        problem = error.strerror or "cannot be read"
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    raise Stalled(f"credentials.{field}: {path}: {problem}", "the path is relative to the manifest's directory")
