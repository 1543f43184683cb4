"""The control plane's memory in SQL: the port `Store` on SQLite and PostgreSQL alike."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, bindparam, case, delete, func, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from innkeeper.control.memory import Counts, GuestQuery, GuestTally, Page
from innkeeper.model.jobs import ENDED, Job, JobLog, JobState, Level, Request
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Json
from innkeeper.model.records import Drift, Entry, GuestRecord, Revision, SourceRecord
from innkeeper.store import rows, tables
from innkeeper.store.database import Database

DELIVERIES_KEPT = timedelta(days=7)
"""No forge delivers the same event again after that."""
_GUEST_KEY = ("source", "kind", "name")
_WORST_FIRST: Mapping[str, tuple[str, ...]] = {
    "sync": ("OutOfSync", "Unknown", "Synced"),
    "health": ("Missing", "Degraded", "Unknown", "Progressing", "Suspended", "Healthy"),
}
"""Who sorts by these looks for trouble, not for a letter."""
_JOB_CHANGES = frozenset(field.name for field in fields(Job)) - {"id", "request", "created_at", "retry_of"}
_SOURCE_CHANGES = frozenset(field.name for field in fields(SourceRecord)) - {"name"}


class SqlStore:
    """See the port for what each method promises. `clock` tells the time in which jobs and lines are stamped."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def close(self) -> None:
        await self._database.close()

    async def writable(self) -> None:
        await self.put_value("writable", self._clock().isoformat())

    # Jobs

    async def add_job(self, request: Request, *, retry_of: int | None = None) -> Job:
        row = {
            **rows.request_row(request),
            "state": "pending",
            "created_at": self._clock(),
            "revision": request.revision,
            **dict.fromkeys(("summary", "digest", "approved_by", "profile", "error"), ""),
            "result": {},
            "retry_of": retry_of,
            "lines": 0,
        }
        async with self._database.write() as connection:
            added = (await connection.execute(insert(tables.jobs).values(row).returning(tables.jobs))).mappings().one()
            if request.only:
                named = [{"job": added["id"], "guest": guest} for guest in dict.fromkeys(request.only)]
                await connection.execute(insert(tables.job_guests), named)
        return rows.job_of(added)

    async def job(self, job: int) -> Job | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(tables.jobs).where(tables.jobs.c.id == job))).mappings().first()
        return rows.job_of(row) if row else None

    async def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        source: str = "",
        ref: Ref | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> tuple[Job, ...]:
        job = tables.jobs.c
        query = select(tables.jobs).order_by(job.id.desc()).limit(limit)
        if states:
            query = query.where(job.state.in_(states))
        if source:
            query = query.where(job.source == source)
        if before is not None:
            query = query.where(job.id < before)
        if ref is not None:
            named = tables.job_guests.c
            query = query.where(job.id.in_(select(named.job).where(named.guest.in_((str(ref), ref.name)))))
        async with self._database.read() as connection:
            found = (await connection.execute(query)).mappings().all()
        return tuple(map(rows.job_of, found))

    async def update_job(self, job: int, expected: Sequence[JobState], **changes: object) -> Job | None:
        _only_known(changes, _JOB_CHANGES)
        at = tables.jobs.c
        change = update(tables.jobs).where(at.id == job, at.state.in_(expected)).values(**changes)
        async with self._database.write() as connection:
            row = (await connection.execute(change.returning(tables.jobs))).mappings().first()
        return rows.job_of(row) if row else None

    async def log(self, job: int, level: Level, message: str, *, guest: str = "", phase: str = "") -> JobLog:
        line = JobLog(job, 0, self._clock(), level, message, guest, phase)
        counted = update(tables.jobs).where(tables.jobs.c.id == job).values(lines=tables.jobs.c.lines + 1)
        async with self._database.write() as connection:
            number = (await connection.execute(counted.returning(tables.jobs.c.lines))).scalar()
            if number is None:  # the database was lost meanwhile: what the job does goes on without its history
                return line
            line = replace(line, number=number)
            await connection.execute(insert(tables.job_logs).values(asdict(line)))
            if guest:
                named = self._database.insert(tables.job_guests).values(job=job, guest=guest)
                await connection.execute(named.on_conflict_do_nothing())
        return line

    async def logs(self, job: int, after: int = 0, limit: int = 1000) -> tuple[JobLog, ...]:
        line = tables.job_logs.c
        query = select(tables.job_logs).where(line.job == job, line.number > after).order_by(line.number).limit(limit)
        async with self._database.read() as connection:
            return tuple(map(rows.log_of, (await connection.execute(query)).mappings()))

    async def forget_jobs(self, before: datetime, keep: int) -> int:
        job = tables.jobs.c
        newest = select(job.id).order_by(job.id.desc()).limit(keep).scalar_subquery()
        old = delete(tables.jobs).where(job.state.in_(ENDED), job.finished_at < before, job.id.not_in(newest))
        over = delete(tables.drifts).where(tables.drifts.c.ended_at < before)
        async with self._database.write() as connection:
            await connection.execute(over)
            return (await connection.execute(old)).rowcount

    # Guests

    async def put_guests(self, source: str, records: Sequence[GuestRecord], *, whole: bool) -> None:
        seen = {record.ref: record for record in records}
        guest = tables.guests.c
        true = [
            {"type": kind, "source": source, "kind": ref.kind, "name": ref.name}
            for ref, record in seen.items()
            for kind in {item.type for item in record.conditions if item.status == "True"}
        ]
        async with self._database.write(f"guests {source}") as connection:
            if whole:
                stood = await connection.execute(select(guest.kind, guest.name).where(guest.source == source))
                gone = [ref for ref in (Ref(*row) for row in stood) if ref not in seen]
                await _forget(connection, tables.guests, source, gone)
                await _forget(connection, tables.guest_bodies, source, gone)
                await connection.execute(
                    delete(tables.guest_conditions).where(tables.guest_conditions.c.source == source)
                )
            else:
                await _forget(connection, tables.guest_conditions, source, seen)
            if seen:
                await connection.execute(self._put(tables.guests), list(map(rows.guest_row, seen.values())))
                await connection.execute(self._put(tables.guest_bodies), list(map(rows.guest_body, seen.values())))
            if true:
                await connection.execute(insert(tables.guest_conditions), true)

    def _put(self, table: Table) -> Any:
        put = self._database.insert(table)
        rest = {column.name: column for column in put.excluded if column.name not in _GUEST_KEY}
        return put.on_conflict_do_update(index_elements=_GUEST_KEY, set_=rest)

    async def guests(self, query: GuestQuery) -> Page:
        async with self._database.read() as connection:
            total = (await connection.execute(_matching(select(func.count()), query))).scalar_one()
            page = await connection.execute(_page(query))
            return Page(tuple(map(rows.guest_of, page.mappings())), total)

    async def guest(self, source: str, ref: Ref) -> GuestRecord | None:
        guest = tables.guests.c
        query = _whole().where(guest.source == source, guest.kind == ref.kind, guest.name == ref.name)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return rows.guest_of(row) if row else None

    async def owner(self, cluster: str, vmid: int) -> tuple[str, Ref] | None:
        guest = tables.guests.c
        query = select(guest.source, guest.kind, guest.name).where(guest.cluster == cluster, guest.vmid == vmid)
        async with self._database.read() as connection:
            row = (await connection.execute(query.order_by(guest.source).limit(1))).first()
        return (row.source, Ref(row.kind, row.name)) if row else None

    async def counts(self) -> Counts:
        async with self._database.read() as connection:

            async def by(column: Any) -> dict[str, int]:
                counted = await connection.execute(select(column, func.count()).group_by(column))
                return {row[0]: row[1] for row in counted}

            sync = await by(tables.guests.c.sync)
            health = await by(tables.guests.c.health)
            conditions = await by(tables.guest_conditions.c.type)
            jobs = await by(tables.jobs.c.state)
        return Counts(sum(sync.values()), sync, health, conditions, jobs)

    async def tally(self) -> tuple[GuestTally, ...]:
        guests = tables.guests.c
        alike = (guests.cluster, guests.node, guests.power, guests.sync, guests.health)
        async with self._database.read() as connection:
            counted = await connection.execute(select(*alike, func.count()).group_by(*alike))
            return tuple(GuestTally(*row) for row in counted)

    # Drift

    async def put_drift(self, found: Sequence[Drift], source: str) -> tuple[Drift, ...]:
        drift = tables.drifts.c
        now = {(item.ref, item.field): item for item in found}
        lasting = select(tables.drifts).where(drift.source == source, drift.ended_at.is_(None))
        new: list[Drift] = []
        async with self._database.write(f"drift {source}") as connection:
            for row in (await connection.execute(lasting)).mappings().all():
                known = rows.drift_of(row)
                item = now.get((known.ref, known.field))
                if item is not None and (item.before, item.after) == (known.before, known.after):
                    del now[known.ref, known.field]
                    change = {key: getattr(item, key) for key in ("who", "task") if getattr(item, key)}
                else:
                    change = {"ended_at": self._clock()}
                    if item is not None:  # another hand, another time
                        now[known.ref, known.field] = replace(item, ignored_until=known.ignored_until)
                if any(row[key] != value for key, value in change.items()):
                    await connection.execute(update(tables.drifts).where(drift.id == known.id).values(change))
            for item in now.values():
                added = insert(tables.drifts).values(rows.drift_row(replace(item, source=source)))
                row = (await connection.execute(added.returning(tables.drifts))).mappings().one()
                new.append(rows.drift_of(row))
        return tuple(new)

    async def drifts(
        self,
        *,
        source: str = "",
        ref: Ref | None = None,
        ended: bool = False,
        ignored: bool = True,
        limit: int | None = None,
    ) -> tuple[Drift, ...]:
        drift = tables.drifts.c
        query = select(tables.drifts).order_by(drift.id.desc()).limit(limit)
        if not ignored:
            query = query.where(drift.ignored_until.is_(None))
        if not ended:
            query = query.where(drift.ended_at.is_(None))
        if source:
            query = query.where(drift.source == source)
        if ref is not None:
            query = query.where(drift.kind == ref.kind, drift.name == ref.name)
        async with self._database.read() as connection:
            return tuple(map(rows.drift_of, (await connection.execute(query)).mappings()))

    async def ignore_drift(self, drift: int, until: datetime | None) -> Drift | None:
        change = update(tables.drifts).where(tables.drifts.c.id == drift).values(ignored_until=until)
        async with self._database.write() as connection:
            row = (await connection.execute(change.returning(tables.drifts))).mappings().first()
        return rows.drift_of(row) if row else None

    # Sources

    async def source(self, name: str) -> SourceRecord:
        async with self._database.read() as connection:
            query = select(tables.sources).where(tables.sources.c.name == name)
            row = (await connection.execute(query)).mappings().first()
        return rows.source_of(row) if row else SourceRecord(name)

    async def put_source(self, name: str, **changes: object) -> SourceRecord:
        _only_known(changes, _SOURCE_CHANGES)
        put = self._database.insert(tables.sources).values(asdict(replace(SourceRecord(name), **changes)))  # type: ignore[arg-type]
        put = put.on_conflict_do_update(index_elements=["name"], set_=changes or {"name": name})
        async with self._database.write() as connection:
            return rows.source_of((await connection.execute(put.returning(tables.sources))).mappings().one())

    async def add_revision(self, revision: Revision) -> None:
        at = tables.revisions.c
        again = delete(tables.revisions).where(at.source == revision.source, at.revision == revision.revision)
        async with self._database.write(f"revisions {revision.source}") as connection:
            await connection.execute(again)
            await connection.execute(insert(tables.revisions).values(asdict(revision)))

    async def revisions(self, source: str, limit: int = 50) -> tuple[Revision, ...]:
        at = tables.revisions.c
        query = select(tables.revisions).where(at.source == source).order_by(at.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return tuple(map(rows.revision_of, (await connection.execute(query)).mappings()))

    async def delivered(self, source: str, delivery: str) -> bool:
        at = tables.deliveries.c
        query = select(at.at).where(at.source == source, at.digest == _digest(delivery))
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def add_delivery(self, source: str, delivery: str, at: datetime) -> None:
        put = self._database.insert(tables.deliveries).values(source=source, digest=_digest(delivery), at=at)
        old = delete(tables.deliveries).where(tables.deliveries.c.at < at - DELIVERIES_KEPT)
        async with self._database.write() as connection:
            await connection.execute(old)
            await connection.execute(put.on_conflict_do_nothing())

    # What was done, and small facts

    async def audit(self, entry: Entry) -> None:
        row = asdict(entry)
        del row["id"]
        async with self._database.write() as connection:
            await connection.execute(insert(tables.entries).values(row))

    async def audits(self, *, before: int | None = None, limit: int = 100) -> tuple[Entry, ...]:
        query = select(tables.entries).order_by(tables.entries.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(tables.entries.c.id < before)
        async with self._database.read() as connection:
            return tuple(map(rows.entry_of, (await connection.execute(query)).mappings()))

    async def value(self, key: str) -> Json:
        query = select(tables.values.c.value).where(tables.values.c.key == key)
        async with self._database.read() as connection:
            found: Json = (await connection.execute(query)).scalar()
            return found

    async def put_value(self, key: str, value: Json) -> None:
        put = self._database.insert(tables.values).values(key=key, value=value)
        async with self._database.write() as connection:
            await connection.execute(put.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def _only_known(changes: dict[str, object], known: frozenset[str]) -> None:
    if unknown := changes.keys() - known:
        raise TypeError(f"no such field: {', '.join(sorted(unknown))}")


def _matching(select_: Select[Any], query: GuestQuery) -> Select[Any]:
    guest = tables.guests.c
    select_ = select_.select_from(tables.guests)
    for column, wanted in (
        (guest.source, query.sources),
        (guest.cluster, query.clusters),
        (guest.node, query.nodes),
        (guest.sync, query.sync),
        (guest.health, query.health),
    ):
        if wanted:
            select_ = select_.where(column.in_(wanted))
    if query.conditions:
        condition = tables.guest_conditions.c
        having = select(condition.source, condition.kind, condition.name).where(condition.type.in_(query.conditions))
        select_ = select_.where(tuple_(guest.source, guest.kind, guest.name).in_(having))
    for word in query.text.lower().split():
        select_ = select_.where(guest.words.contains(word, autoescape=True))
    return select_


def _whole() -> Select[Any]:
    """With what is only shown."""
    here, there = tables.guests.c, tables.guest_bodies.c
    same = (there.source == here.source) & (there.kind == here.kind) & (there.name == here.name)
    return select(tables.guests, there.body).join_from(tables.guests, tables.guest_bodies, same)


def _page(query: GuestQuery) -> Select[Any]:
    """Sorted by the chosen column, then by name, kind and source: every page has its own guests.

    Only these few columns are sorted; the rest is read for the page alone.
    """
    guest = tables.guests.c
    columns = dict.fromkeys((query.sort, "name", "kind", "source"))
    ranks = [_rank(key) for key in columns]
    order = [rank.desc() if query.descending else rank.asc() for rank in ranks]
    if guest[query.sort].nullable:
        order[0] = order[0].nulls_last()
    keys = _matching(select(*(guest[key] for key in columns)), query)
    found = keys.order_by(*order).offset(query.offset).limit(query.limit).subquery().c
    same = (found.source == guest.source) & (found.kind == guest.kind) & (found.name == guest.name)
    return _whole().join(found.source.table, same).order_by(*order)


def _rank(key: str) -> ColumnElement[Any]:
    """What a column sorts by."""
    column = tables.guests.c[key]
    if key not in _WORST_FIRST:
        return column
    return case({word: place for place, word in enumerate(_WORST_FIRST[key])}, value=column, else_=-1)


async def _forget(connection: AsyncConnection, table: Table, source: str, refs: Collection[Ref]) -> None:
    if refs:
        at = table.c
        this = (at.source == source) & (at.kind == bindparam("its_kind")) & (at.name == bindparam("its_name"))
        named = [{"its_kind": ref.kind, "its_name": ref.name} for ref in refs]
        await connection.execute(delete(table).where(this), named)


def _digest(delivery: str) -> str:
    return hashlib.sha256(delivery.encode("utf-8", "surrogatepass")).hexdigest()
