"""Where the memory is: a SQLite file in the data directory, which is made fit to open, or a PostgreSQL database."""

import fcntl
import hashlib
import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from innkeeper.engine.errors import Stalled, Waiting

FILE = "innkeeper.db"
BUSY = 10.0
"""Seconds that one writer waits for another."""
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """`file` is None on PostgreSQL; `name` is for people and holds no password."""

    url: URL
    name: str
    file: Path | None = None

    @property
    def conninfo(self) -> str:
        """What libpq takes."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)


def place_of(database: str | Path) -> Place:
    """`postgresql://…`, a directory (its `innkeeper.db`), or a file. Stalled: neither is named."""
    if isinstance(database, str) and "://" in database:
        try:
            url = make_url(database)
        except (ArgumentError, ValueError):  # whose texts may hold the password
            raise Stalled("the database's URL cannot be read", "write postgresql://user@host/database") from None
        if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
            raise Stalled(
                f"{url.drivername} is no database that Innkeeper can use",
                "write postgresql://user@host/database, or leave it out for SQLite",
            )
        if find_spec("psycopg") is None or find_spec("procrastinate") is None:
            raise Stalled("PostgreSQL needs parts that are not installed", "pip install 'innkeeper[server,postgresql]'")
        url = url.set(drivername="postgresql+psycopg")
        return Place(url, f"PostgreSQL {url.host or ''}/{url.database or ''}")
    file = Path(database)
    if file.is_dir() or file.suffix != ".db":
        file /= FILE
    return Place(URL.create("sqlite+aiosqlite", database=str(file)), str(file), file)


def lock_key(word: str) -> int:
    """A number for PostgreSQL's advisory locks (signed, 64 bits)."""
    return int.from_bytes(hashlib.sha256(f"innkeeper {word}".encode()).digest()[:8], "big", signed=True)


def prepare(file: Path) -> None:
    """Make the file where it is missing, for the owner only; set it aside and make a new one where it is broken.

    A lost or broken database costs history and never guests, so nobody needs to be asked. Stalled: the directory
    cannot be written. Waiting: the disk is full, or another program holds the file.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(file.with_name(f"{file.name}.lock")):
            if file.exists() and not _sound(file):
                _set_aside(file)
            if not file.exists():
                for left in _companions(file):
                    left.unlink(missing_ok=True)
                os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except PermissionError as error:
        raise Stalled(
            f"{error.filename}: {error.strerror}", "give Innkeeper a data directory that it may write"
        ) from error
    except OSError as error:
        raise Waiting(f"{file}: {error.strerror}", "see to the disk; Innkeeper goes on by itself", 5) from error


@contextmanager
def locked(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Between processes. The kernel lets go when the holder ends, however that is. BlockingIOError: it is held."""
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _sound(file: Path) -> bool:
    try:
        with closing(sqlite3.connect(file, timeout=BUSY)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except sqlite3.DatabaseError as error:
        if (error.sqlite_errorcode & 0xFF) in _BROKEN:
            return False
        raise Waiting(f"{file}: {error}", "see to it; Innkeeper goes on by itself", 5) from error


def _set_aside(file: Path) -> None:
    aside = file.with_name(f"{file.name}.broken-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    _logger.warning("%s is broken and was set aside as %s; history begins anew, guests are untouched", file, aside)
    for path in (file, *_companions(file)):
        if path.exists():
            path.rename(aside.with_name(aside.name + path.name.removeprefix(file.name)))


def _companions(file: Path) -> tuple[Path, ...]:
    return tuple(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm"))
