"""Names of volumes and what can be done with them, by type of storage."""

import pytest

from pvesim.cluster.storagetypes import (
    TYPES,
    VolName,
    base_name,
    free_disk_name,
    has_feature,
    image_volname,
    parse_volname,
)
from pvesim.errors import ApiError


@pytest.mark.parametrize(
    ("kind", "volname", "expected"),
    [
        ("dir", "101/vm-101-disk-0.raw", VolName("images", "vm-101-disk-0.raw", 101)),
        (
            "dir",
            "100/base-100-disk-0.qcow2/101/vm-101-disk-0.qcow2",
            VolName("images", "vm-101-disk-0.qcow2", 101, "base-100-disk-0.qcow2", 100, format="qcow2"),
        ),
        ("btrfs", "7/subvol-7-disk-1.subvol", VolName("images", "subvol-7-disk-1.subvol", 7, format="subvol")),
        ("dir", "vztmpl/debian-12.tar.zst", VolName("vztmpl", "debian-12.tar.zst")),
        (
            "dir",
            "backup/vzdump-lxc-101-2026_01_02-03_04_05.tar.zst",
            VolName("backup", "vzdump-lxc-101-2026_01_02-03_04_05.tar.zst", 101),
        ),
        ("zfspool", "subvol-101-disk-0", VolName("images", "subvol-101-disk-0", 101, format="subvol")),
        (
            "zfspool",
            "basevol-100-disk-0/subvol-101-disk-0",
            VolName("images", "subvol-101-disk-0", 101, "basevol-100-disk-0", 100, format="subvol"),
        ),
        ("lvmthin", "base-100-disk-0", VolName("images", "base-100-disk-0", 100, base=True)),
    ],
)
def test_names_are_taken_apart(kind: str, volname: str, expected: VolName) -> None:
    assert parse_volname(TYPES[kind], volname) == expected


@pytest.mark.parametrize(
    ("kind", "volname", "text"),
    [
        ("dir", "nonsense", "unable to parse directory volume name 'nonsense'"),
        ("dir", "101/disk.raw", "unable to parse volume filename 'disk.raw'"),
        ("zfspool", "x", "unable to parse zfs volume name 'x'"),
        ("lvmthin", "x", "unable to parse lvm volume name 'x'"),
    ],
)
def test_wrong_names_are_refused(kind: str, volname: str, text: str) -> None:
    with pytest.raises(ApiError, match=text):
        parse_volname(TYPES[kind], volname)


def test_the_first_free_number_counts_over_all_prefixes() -> None:
    taken = ["vm-101-disk-0.raw", "base-101-disk-1.raw", "vm-1010-disk-2.raw", "vm-101-cloudinit.qcow2"]
    assert free_disk_name(TYPES["dir"], taken, 101, "qcow2") == "vm-101-disk-2.qcow2"
    assert free_disk_name(TYPES["zfspool"], [], 5, "subvol") == "subvol-5-disk-0"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("dir", "100/base-100-disk-0.raw/101/vm-101-disk-0.qcow2"),
        ("btrfs", "101/vm-101-disk-0.qcow2"),
        ("zfspool", "base-100-disk-0.raw/vm-101-disk-0.qcow2"),
        ("lvmthin", "vm-101-disk-0.qcow2"),
    ],
)
def test_linked_clones_name_their_base_where_the_type_does(kind: str, expected: str) -> None:
    base = VolName("images", "base-100-disk-0.raw", 100, base=True)
    assert image_volname(TYPES[kind], 101, "vm-101-disk-0.qcow2", base) == expected


def test_a_template_renames_its_images() -> None:
    assert base_name(TYPES["dir"], "vm-1-disk-0.raw") == "base-1-disk-0.raw"
    assert base_name(TYPES["zfspool"], "subvol-1-disk-0") == "basevol-1-disk-0"


@pytest.mark.parametrize(
    ("kind", "form", "base", "feature", "able"),
    [
        ("dir", "raw", False, "snapshot", False),
        ("dir", "qcow2", False, "snapshot", True),
        ("btrfs", "raw", False, "snapshot", True),
        ("btrfs", "raw", False, "clone", True),
        ("dir", "qcow2", False, "clone", False),
        ("dir", "raw", True, "clone", True),
        ("zfspool", "subvol", False, "clone", False),
        ("lvm", "raw", False, "snapshot", False),
        ("lvmthin", "raw", True, "clone", True),
    ],
)
def test_ability_follows_type_and_format(kind: str, form: str, base: bool, feature: str, able: bool) -> None:
    assert has_feature(TYPES[kind], feature, VolName("images", "x", 1, base=base, format=form)) is able


def test_a_container_cannot_be_linked_on_a_directory() -> None:
    base = VolName("images", "base-1-disk-0.raw", 1, base=True)
    assert not has_feature(TYPES["dir"], "clone", base, targets=("raw", "subvol"))
    assert has_feature(TYPES["zfspool"], "clone", base, targets=("raw", "subvol"))
