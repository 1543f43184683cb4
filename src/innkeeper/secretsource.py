"""Secrets that a server's own manifests name by place: read when they are used, never kept in text."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from innkeeper.engine.errors import Stalled
from innkeeper.model.objects import SecretSource

LARGEST = 1 << 16


def read_secret(source: SecretSource, directory: Path, environ: Mapping[str, str], what: str) -> SecretStr:
    """The secret; files are relative to `directory` (the manifest's). `what` names it in messages.

    Stalled where it is not there or empty; the message names the variable or the file, never a value.
    """
    if source.env is not None:
        value = environ.get(source.env, "")
        where = f"the environment variable {source.env}"
        problem = "is empty" if source.env in environ else "is not set"
    else:
        path = directory / Path(source.file or "").expanduser()
        where, value, problem = f"the file {path}", "", f"has no {source.key}" if source.key else "is empty"
        try:
            with path.open(encoding="utf-8") as stream:
                value = source.within(stream.read(LARGEST))
        except (OSError, UnicodeDecodeError) as error:
            problem = f"cannot be read: {(isinstance(error, OSError) and error.strerror) or 'it is no text'}"
    if not value.strip():
        raise Stalled(f"{what}: {where} {problem}", "put the secret there, readable by Innkeeper only")
    return SecretStr(value.strip())
