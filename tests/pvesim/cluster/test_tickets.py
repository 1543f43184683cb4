"""Tickets live for two hours, and belong to whom they were made for."""

from __future__ import annotations

import pytest

from pvesim.cluster import seed, tickets
from pvesim.cluster.access import Auth
from pvesim.cluster.clock import Clock
from pvesim.cluster.state import Cluster
from pvesim.errors import ApiError


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    clock = Clock()
    monkeypatch.setattr(clock, "now", lambda: 1_700_000_000.0)
    return seed.plant(seed.DEFAULT | {"users": [{"userid": "bob@pve", "password": "secret12"}]}, clock)


def later(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = cluster.clock.now() + seconds
    monkeypatch.setattr(cluster.clock, "now", lambda: now)


def enter(cluster: Cluster, ticket: str, csrf: str = "", verb: str = "GET") -> Auth | None:
    headers = {b"cookie": f"PVEAuthCookie={ticket}".encode(), b"csrfpreventiontoken": csrf.encode()}
    return tickets.authenticate(cluster, verb, "/version", headers)


@pytest.mark.parametrize(("seconds", "valid"), [(0, True), (7199, True), (7201, False), (-299, True), (-301, False)])
def test_the_lifetime(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, seconds: int, valid: bool) -> None:
    ticket, csrf = tickets.make_ticket(cluster, "bob@pve")
    later(cluster, monkeypatch, seconds)
    if valid:
        assert enter(cluster, ticket, csrf, "POST") == Auth("bob@pve")
    else:
        with pytest.raises(ApiError, match="permission denied - invalid PVE ticket"):
            enter(cluster, ticket, csrf, "POST")


def test_a_forged_ticket_or_one_of_another_cluster_is_refused(cluster: Cluster) -> None:
    ticket, csrf = tickets.make_ticket(cluster, "bob@pve")
    other, _ = tickets.make_ticket(seed.plant(seed.DEFAULT, cluster.clock), "root@pam")
    for wrong in (ticket.replace("bob@pve", "root@pam"), other, ticket[:-1], "PVE:::", ""):
        with pytest.raises(ApiError):
            enter(cluster, wrong)
    root, _ = tickets.make_ticket(cluster, "root@pam")
    with pytest.raises(ApiError, match="invalid csrf token"):
        enter(cluster, root, csrf, "POST")


def test_a_ticket_in_place_of_a_password(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    bob, _ = tickets.make_ticket(cluster, "bob@pve")
    root, _ = tickets.make_ticket(cluster, "root@pam")
    assert tickets.login(cluster, "bob@pve", bob)
    assert tickets.login(cluster, "bob@pve", root)
    assert not tickets.login(cluster, "root@pam", bob)
    later(cluster, monkeypatch, 8000)
    assert not tickets.login(cluster, "bob@pve", bob)
    assert tickets.login(cluster, "bob@pve", "secret12")


def test_an_expired_user_is_out(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ticket, _ = tickets.make_ticket(cluster, "bob@pve")
    cluster.users["bob@pve"].expire = int(cluster.clock.now()) + 10
    assert enter(cluster, ticket) == Auth("bob@pve")
    later(cluster, monkeypatch, 11)
    with pytest.raises(ApiError, match="Authentication failed!"):
        enter(cluster, ticket)
    assert not tickets.login(cluster, "bob@pve", "secret12")
