"""Rows of `pending` as Proxmox writes them: values, those that wait, those that will go."""

from innkeeper.proxmox.guests import observed, read_config
from innkeeper.proxmox.listing import Row

ROWS: list[dict[str, object]] = [
    {"key": "hostname", "value": "web"},
    {"key": "memory", "value": 512, "pending": 640},
    {"key": "searchdomain", "value": "example.org", "delete": 1},
    {"key": "mp0", "pending": "nas:1,mp=/data"},
    {"key": "tags", "value": " "},
    {"key": "lock", "value": "backup"},
    {"key": "digest", "value": "abc"},
]
ROW = Row(101, "Container", "pve1", "old", "running", False, ("x",), "apps", None, None)


def test_the_configuration_is_what_it_will_be_and_pending_what_runs() -> None:
    config, pending = read_config(ROWS)
    assert config == {
        "hostname": "web", "memory": "640", "mp0": "nas:1,mp=/data", "tags": " ", "lock": "backup", "digest": "abc",
    }  # fmt: skip
    assert pending == {"memory": "512", "searchdomain": "example.org", "mp0": None}


def test_the_configuration_is_newer_than_the_list() -> None:
    guest = observed(ROW, ROWS)
    assert (guest.name, guest.tags, guest.lock, guest.digest, guest.pool) == ("web", (), "backup", "abc", "apps")
    assert guest.config is not None
    assert not {"digest", "lock"} & set(guest.config)
