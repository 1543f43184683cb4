"""The pure parts: when a key is due, what a status says, who belongs where."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from innkeeper.engine.errors import Conflict, EngineError, NotLetIn, Stalled, Uncertain, Waiting
from innkeeper.model.diagnostics import Diagnostic, Location
from innkeeper.model.inside import CheckResult
from innkeeper.model.objects import Cluster, ClusterSpec, Credentials, Origin
from innkeeper.operator import reports
from innkeeper.operator.board import Board
from innkeeper.operator.connection import reason_of
from innkeeper.operator.objects import Key, Object
from innkeeper.operator.queue import Queue, backoff
from innkeeper.operator.secrets import SecretMissing
from innkeeper.operator.wanted import guest_of

LAB = ClusterSpec(endpoints=("https://192.0.2.1:8006",), credentials=Credentials(file="-"))
WEB = Key("machines", "default", "web")
NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def item(name: str = "web", plural: str = "machines", version: int = 1, **fields: Any) -> Object:
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": str(version)}
    return Object.of(plural, {"metadata": meta | fields.pop("metadata", {}), **fields})


def test_backoff_is_as_published() -> None:
    assert [backoff(failures) for failures in range(1, 12)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert backoff(10_000) == 300


async def test_a_key_is_worked_on_once_at_a_time() -> None:
    clock = [0.0]
    queue = Queue(lambda: clock[0])
    queue.add([WEB])
    queue.add([WEB], after=5)
    assert await queue.take() == [WEB]
    queue.add([WEB])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await queue.take()
    queue.done([WEB])
    assert await queue.take() == [WEB], "what came in meanwhile is one more look"
    queue.failed(WEB)
    queue.failed(WEB)
    queue.done([WEB])
    clock[0] = 0.9
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await queue.take()
    clock[0] = 1.1
    assert await queue.take() == [WEB]


@given(
    st.text(max_size=20),
    st.text(max_size=50),
    st.sampled_from(["error", "warning", "info"]),
    st.booleans(),
)
def test_no_status_ever_has_an_empty_reason(code: str, summary: str, severity: Any, native: bool) -> None:
    findings = (Diagnostic(severity, code or "Code", summary),)
    told = (
        reports.of_findings(findings),
        reports.of_findings(()),
        reports.creating(1, "pve"),
        reports.problem("X", ""),
    )
    for report in told:
        status = reports.status(report, item(plural="containers" if native else "machines"), NOW)
        assert status is not None
        assert all(one["reason"] and one["lastTransitionTime"] for one in status["conditions"])


def test_a_status_that_says_nothing_new_is_not_written() -> None:
    report = reports.exists(100, "pve", running=True, addresses=("10.0.0.7",))
    first = reports.status(report, item(), NOW)
    assert first is not None and first["phase"] == "Running" and first["ipAddresses"] == ["10.0.0.7"]
    assert reports.status(report, item(status=first), LATER) is None
    stopped = reports.status(reports.exists(100, "pve", running=False), item(status=first), LATER)
    assert stopped is not None
    since = {one["type"]: one["lastTransitionTime"] for one in stopped["conditions"]}
    assert since["Ready"] == LATER and since["VMCreated"] == NOW, "only what changed has a new moment"


def test_an_unreachable_cluster_leaves_what_was_known() -> None:
    known = reports.status(reports.exists(100, "pve", running=True), item(), NOW)
    assert known is not None
    away = reports.Report((reports.ready("ClusterUnreachable", "no answer"),))
    told = reports.status(away, item(status=known), LATER)
    assert told is not None and told["phase"] == "Running" and told["vmid"] == 100
    native = reports.status(away, item(plural="containers"), LATER)
    assert native is not None and native["sync"] == native["health"] == "Unknown"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotLetIn("x"), "AuthenticationFailed"),
        (SecretMissing("x"), "SecretNotFound"),
        (Stalled("x"), "ClusterRefused"),
        (Waiting("x"), "ClusterUnreachable"),
        (Uncertain("x"), "ClusterUnreachable"),
        (Conflict("x"), "ClusterUnreachable"),
        (EngineError("x"), "ClusterUnreachable"),
    ],
)
def test_every_error_has_a_reason(error: EngineError, reason: str) -> None:
    assert reason_of(error) == reason


def test_where_a_machine_belongs() -> None:
    board = Board("team/default")
    label = {"labels": {"cluster.vitistack.io/cluster-name": "lab"}}
    assert board.home(item()) == Key("proxmoxclusters", "team", "default")
    assert board.home(item(metadata=label)) == Key("proxmoxclusters", "default", "lab")
    native = item(plural="containers", spec={"cluster": "lab"})
    assert board.home(native) == Key("clusters", "default", "lab")
    board.put(item("lab", plural="proxmoxclusters"))
    assert board.home(native) == Key("proxmoxclusters", "default", "lab"), "the only one of that name"
    board.put(item("lab", plural="clusters"))
    assert board.home(native) == Key("clusters", "default", "lab")
    assert board.home(item(metadata=label)) == Key("proxmoxclusters", "default", "lab"), "of the Machine's own family"
    before = item(
        plural="containers", spec={"cluster": "lab"}, metadata={"annotations": {"innkeeper.dev/cluster": "default/lab"}}
    )
    assert board.home(before) == Key("proxmoxclusters", "default", "lab") and not board.moved(before)
    made = {"annotations": {"innkeeper.dev/cluster": "default/old"}}
    moved = item(metadata=label | made)
    assert board.home(moved) == Key("proxmoxclusters", "default", "old") and board.moved(moved)
    assert Board().home(item()) is None
    stranger = {"annotations": {"innkeeper.dev/cluster": "other/lab"}}
    assert board.home(item(metadata=stranger)) == Key("proxmoxclusters", "team", "default")
    assert board.home(item(metadata=label | stranger)) == Key("proxmoxclusters", "default", "lab")


def test_the_board_knows_news_from_echoes() -> None:
    board = Board()
    assert board.put(item(version=5, spec={"memory": 1}))
    assert not board.put(item(version=6, spec={"memory": 1}, status={"phase": "Running"})), "our own status"
    assert not board.put(item(version=4, spec={"memory": 2})), "older than what is known"
    assert board.put(item(version=7, metadata={"annotations": {"innkeeper.dev/power": "stop"}}))
    board.put(item("other", spec={"vmid": 2000}))
    board.put(item("third", plural="containers", metadata={"annotations": {"innkeeper.dev/vmid": "10001"}}))
    assert board.promised() == {2000, 10_001}


def test_needs_are_of_the_same_namespace_and_a_circle_is_seen() -> None:
    board = Board()
    guests = [("a", ["Container/b"]), ("b", ["VirtualMachine/c", "Container/d"]), ("d", ["Container/a"])]
    for name, needs in guests:
        board.put(item(name, plural="containers", spec={"needs": needs}))
    first = board.get(Key("containers", "default", "a"))
    assert first is not None
    assert [key.name for key in board.circle(first)] == ["a", "b", "d", "a"]
    board.put(item("d", plural="containers", version=2, spec={}))
    assert board.circle(first) == ()
    assert [other.key.name for other in board.dependents(Key("virtualmachines", "default", "c"))] == ["b"]


def test_conditions_that_have_nothing_to_say_any_more_go() -> None:
    checks = (CheckResult("http 80/", False, "answered 500"),)
    sick = reports.status(
        reports.exists(100, "pve", running=True, roles=("web",), checks=checks), item(plural="containers"), NOW
    )
    assert sick is not None and (sick["sync"], sick["health"]) == ("Synced", "Degraded")
    told = {one["type"]: (one["status"], one["reason"]) for one in sick["conditions"]}
    assert told["Ready"] == ("False", "Unhealthy") and told["Healthy"] == ("False", "CheckFailed")
    assert told["Configured"] == ("True", "RolesApplied")
    well = reports.status(reports.exists(100, "pve", running=True), item(plural="containers", status=sick), LATER)
    assert well is not None and well["health"] == "Healthy"
    assert not {"Healthy", "Configured"} & {one["type"] for one in well["conditions"]}


def test_stores_of_secrets_are_refused_even_where_the_api_server_let_them_in() -> None:
    stores = {"mine": {"vault": "vault.yml", "vaultPasswordCommand": "id"}}
    lab = Cluster("default/lab", LAB, Origin(Location("lab")))
    wanted = {"rootDisk": {"size": "4Gi"}, "profile": "small"}
    own = item(plural="containers", spec=wanted | {"configure": {"secrets": stores, "roles": [{"role": "base"}]}})
    found = guest_of(own, lab)
    assert isinstance(found, reports.Report) and found.ready.reason == "NotSupported"
    profile = item("small", plural="profiles", spec={"configure": {"secrets": stores, "roles": [{"role": "base"}]}})
    found = guest_of(item(plural="containers", spec=wanted), lab, [profile])
    assert isinstance(found, reports.Report) and found.ready.reason == "NotSupported"
    assert "profile small" in found.ready.message
