"""A real PostgreSQL in a temporary directory, on a Unix socket, as its own user (it refuses root)."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """Debian keeps them outside PATH, a directory for each version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).resolve().parent if elsewhere else None


class Postgres:
    def __init__(self, directory: Path, binaries: Path) -> None:
        self.directory = directory
        self._binaries = binaries
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            owner = pwd.getpwnam(self._user)
            os.chown(directory, owner.pw_uid, owner.pw_gid)
        made = ("-D", str(directory / "data"), "-A", "trust", "-U", "innkeeper", "-E", "UTF8", "--locale=C.UTF-8")
        self._run("initdb", *made, "--no-sync")
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql://innkeeper@/{database}?host={self.directory}"

    def start(self) -> None:
        settings = (
            "listen_addresses=",
            f"unix_socket_directories={self.directory}",
            "fsync=off",
            "max_connections=200",
        )
        options = [part for setting in settings for part in ("-c", setting)]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binaries / "postgres"), "-D", str(self.directory / "data"), *options],
                cwd=self.directory,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
            )
        self._run("pg_isready", "-h", str(self.directory), "-t", "20", retries=100)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: sessions are ended and nothing is lost. SIGQUIT: at once."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(20)

    def database(self, name: str) -> str:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def empty(self, database: str) -> None:
        """As it was after the migrations, with nobody connected."""
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            tables = connection.execute(
                "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables WHERE schemaname = 'public' "
                "AND tablename NOT IN ('alembic_version', 'procrastinate_steps')"
            ).fetchone()
            assert tables is not None
            connection.execute(f"TRUNCATE {tables[0]} RESTART IDENTITY CASCADE")

    def _run(self, name: str, *arguments: str, retries: int = 1) -> None:
        for _ in range(retries):
            done = subprocess.run(
                [str(self._binaries / name), *arguments],
                cwd=self.directory,
                capture_output=True,
                check=False,
                user=self._user,
                group=self._user,
                extra_groups=[] if self._user else None,
            )
            if done.returncode == 0:
                return
        raise RuntimeError(f"{name}: {done.stderr.decode()}{(self.directory / 'log').read_text()}")


@contextmanager
def postgres(binaries: Path) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="ink-pg-") as directory:  # a socket's path must be short
        server = Postgres(Path(directory), binaries)
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)
