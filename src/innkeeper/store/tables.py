"""The tables of the control plane's memory, the same on SQLite and PostgreSQL.

`migrations/` makes them; a test holds the two together. Small facts that are searched have columns of their own, what
is only shown is one JSON text. JSON is kept as text (not `jsonb`) so that a manifest's fields stay in their order.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)


class Instant(TypeDecorator[datetime]):
    """A moment with its time zone. SQLite knows none: there it is UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text from anywhere (a task's log, a commit). PostgreSQL takes neither NUL nor half characters."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


Sorted = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that is sorted by its characters' numbers on every database, whatever its locale."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("requested", Words, nullable=False),  # Request.revision
    Column("only", JSON, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("actor", Words, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("revision", Words, nullable=False),
    Column("summary", Words, nullable=False),
    Column("digest", Text, nullable=False),
    Column("approved_by", Words, nullable=False),
    Column("profile", Words, nullable=False),
    Column("result", JSON, nullable=False),
    Column("error", Words, nullable=False),
    Column("retry_of", Integer),
    Column("lines", Integer, nullable=False),  # how many log lines were written
    Index(None, "source", "id"),
    Index(None, "state", "id"),
    Index(None, "finished_at"),
    sqlite_autoincrement=True,
)

job_logs = Table(
    "job_logs",
    metadata,
    Column("job", Integer, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Words, nullable=False),
    Column("guest", Words, nullable=False),
    Column("phase", Words, nullable=False),
)

job_guests = Table(
    "job_guests",
    metadata,
    Column("guest", Words, primary_key=True),  # as a request or a log line names it: `web` or `Container/web`
    Column("job", Integer, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Index(None, "job"),
)

guests = Table(
    "guests",
    metadata,
    Column("source", Sorted, primary_key=True),
    Column("kind", Sorted, primary_key=True),
    Column("name", Sorted, primary_key=True),
    Column("cluster", Sorted, nullable=False),
    Column("node", Sorted, nullable=False),
    Column("vmid", Integer),
    Column("hostname", Words, nullable=False),
    Column("address", Sorted, nullable=False),
    Column("sync", Sorted, nullable=False),
    Column("health", Sorted, nullable=False),
    Column("power", Text, nullable=False),
    Column("revision", Sorted, nullable=False),
    Column("file", Words, nullable=False),
    Column("line", Integer, nullable=False),
    Column("profile", Words, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("created_at", Instant),
    Column("seen_at", Instant),
    Column("words", Words, nullable=False),  # what a search looks through, in lower case
    Index(None, "name", "kind", "source"),
    Index(None, "cluster", "vmid"),
)

guest_bodies = Table(
    "guest_bodies",
    metadata,
    Column("source", Sorted, primary_key=True),
    Column("kind", Sorted, primary_key=True),
    Column("name", Sorted, primary_key=True),
    Column("body", JSON, nullable=False),
)
"""What is only shown. A table of its own keeps the other small: a search reads all of it, which takes no index."""

guest_conditions = Table(
    "guest_conditions",
    metadata,
    Column("type", Text, primary_key=True),
    Column("source", Sorted, primary_key=True),
    Column("kind", Sorted, primary_key=True),
    Column("name", Sorted, primary_key=True),
    Index(None, "source", "kind", "name"),
)

drifts = Table(
    "drifts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("cluster", Text, nullable=False),
    Column("vmid", Integer, nullable=False),
    Column("field", Words, nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("found_at", Instant, nullable=False),
    Column("who", Words, nullable=False),
    Column("task", Words, nullable=False),
    Column("ignored_until", Instant),
    Column("ended_at", Instant),
    Index(None, "source", "ended_at"),
    sqlite_autoincrement=True,
)

sources = Table(
    "sources",
    metadata,
    Column("name", Text, primary_key=True),
    Column("seen", Words, nullable=False),
    Column("synced", Words, nullable=False),
    Column("fetched_at", Instant),
    Column("synced_at", Instant),
    Column("error", Words, nullable=False),
    Column("suspended", Boolean, nullable=False),
    Column("pinned", Words, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("id", Integer, primary_key=True),  # the order in which they were synced
    Column("source", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("author", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("committed_at", Instant, nullable=False),
    Column("job", Integer),
    Column("synced_at", Instant),
    Index("uq_revisions_source_revision", "source", "revision", unique=True),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("source", Text, primary_key=True),
    Column("digest", Text, primary_key=True),  # SHA-256 of the sender's id, which may be of any length
    Column("at", Instant, nullable=False),
    Index(None, "at"),
)

entries = Table(
    "entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", Words, nullable=False),
    Column("action", Words, nullable=False),
    Column("target", Words, nullable=False),
    Column("detail", Words, nullable=False),
    Column("address", Words, nullable=False),
    sqlite_autoincrement=True,
)

values = Table("facts", metadata, Column("key", Text, primary_key=True), Column("value", JSON, nullable=False))

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Words, nullable=False),
    Column("key", Words, nullable=False, unique=True),  # the name without case, so that `Admin` is no second `admin`
    Column("role", Text, nullable=False),
    Column("subject", Words, unique=True),
    Column("password", Text),  # argon2 hash
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_seen", Instant),
    sqlite_autoincrement=True,
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires_at", Instant, nullable=False, index=True),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("user", Integer, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Words, nullable=False),
    Column("role", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("used_at", Instant),
    sqlite_autoincrement=True,
)

setups = Table(
    "setups",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("created_at", Instant, nullable=False),
)
