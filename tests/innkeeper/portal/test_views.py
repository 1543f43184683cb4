"""What pages show, made from what is known: tables, and properties of what goes there and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment
from markupsafe import Markup

from innkeeper.control.forms import Form
from innkeeper.control.looking import Overview
from innkeeper.control.memory import Counts, GuestQuery
from innkeeper.control.ports import Snapshot, Task
from innkeeper.model.jobs import Job, Request
from innkeeper.model.objects import AllowedRange, Ref
from innkeeper.model.plan import Change, Json, Plan, Step
from innkeeper.model.records import Drift, SourceRecord
from innkeeper.web.pages.clusters import heat
from innkeeper.web.views import formfields, listing, words
from innkeeper.web.views.attention import attention
from innkeeper.web.views.comparing import compare, flatten
from innkeeper.web.views.planview import plan_view, view_of
from innkeeper.web.views.timeline import timeline
from tests.innkeeper.portal.scene import HOSTILE, PROFILES, guests, plan_json, replacement

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
        (-5, "0 s"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(seconds: int, text: str) -> None:
    assert words.span(timedelta(seconds=seconds)) == text


def test_moments_are_past_to_come_or_never() -> None:
    assert "3 min ago" in words.ago(AT - timedelta(minutes=3), AT)
    assert "in 2 h" in words.ago(AT + timedelta(hours=2), AT)
    assert "never" in words.ago(None, AT)
    assert 'datetime="2026-05-01T12:00:00+00:00"' in words.ago(AT, AT)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (True, "true"),
        (["a", 1], "a, 1"),
        ([], "[]"),
        ({"ip": "dhcp", "vlan": None}, "ip: dhcp, vlan: –"),
        ("", '""'),
        ("512Mi", "512Mi"),
    ],
)
def test_values_are_spelled_as_manifests_do(value: Json, text: str) -> None:
    assert words.spelled(value) == text


@pytest.mark.parametrize(
    ("url", "leads"),
    [
        ("https://git.example.org/1", True),
        ("http://127.0.0.1:3000/x", True),
        ("javascript:alert(1)", False),
        ("JAVASCRIPT:alert(1)", False),
        ("data:text/html,x", False),
        (" javascript:alert(1)", False),
        ("//elsewhere.example", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_links_lead_to_the_web_or_nowhere(url: str, leads: bool) -> None:
    assert words.web_address(url) == (url if leads else "")


@pytest.mark.parametrize("size", [(0, "0 B"), (1023, "1023 B"), (1 << 20, "1.0 MiB"), (39 << 30, "39 GiB")])
def test_sizes(size: tuple[int, str]) -> None:
    assert words.size(size[0]) == size[1]


def test_what_others_wrote_is_escaped_in_every_piece_of_markup() -> None:
    templates = Environment(autoescape=True)
    words.install(templates)
    names = ("health", "sync", "job_state", "result", "severity", "impact", "sign", "commit", "key")
    for name in names:
        shown = str(Markup("{}").format(templates.filters[name](HOSTILE)))
        assert "<img" not in shown, name


def test_a_status_is_never_told_by_colour_alone() -> None:
    for among in (words.HEALTH, words.SYNC, words.JOBS, words.RESULTS, words.FINDINGS):
        by_shape = {(mark.shape, mark.word) for mark in among.values()}
        assert len(by_shape) == len(among)
        assert all(mark.word for mark in among.values())


def test_lists_are_compared_by_what_people_call_their_items() -> None:
    spec: dict[str, Json] = {
        "network": [{"name": "eth0", "ip": "dhcp"}, {"name": "eth1", "bridge": "vmbr1"}],
        "needs": ["Container/db"],
        "cpu": {},
    }
    assert dict(flatten(spec)) == {
        "network.eth0.ip": "dhcp",
        "network.eth1.bridge": "vmbr1",
        "needs": ["Container/db"],
        "cpu": {},
    }


def test_what_differs_is_what_a_sync_would_change() -> None:
    found = compare(
        {"memory": "1Gi", "cpu": {"cores": 2}, "tags": ["b", "a"]},
        {"memory": "4Gi", "cpu": {"cores": 2}, "tags": ["a", "b"], "swap": "512Mi"},
        {"cpu.cores": 4},
        [{"field": "memory", "from": "4Gi", "to": "1Gi"}],
    )
    assert {row.field: row.state for row in found.managed} == {
        "memory": "differs",
        "cpu.cores": "waits",
        "tags": "same",
    }
    assert [row.field for row in found.unmanaged] == ["swap"]
    assert found.differing == 2
    assert next(row for row in found.managed if row.field == "cpu.cores").pending == 4


def test_what_is_declared_by_its_name_alone_is_there_or_not() -> None:
    disks: dict[str, Json] = {"disks": [{"slot": "efidisk0"}]}
    there = compare(disks, {"disks": [{"slot": "efidisk0", "storage": "fast"}]}, {}).managed
    assert [(row.desired, row.live) for row in there] == [(True, True)]
    assert compare(disks, {}, {}).managed[0].live is None


def test_a_plan_is_told_gravest_first() -> None:
    view = view_of(replacement())
    assert [group.impact for group in view.groups] == ["data-loss", "replace", "restart", "new"]
    assert view.destroyed == ("old-proxy", "wiki")
    assert view.told == "1 to create, 1 to update, 1 to replace, 1 to delete; 34 unchanged"
    assert [field.impact for step in view.steps if step.name == "docs" for field in step.fields] == [
        "restart",
        "live",
        "none",
    ]


def test_fields_are_shown_with_the_commit_of_their_line() -> None:
    view = plan_view(plan_json(replacement()))
    assert view is not None
    assert ("guests/wiki.yaml", 8) in view.places
    shown = view.blamed({("guests/wiki.yaml", 8): "abc"})
    by_field = {(step.name, item.field): item for step in shown.steps for item in step.fields}
    assert by_field["wiki", "template"].commit == "abc"
    assert by_field["wiki", "template"].place == "guests/wiki.yaml:8"
    assert by_field["wiki", "rootDisk.size"].commit == ""


def test_what_is_refused_is_never_among_what_is_done() -> None:
    step = Step("replace", Ref("Container", "web"), "c", "n", 100, "replace", refused="needs --replace")
    view = view_of(Plan((step,)))
    assert [group.impact for group in view.groups] == ["refused"]
    assert view.destroyed == ()


def test_lost_data_is_grave_whatever_the_action() -> None:
    change = Change("rootDisk.size", "8Gi", "4Gi", "data-loss")
    for action in ("update", "replace"):
        step = Step(action, Ref("Container", "web"), "c", "n", 100, "data-loss", (change,))
        view = view_of(Plan((step,)))
        assert [group.impact for group in view.groups] == ["data-loss"]
        assert view.destroyed == ("web",)


@pytest.mark.parametrize("result", [{}, {"steps": None}, {"revision": "abc"}])
def test_the_result_of_another_job_is_no_plan(result: dict[str, Json]) -> None:
    assert plan_view(result) is None


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=5), max_size=5))
def test_any_step_can_be_shown(step: dict[str, Json]) -> None:
    assert plan_view({"steps": [step, None, 3]}) is not None


@given(
    st.builds(
        GuestQuery,
        text=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=20),
        sources=st.sampled_from([(), ("a b",), ("x&y",)]),
        nodes=st.sampled_from([(), ("pve1",)]),
        sync=st.sampled_from([(), ("OutOfSync",), ("OutOfSync", "Unknown")]),
        sort=st.sampled_from(listing.SORTS),
        descending=st.booleans(),
        offset=st.integers(0, 100_000),
    )
)
def test_a_list_is_its_address(query: GuestQuery) -> None:
    from urllib.parse import parse_qsl, urlsplit

    address = listing.to_address(query)
    assert listing.from_address(dict(parse_qsl(urlsplit(address).query))) == query


@given(st.dictionaries(st.sampled_from(["text", "sort", "down", "start", "sync", "node"]), st.text(max_size=30)))
def test_any_address_is_some_list(params: dict[str, str]) -> None:
    query = listing.from_address(params)
    assert query.offset >= 0
    assert query.sort in listing.SORTS


def test_pages_of_a_list() -> None:
    query = GuestQuery(limit=100)
    assert listing.earlier(query) == ""
    assert listing.later(query, 100) == ""
    assert listing.later(query, 101) == "/guests?start=100"
    assert listing.sorted_by(query, "name") == "/guests?down=1"
    assert listing.sorted_by(query, "health") == "/guests?sort=health"


_plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=12)


@given(
    st.builds(
        Form,
        source=_plain,
        kind=st.sampled_from(["Container", "VirtualMachine"]),
        name=_plain,
        description=_plain,
        cores=st.none() | st.integers(0, 10**8),
        vlan=st.none() | st.integers(0, 10**8),
        start=st.booleans(),
        expose=st.booleans(),
        network=st.sampled_from(["dhcp", "static"]),
        ssh_keys=st.lists(_plain.filter(bool), max_size=3).map(tuple),
    )
)
def test_a_form_goes_to_the_browser_and_back(form: Form) -> None:
    assert formfields.from_browser(dict(formfields.to_browser(form))) == (form, {})


@pytest.mark.parametrize("text", ["two", "-1", "1.5", "1e9", "٣", "9" * 30])
def test_what_is_no_number_is_said_at_its_field(text: str) -> None:
    form, problems = formfields.from_browser({"memory": text})
    assert form.memory is None
    assert "a whole number" in problems["memory"]


def test_limits_are_those_of_the_profile() -> None:
    found = formfields.limits(PROFILES[0])
    assert found["memory"].hint == "256 to 4096 MiB"
    assert found["cores"].hint == "1 to 4"
    assert 'max="64"' in found["disk"].attributes
    assert formfields.limits(None)["memory"].hint == ""
    assert formfields.told(AllowedRange(min="256Mi", max="4Gi")) == "256Mi to 4Gi"
    assert formfields.told(AllowedRange.model_validate({"oneOf": ("a", "b")})) == "a, b"
    assert formfields.told(AllowedRange(max=4)) == "at most 4"


def test_attention_is_ordered_by_what_cannot_wait() -> None:
    ref = Ref("Container", "docs")
    failed = Job(4, Request("sync", "homelab"), "failed", AT, error="no space")
    waiting = Job(5, Request("sync", "homelab"), "waiting", AT)
    drifts = tuple(Drift(n, "homelab", ref, "attic", 100, field, 1, 2, AT, "root@pam") for n, field in enumerate("ab"))
    sick = tuple(guest for guest in guests() if guest.health == "Degraded")
    waits = tuple(guest for guest in guests() if guest.ref == ref)
    source = SourceRecord("lab", suspended=True)
    found = attention(Overview(Counts(), (failed,), (waiting,), drifts, sick, waits, (source,), ()))
    assert [item.mark.word for item in found] == [
        "Failed",
        "Approval",
        "Degraded",
        "Suspended",
        "Drifted",
        "Restart due",
    ]
    assert found[4].text == "a: 1 → 2; b: 1 → 2, by root@pam"
    assert found[4].post == "/guests/homelab/Container/docs/heal"
    assert attention(Overview(Counts(), (), (), (), (), (), (), ())) == ()


def test_a_timeline_is_newest_first() -> None:
    job = Job(7, Request("sync", "s"), "failed", AT - timedelta(hours=1), error="no")
    drift = Drift(1, "s", Ref("Container", "a"), "c", 100, "memory", "1Gi", "2Gi", AT, ended_at=AT + timedelta(hours=1))
    task = Task("UPID", "n", "vzset", "root@pam", AT - timedelta(minutes=1), AT, "OK")
    broken = Task("UPID", "n", "vzdump", "root@pam", AT - timedelta(hours=2), AT, "no space")
    found = timeline(
        (), (job,), (drift,), (task, broken), (Snapshot("s1", AT - timedelta(days=1)), Snapshot("s2", None))
    )
    assert [event.title for event in found] == [
        "memory is as declared again",
        "memory: 1Gi → 2Gi",
        "vzset by root@pam",
        "Sync: failed",
        "vzdump by root@pam",
        "s1",
    ]
    assert [event.tone for event in found] == ["ok", "warn", "idle", "bad", "bad", "busy"]


def test_the_map_has_every_guest_that_exists_where_it_lives() -> None:
    found = dict(heat(guests(), ["pve9"]))
    assert found["pve9"] == ()
    assert sum(map(len, found.values())) == len([guest for guest in guests() if guest.vmid])
    warmth = {cell.vmid: cell.warmth for cells in found.values() for cell in cells}
    assert (warmth[10044], warmth[10043], warmth[10045], warmth[10046]) == (1, 2, 3, 4)
