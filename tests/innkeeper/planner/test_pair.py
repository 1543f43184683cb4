"""Pairing: one row for each way in which a declared guest can meet a cluster."""

from dataclasses import replace

import pytest

from innkeeper.model.objects import Guest
from innkeeper.model.observed import ClusterView, Node
from innkeeper.planner.pair import Absent, Adopt, Blocked, Ours, Outcome, pair
from tests.innkeeper.planner.worlds import SOURCE, container, machine, marker, seen, view

DARK = {"pve1": Node("pve1", False), "pve2": Node("pve2", True)}
WEB = marker("web", 100)
OTHER = marker("web", 100, source="other")


def short(outcome: Outcome) -> str:
    match outcome:
        case Ours(observed, renamed):
            return f"ours {observed.vmid}" + (f" was {renamed}" if renamed else "")
        case Adopt(observed, owner):
            return f"adopt {observed.vmid}" + (f" from {owner}" if owner else "")
        case Absent():
            return "absent"
        case Blocked():
            return outcome.code


TABLE: list[tuple[str, Guest, ClusterView, str]] = [
    ("nothing there", container("web"), view(), "absent"),
    ("vmid free", container("web", vmid=100), view(), "absent"),
    ("ours by marker", container("web"), view(seen(100, owner=WEB)), "ours 100"),
    ("ours, renamed in Proxmox", container("web"), view(seen(100, "other", WEB)), "ours 100"),
    ("ours, tag removed", container("web"), view(seen(100, owner=WEB, tags=())), "ours 100"),
    ("ours by vmid", container("web", vmid=100), view(seen(100, owner=WEB)), "ours 100"),
    ("ours on another vmid than declared", container("web", vmid=200), view(seen(100, owner=WEB)), "ours 100"),
    (
        "the manifest's name changed",
        container("www", vmid=100),
        view(seen(100, owner=WEB)),
        "ours 100 was Container/web",
    ),
    ("foreign at the vmid", container("web", vmid=100), view(seen(100, "theirs")), "NotOurs"),
    ("foreign of the name", container("web"), view(seen(100)), "NotOurs"),
    ("foreign of the name, our vmid is free", container("web", vmid=200), view(seen(100)), "NotOurs"),
    ("foreign of the name in capitals", container("web"), view(seen(100, "WEB")), "NotOurs"),
    ("foreign of the host name", container("web", hostname="www"), view(seen(100, "www")), "NotOurs"),
    ("foreign of the name, another kind", machine("web"), view(seen(100)), "absent"),
    ("adopted", container("web", adopt=True, vmid=100), view(seen(100, "theirs")), "adopt 100"),
    ("adopted without a vmid", container("web", adopt=True), view(seen(100)), "NotOurs"),
    ("adopted and ours already", container("web", adopt=True, vmid=100), view(seen(100, owner=WEB)), "ours 100"),
    ("another source's", container("web", vmid=100), view(seen(100, owner=OTHER)), "OwnershipConflict"),
    ("another source's, by name", container("web"), view(seen(100, owner=OTHER)), "OwnershipConflict"),
    (
        "another source's, adopted",
        container("web", adopt=True, vmid=100),
        view(seen(100, owner=OTHER)),
        "OwnershipConflict",
    ),
    ("another kind at the vmid", machine("web", vmid=100), view(seen(100)), "KindConflict"),
    ("two of ours", container("web"), view(seen(100, owner=WEB), seen(101, owner=marker("web", 101))), "Ambiguous"),
    ("a clone of ours beside it", container("web"), view(seen(100, owner=WEB), seen(101, owner=WEB)), "ours 100"),
    ("only the clone is left", container("web"), view(seen(101, owner=WEB)), "OnlyCopies"),
    ("a copy at the declared vmid", container("web", vmid=101), view(seen(101, owner=WEB)), "NotOurs"),
    ("a copy, adopted", container("web", adopt=True, vmid=101), view(seen(101, owner=WEB)), "adopt 101"),
    ("node offline", container("web", vmid=100), view(seen(100, config=None), nodes=DARK), "NodeOffline"),
    ("name on an offline node", container("web"), view(seen(100, config=None), nodes=DARK), "NodeOffline"),
    (
        "nameless, tagged, on an offline node",
        container("web"),
        view(seen(100, None, config=None, tags=("innkeeper",)), nodes=DARK),
        "NodeOffline",
    ),
    (
        "nameless, tagged, on an offline node, but our vmid is free",
        container("web", vmid=200),
        view(seen(100, None, config=None, tags=("innkeeper",)), nodes=DARK),
        "absent",
    ),
    ("unrelated on an offline node", container("web"), view(seen(100, "x", config=None), nodes=DARK), "absent"),
    ("being created", container("web", vmid=100), view(seen(100, "CT100", lock="create")), "Creating"),
    (
        "somebody creates something nameless",
        container("web"),
        view(seen(100, "CT100", lock="create", config=None)),
        "Creating",
    ),
    ("unreadable", container("web", vmid=100), view(seen(100, config=None, unreadable="no right")), "Unreadable"),
    ("not every guest is seen", container("web"), view(complete=False), "ViewIncomplete"),
    ("not every guest is seen, with a vmid", container("web", vmid=100), view(complete=False), "absent"),
    ("not every guest is seen, but ours", container("web"), view(seen(100, owner=WEB), complete=False), "ours 100"),
]


@pytest.mark.parametrize(("guest", "world", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_pair(guest: Guest, world: ClusterView, expected: str) -> None:
    assert short(pair([guest], world, SOURCE)[guest.ref]) == expected


def test_take_over_allows_another_sources_guest() -> None:
    world = view(seen(100, owner=OTHER))
    for guest in (container("web", vmid=100), container("web")):
        assert short(pair([guest], world, SOURCE, take_over=True)[guest.ref]) == "adopt 100 from other"


def test_a_vmid_that_holds_another_declared_guest_is_refused() -> None:
    web, www = container("web"), container("www", vmid=100)
    outcomes = pair([web, www], view(seen(100, owner=WEB)), SOURCE)
    assert short(outcomes[www.ref]) == "VmidInUse"
    assert short(outcomes[web.ref]) == "absent"


def test_every_reason_says_what_to_do() -> None:
    for _, guest, world, _ in TABLE:
        outcome = pair([guest], world, SOURCE)[guest.ref]
        if isinstance(outcome, Blocked):
            assert outcome.summary and outcome.detail


def test_a_foreign_guest_of_a_name_that_is_ours_by_marker_does_not_matter() -> None:
    world = view(seen(100, owner=WEB), replace(seen(101), marker=None))
    web = container("web")
    assert short(pair([web], world, SOURCE)[web.ref]) == "ours 100"
