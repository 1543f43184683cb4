"""Brings a database to the tables that this program knows. Replicas that start together do it once, in turn."""

from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from sqlalchemy import Connection, text

from innkeeper.engine.errors import Stalled

_HERE = Path(__file__).parent / "migrations"
_LOCK = 0x696E6B_0001  # any number that no other use of the same PostgreSQL database takes


def migrate(connection: Connection) -> None:
    """Within the caller's transaction: all of it or nothing. SQLite's writer lock is already held by it.

    Stalled: the tables were made by a newer program.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    scripts = ScriptDirectory(_HERE, version_locations=[_HERE])
    context = MigrationContext.configure(
        connection, opts={"fn": lambda revision, _: scripts._upgrade_revs("head", revision)}
    )
    found = context.get_current_heads()
    if found == scripts.as_revision_number("heads"):
        return
    try:
        scripts.get_revisions(found)
    except ResolutionError as error:
        raise Stalled(
            f"the database has the schema {', '.join(found)}, which is newer than this program "
            f"(it knows {', '.join(scripts.get_heads())})",
            "start the version of Innkeeper that wrote it, or a newer one",
        ) from error
    with Operations.context(context):
        context.run_migrations()
