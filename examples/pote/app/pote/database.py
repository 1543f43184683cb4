"""The database; its address comes from PGHOST, PGDATABASE, PGUSER and PGPASSWORD."""

from pathlib import Path

import psycopg

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def connect() -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(connect_timeout=5)


def migrate() -> None:
    """Every file in migrations/ once, in order of its name."""
    with connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY)")
        done = {name for (name,) in connection.execute("SELECT name FROM migrations")}
        for path in sorted(MIGRATIONS.glob("*.sql")):
            if path.name not in done:
                connection.execute(path.read_text().encode())
                connection.execute("INSERT INTO migrations VALUES (%s)", (path.name,))
                print(f"migrated {path.name}")  # noqa: T201
