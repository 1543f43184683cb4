"""Short names of templates."""

import pytest

from innkeeper.planner import templates

VOLUMES = (
    "local:vztmpl/debian-12-standard_12.2-1_amd64.tar.zst",
    "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst",
    "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst",
    "nas:vztmpl/debian-11-standard_11.7-1_amd64.tar.zst",
    "local:vztmpl/debian-120-standard_120.1-1_amd64.tar.zst",
    "local:vztmpl/ubuntu-24.04-standard_24.04-2_amd64.tar.zst",
    "local:vztmpl/mine.tar.gz",
    "local:import/debian-12-genericcloud-99.qcow2",
    "local:vztmpl/innkeeper-debian-12-0123456789ab.tar.zst",
)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("debian-12", VOLUMES[1]),
        ("debian-12-standard", VOLUMES[1]),
        ("debian-12-standard_12.7", VOLUMES[2]),
        ("debian-11", VOLUMES[3]),
        ("ubuntu-24.04", VOLUMES[5]),
        ("mine", VOLUMES[6]),
        ("mine.tar.gz", VOLUMES[6]),
        (VOLUMES[0], VOLUMES[0]),
        ("debian-1", None),
        ("local:vztmpl/gone.tar.gz", None),
        ("alpine", None),
    ],
)
def test_find(word: str, expected: str | None) -> None:
    assert templates.find(word, VOLUMES) == expected


def test_short_names_are_said_once() -> None:
    assert templates.short_names(VOLUMES)[:2] == ["debian-11-standard", "debian-12-standard"]
    assert not [name for name in templates.short_names(VOLUMES) if "qcow2" in name or "innkeeper" in name]
