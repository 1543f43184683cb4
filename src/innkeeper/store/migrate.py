"""Brings a database to the tables that this program knows. Replicas that start together do it once, in turn."""

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from innkeeper.engine.errors import Stalled
from innkeeper.store.place import lock_key

_HERE = Path(__file__).parent / "migrations"
_STEPS = text("CREATE TABLE IF NOT EXISTS procrastinate_steps (name text PRIMARY KEY)")


def migrate(connection: Connection) -> None:
    """Within the caller's transaction: all of it or nothing. Other replicas wait until it ends.

    Stalled: the tables were made by a newer program.
    """
    if connection.dialect.name == "postgresql":  # on SQLite the transaction itself keeps others out
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("migration")})
        _migrate_queue(connection)
    scripts = ScriptDirectory(_HERE, version_locations=[_HERE])
    context = MigrationContext.configure(
        connection, opts={"fn": lambda revision, _: scripts._upgrade_revs("head", revision)}
    )
    found = context.get_current_heads()
    if set(found) == set(scripts.get_heads()):
        return
    try:
        scripts.get_revisions(found)
    except CommandError as error:
        raise _newer(", ".join(found), ", ".join(scripts.get_heads())) from error
    with Operations.context(context):
        context.run_migrations()


def _migrate_queue(connection: Connection) -> None:
    """Procrastinate brings its schema and the steps between its versions as files, and leaves it to us to run them."""
    from procrastinate.schema import SchemaManager  # the extra `postgresql`

    steps = {path.name: path for path in Path(SchemaManager.get_migrations_path()).glob("*.sql")}
    stands = connection.scalar(text("SELECT to_regclass('procrastinate_jobs') IS NOT NULL"))
    connection.execute(_STEPS)
    done = set(connection.scalars(text("SELECT name FROM procrastinate_steps")))
    if unknown := done - steps.keys():
        raise _newer(max(unknown), max(steps))
    missing = sorted(steps.keys() - done)
    for script in [steps[name].read_text() for name in missing] if stands else [SchemaManager.get_schema()]:
        connection.exec_driver_sql(script.replace("%", "%%"))
    if missing:
        connection.execute(text("INSERT INTO procrastinate_steps VALUES (:name)"), [{"name": name} for name in missing])


def _newer(found: str, known: str) -> Stalled:
    return Stalled(
        f"the database has the schema {found}, which is newer than this program (it knows {known})",
        "start the version of Innkeeper that wrote it, or a newer one",
    )
