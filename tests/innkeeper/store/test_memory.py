"""Drift, sources, revisions, deliveries, the audit log, small facts."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from innkeeper.control.memory import Store
from innkeeper.model.objects import Ref
from innkeeper.model.plan import Json
from innkeeper.model.records import Drift, Entry, Revision, SourceRecord
from innkeeper.store import open_store
from tests.innkeeper.store.conftest import Clock

WEB = Ref("Container", "web")
NOW = datetime(2026, 5, 4, tzinfo=UTC)


def drift(field: str = "cores", after: Json = 4, **more: object) -> Drift:
    return Drift(0, "home", WEB, "one", 100, field, 2, after, NOW, **more)  # type: ignore[arg-type]


async def test_drift_is_new_once_lasts_and_ends(store: Store, clock: Clock) -> None:
    [new] = await store.put_drift([drift()], "home")
    assert (new.id > 0, replace(new, id=0)) == (True, drift())
    assert await store.put_drift([drift(who="root@pam", task="UPID:x")], "home") == ()
    [lasting] = await store.drifts()
    assert lasting == replace(new, who="root@pam", task="UPID:x"), "who it was is learnt later"
    assert await store.put_drift([drift()], "home") == ()
    assert (await store.drifts())[0].who == "root@pam", "and not forgotten"
    assert await store.put_drift([], "work") == ()
    assert len(await store.drifts(source="home", ref=WEB)) == 1
    assert await store.put_drift([], "home") == ()
    assert await store.drifts() == ()
    [ended] = await store.drifts(ended=True)
    assert ended.ended_at == clock.now
    [again] = await store.put_drift([drift()], "home")
    assert again.id > new.id
    await store.forget_jobs(clock() + timedelta(seconds=1), keep=1)
    assert await store.drifts(ended=True) == (again,), "what lasts is not forgotten"


async def test_another_value_is_another_drift_that_stays_ignored(store: Store) -> None:
    [new] = await store.put_drift([drift()], "home")
    until = NOW + timedelta(days=7)
    ignored = await store.ignore_drift(new.id, until)
    assert ignored == replace(new, ignored_until=until)
    [other] = await store.put_drift([drift(after=8)], "home")
    assert (other.after, other.ignored_until) == (8, until)
    assert [item.id for item in await store.drifts()] == [other.id]
    assert [item.id for item in await store.drifts(ended=True)] == [other.id, new.id]
    assert await store.ignore_drift(4711, None) is None
    assert (await store.ignore_drift(other.id, None) or other).ignored_until is None


@pytest.mark.parametrize("value", [None, 0, False, "", [], {}, ["a"], {"b": None}, 1.5])
async def test_a_drift_holds_any_value(store: Store, value: Json) -> None:
    [new] = await store.put_drift([drift(after=value)], "home")
    assert (new.after, type(new.after)) == (value, type(value))
    assert await store.put_drift([drift(after=value)], "home") == ()


async def test_a_source_is_remembered_field_by_field(database: str, store: Store) -> None:
    assert await store.source("home") == SourceRecord("home")
    assert await store.put_source("home", seen="abc", fetched_at=NOW) == SourceRecord("home", "abc", fetched_at=NOW)
    assert await store.put_source("home") == SourceRecord("home", "abc", fetched_at=NOW)
    other, _ = await open_store(database)
    await asyncio.gather(store.put_source("home", suspended=True), other.put_source("home", pinned="abc"))
    await other.close()
    assert await store.source("home") == SourceRecord("home", "abc", fetched_at=NOW, suspended=True, pinned="abc")
    with pytest.raises(TypeError, match="no such field"):
        await store.put_source("home", shoe_size=47)


async def test_revisions_are_listed_in_the_order_of_their_syncs(store: Store) -> None:
    one, two = (Revision("home", name, "Ada", f"Add {name}", NOW, 1, NOW) for name in ("one", "two"))
    for revision in (one, two, replace(one, job=2), Revision("work", "one", "Bob", "Other", NOW)):
        await store.add_revision(revision)
    assert await store.revisions("home") == (replace(one, job=2), two)
    assert await store.revisions("home", limit=1) == (replace(one, job=2),)
    assert len(await store.revisions("work")) == 1


async def test_a_delivery_is_known_by_its_source_and_forgotten_after_a_week(database: str, store: Store) -> None:
    long = "d" * 5000
    other, _ = await open_store(database)
    assert not await store.delivered("home", long)
    await asyncio.gather(*(each.add_delivery("home", long, NOW) for each in (store, other) * 5))
    assert await other.delivered("home", long)
    await other.close()
    assert not await store.delivered("work", long)
    await store.add_delivery("home", "other", NOW + timedelta(days=6))
    assert await store.delivered("home", long)
    await store.add_delivery("home", "third", NOW + timedelta(days=8))
    assert not await store.delivered("home", long), "so that the table stays small"


async def test_the_audit_log_is_only_added_to(database: str, store: Store) -> None:
    for number in range(5):
        await store.audit(Entry(NOW, "ada", "approve", f"job {number}", "digest", "10.0.0.9"))
    entries = await store.audits(limit=2)
    assert [entry.target for entry in entries] == ["job 4", "job 3"]
    assert entries[0] == Entry(NOW, "ada", "approve", "job 4", "digest", "10.0.0.9", entries[0].id)
    assert [entry.target for entry in await store.audits(before=entries[-1].id)] == ["job 2", "job 1", "job 0"]
    plain = database.replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(plain if "://" in database else f"sqlite:///{database}/innkeeper.db")
    for statement in ("DELETE FROM entries", "UPDATE entries SET actor = 'mallory'"):
        with engine.connect() as connection, pytest.raises(DBAPIError, match="the audit log is only added to"):
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize("value", [None, 0, "text", [1, [2]], {"a": {"b": True}}])
async def test_small_facts(store: Store, value: Json) -> None:
    assert await store.value("comment/home/7") is None
    await store.put_value("comment/home/7", "before")
    await store.put_value("comment/home/7", value)
    assert await store.value("comment/home/7") == value
    await store.writable()
