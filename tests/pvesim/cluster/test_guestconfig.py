"""The digest changes exactly when the file would."""

from __future__ import annotations

import copy
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pvesim.cluster import guestconfig
from pvesim.cluster.state import Guest, Snapshot

KEYS = st.sampled_from(["cores", "memory", "hostname", "net0", "rootfs", "description", "tags"])
VALUES = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=20)
CONFIGS = st.dictionaries(KEYS, VALUES, max_size=5)


@st.composite
def guests(draw: st.DrawFn) -> Guest:
    guest = Guest(101, draw(st.sampled_from(["lxc", "qemu"])), "pve", draw(CONFIGS), draw(CONFIGS))
    guest.pending_delete = draw(st.dictionaries(KEYS, st.booleans(), max_size=2))
    for name in draw(st.lists(st.sampled_from(["one", "two"]), unique=True)):
        guest.snapshots[name] = Snapshot(name, 1700000000, config=draw(CONFIGS))
    return guest


@given(guests())
def test_what_is_not_in_the_file_does_not_change_the_digest(guest: Guest) -> None:
    before = guestconfig.digest(guest)
    moved = copy.deepcopy(guest)
    moved.node, moved.running, moved.paused, moved.pid = "other", dict(guest.config), True, 7
    moved.config = dict(reversed(guest.config.items()))
    assert guestconfig.digest(moved) == before == hashlib.sha1(guestconfig.text(guest).encode()).hexdigest()


@given(guests(), KEYS, VALUES)
def test_every_change_of_the_file_changes_the_digest(guest: Guest, key: str, value: str) -> None:
    before = guestconfig.digest(guest)
    for section in (guest.config, guest.pending, *(snapshot.config for snapshot in guest.snapshots.values())):
        old = section.get(key)
        section[key] = value + "x" if old == value else value
        assert guestconfig.digest(guest) != before
        section.pop(key) if old is None else section.update({key: old})
    assert guestconfig.digest(guest) == before


def test_the_layout() -> None:
    guest = Guest(101, "lxc", "pve", {"memory": "512", "description": "two\nlines 5%", "cores": "2"})
    guest.pending, guest.pending_delete = {"swap": "0"}, {"net0": False, "mp0": True}
    guest.snapshots["one"] = Snapshot("one", 1700000000, description="first", config={"memory": "256"})
    assert guestconfig.text(guest).splitlines() == [
        "#two", "#lines 5%25", "cores: 2", "memory: 512", "",
        "[pve:pending]", "delete: !mp0,net0", "swap: 0", "",
        "[one]", "#first", "memory: 256", "snaptime: 1700000000",
    ]  # fmt: skip
