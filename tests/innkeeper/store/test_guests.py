"""The guests' list: what the database finds is what a plain loop over the records would find."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innkeeper.control.memory import GuestQuery, Sort, Store
from innkeeper.model.objects import Ref
from innkeeper.model.records import GuestRecord
from innkeeper.model.status import Condition, Health, Sync
from innkeeper.store import open_store

CONDITIONS = st.sampled_from(["PendingReboot", "Drifted", "Ready"])
NAMES = st.sampled_from(["web", "db", "Web-1", "a_b", "a%b", "ü", "proxy"])
MOMENTS = st.none() | st.integers(0, 5).map(lambda days: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days))


def condition(kind: str, status: str = "True") -> Condition:
    return Condition(kind, status, "Because", "of this")  # type: ignore[arg-type]


RECORDS = st.builds(
    GuestRecord,
    source=st.sampled_from(["home", "work"]),
    ref=st.builds(Ref, st.sampled_from(["Container", "VirtualMachine"]), NAMES),
    cluster=st.sampled_from(["one", "two"]),
    node=st.sampled_from(["pve1", "pve2", ""]),
    vmid=st.none() | st.integers(100, 999),
    hostname=NAMES,
    address=st.sampled_from(["", "10.0.0.1", "10.0.0.10", "fd00::1"]),
    sync=st.sampled_from(get_args(Sync)),
    health=st.sampled_from(get_args(Health)),
    power=st.just("running"),
    revision=st.sampled_from(["abc", "def", ""]),
    conditions=st.lists(
        st.builds(
            condition, st.sampled_from(["PendingReboot", "Drifted", "Ready"]), st.sampled_from(["True", "False"])
        ),
        max_size=3,
    ).map(tuple),
    checks=st.just(({"name": "http", "ok": True},)),
    desired=st.just({"z": 1, "a": {"deep": [1, None]}}),
    created_at=MOMENTS,
    seen_at=MOMENTS,
)
WORLDS = st.lists(RECORDS, max_size=25, unique_by=lambda record: (record.source, record.ref))


def some(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


QUERIES = st.builds(
    GuestQuery,
    text=st.sampled_from(["", "web", "WEB", "e", "_", "%", "10.0.0.1", "pve1 1", "\\", "ü", "12"]),
    sources=some("home", "work", "gone"),
    clusters=some("one", "two"),
    nodes=some("pve1", ""),
    sync=some(*get_args(Sync)),
    health=some(*get_args(Health)),
    conditions=some("PendingReboot", "Drifted"),
    sort=st.sampled_from(get_args(Sort)),
    descending=st.booleans(),
    offset=st.integers(0, 5),
    limit=st.integers(1, 10),
)


WORST_FIRST = {
    "sync": ["OutOfSync", "Unknown", "Synced"],
    "health": ["Missing", "Degraded", "Unknown", "Progressing", "Suspended", "Healthy"],
}


def naive(world: list[GuestRecord], query: GuestQuery) -> tuple[tuple[GuestRecord, ...], int]:
    def wanted(record: GuestRecord) -> bool:
        words = (record.ref.name, record.hostname, record.address, record.node, str(record.vmid or ""))
        true = {item.type for item in record.conditions if item.status == "True"}
        return (
            all(any(term in word.lower() for word in words) for term in query.text.lower().split())
            and (not query.sources or record.source in query.sources)
            and (not query.clusters or record.cluster in query.clusters)
            and (not query.nodes or record.node in query.nodes)
            and (not query.sync or record.sync in query.sync)
            and (not query.health or record.health in query.health)
            and (not query.conditions or not true.isdisjoint(query.conditions))
        )

    def value(record: GuestRecord) -> object:
        found = record.ref.name if query.sort == "name" else getattr(record, query.sort)
        return WORST_FIRST[query.sort].index(found) if query.sort in WORST_FIRST else found

    found = [record for record in world if wanted(record)]
    found.sort(key=lambda record: (record.ref.name, record.ref.kind, record.source), reverse=query.descending)
    known = [record for record in found if value(record) is not None]
    known.sort(key=value, reverse=query.descending)  # type: ignore[arg-type]
    ordered = known + [record for record in found if value(record) is None]
    return tuple(ordered[query.offset : query.offset + query.limit]), len(found)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def test_a_query_finds_what_a_loop_would(database: str, runner: asyncio.Runner) -> None:
    store, _ = runner.run(open_store(database))

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(WORLDS, st.lists(QUERIES, min_size=1, max_size=5))
    def check(world: list[GuestRecord], queries: list[GuestQuery]) -> None:
        async def compare() -> None:
            for source in ("home", "work"):
                await store.put_guests(source, [item for item in world if item.source == source], whole=True)
            for query in queries:
                page = await store.guests(query)
                assert (page.guests, page.total) == naive(world, query)
            counts = await store.counts()
            assert counts.guests == len(world) == sum(counts.sync.values()) == sum(counts.health.values())
            for kind in ("PendingReboot", "Drifted", "Ready"):
                assert counts.conditions.get(kind, 0) == naive(world, GuestQuery(conditions=(kind,)))[1]

        runner.run(compare())

    try:
        check()
    finally:
        runner.run(store.close())


def record(name: str, source: str = "home", **more: object) -> GuestRecord:
    given = {
        "cluster": "one",
        "node": "pve1",
        "vmid": 100,
        "hostname": name,
        "address": "",
        "sync": "Synced",
        "health": "Healthy",
        "power": "running",
        "revision": "abc",
        **more,
    }
    return GuestRecord(source=source, ref=Ref("Container", name), **given)  # type: ignore[arg-type]


async def test_a_part_of_the_guests_is_put_without_losing_the_rest(store: Store) -> None:
    await store.put_guests("home", [record("web"), record("db", conditions=(condition("Drifted"),))], whole=True)
    await store.put_guests("work", [record("web", "work", vmid=101)], whole=True)
    await store.put_guests("home", [record("web", node="pve2", conditions=(condition("Drifted"),))], whole=False)
    found = (await store.guests(GuestQuery(sort="source"))).guests
    assert [(item.source, item.ref.name, item.node) for item in found] == [
        ("home", "db", "pve1"),
        ("home", "web", "pve2"),
        ("work", "web", "pve1"),
    ]
    assert (await store.counts()).conditions == {"Drifted": 2}
    await store.put_guests("home", [record("db")], whole=False)
    assert (await store.counts()).conditions == {"Drifted": 1}
    await store.put_guests("home", [], whole=True)
    assert [item.source for item in (await store.guests(GuestQuery())).guests] == ["work"]
    assert (await store.counts()).conditions == {}


async def test_a_guest_comes_back_whole(store: Store) -> None:
    whole = record(
        "web",
        conditions=(condition("PendingReboot"),),
        checks=({"name": "http", "ok": False},),
        changes=({"field": "cores", "from": 1, "to": 2, "impact": "restart"},),
        desired={"z": 1, "a": 2},
        live={"z": None},
        pending={"cores": 2},
        file="guests/web.yaml",
        line=7,
        profile="static-website",
        protected=True,
        created_at=datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC),
        seen_at=datetime(2026, 2, 1, tzinfo=UTC),
    )
    await store.put_guests("home", [whole], whole=True)
    found = await store.guest("home", Ref("Container", "web"))
    assert found == whole
    assert list(found.desired) == ["z", "a"], "a manifest's fields stay in their order"
    assert await store.guest("home", Ref("VirtualMachine", "web")) is None
    assert await store.owner("one", 100) == ("home", Ref("Container", "web"))
    assert await store.owner("two", 100) is None
