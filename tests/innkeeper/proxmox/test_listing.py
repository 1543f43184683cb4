"""What the list of everything says, and what a poll takes for a change."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from innkeeper.proxmox import listing

ROWS: list[dict[str, Any]] = [
    {"id": "lxc/101", "type": "lxc", "vmid": 101, "node": "pve1", "name": "web", "status": "running", "template": 0,
     "tags": "innkeeper;web", "pool": "apps", "maxmem": 5, "maxdisk": 6, "maxcpu": 1, "hastate": "started"},
    {"id": "qemu/200", "type": "qemu", "vmid": 200, "node": "pve2", "status": "unknown", "template": 1,
     "lock": "backup"},
    {"id": "node/pve1", "type": "node", "node": "pve1", "status": "online", "maxmem": 10, "maxcpu": 4},
    {"id": "node/pve2", "type": "node", "node": "pve2", "status": "offline", "maxmem": 10, "maxcpu": 4},
    {"id": "node/pve3", "type": "node", "node": "pve3", "status": "unknown"},
    {"id": "storage/pve1/local", "type": "storage", "node": "pve1", "storage": "local", "status": "available",
     "content": "iso,vztmpl", "shared": 0, "plugintype": "dir", "maxdisk": 10},
    {"id": "storage/pve2/nas", "type": "storage", "node": "pve2", "storage": "nas", "status": "available",
     "content": "images", "shared": 1, "plugintype": "nfs", "maxdisk": 10},
    {"id": "network/pve1/zone/localnetwork", "type": "network", "node": "pve1", "status": "ok"},
]  # fmt: skip
MOVING = st.fixed_dictionaries(
    {name: st.integers(0, 9) for name in ("cpu", "mem", "disk", "uptime", "netin", "netout")}
)


@given(st.permutations(ROWS), st.lists(MOVING, min_size=len(ROWS), max_size=len(ROWS)))
def test_use_and_order_are_no_change(rows: list[dict[str, Any]], use: list[dict[str, int]]) -> None:
    moved = [{**row, **noise} for row, noise in zip(rows, use, strict=True)]
    assert listing.fingerprint(moved) == listing.fingerprint(ROWS)


@given(
    st.integers(0, 6),
    st.sampled_from(["node", "name", "status", "pool", "tags", "lock", "template", "hastate", "maxmem", "maxcpu"]),
    st.sampled_from(["x", "y"]),
)
def test_every_stable_column_is_a_change(number: int, column: str, value: str) -> None:
    row = ROWS[number]
    changed = [*ROWS[:number], {**row, column: value}, *ROWS[number + 1 :]]
    counts = column in (listing._STABLE["guest"] if row["type"] in listing.KINDS else listing._STABLE[row["type"]])
    assert (listing.fingerprint(changed) != listing.fingerprint(ROWS)) == counts
    assert listing.fingerprint(ROWS[:number] + ROWS[number + 1 :]) != listing.fingerprint(ROWS)


def test_guests_nodes_and_storages() -> None:
    guests = listing.read_guests(ROWS)
    assert (guests[101].tags, guests[101].pool, guests[101].ha, guests[101].path) == (
        ("innkeeper", "web"), "apps", "started", "/nodes/pve1/lxc/101",
    )  # fmt: skip
    assert (guests[200].power, guests[200].name, guests[200].lock, guests[200].template) == (
        "unknown", None, "backup", True,
    )  # fmt: skip
    nodes = listing.read_nodes(ROWS, None)
    assert {name: node.online for name, node in nodes.items()} == {"pve1": True, "pve2": False, "pve3": True}
    assert not listing.read_nodes(ROWS, {"pve3": False})["pve3"].online
    assert {(store.name, store.available) for store in listing.read_storages(ROWS, nodes)} == {
        ("local", True),
        ("nas", False),
    }


def test_tags_by_any_separator() -> None:
    assert listing.split_tags("a;b,c d; ") == ("a", "b", "c", "d")
