"""Property strings of drives and devices, boot order, tags: tables and round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pvesim.cluster.qemu import drive, net, options, properties
from pvesim.schema import facts


@pytest.mark.parametrize(
    ("slot", "text", "printed"),
    [
        ("scsi0", "local:4,ssd=on,discard=on,iothread=1", "local:4,discard=on,iothread=1,ssd=1"),
        ("scsi0", "file=local:200/vm-200-disk-0.raw,size=1024M", "local:200/vm-200-disk-0.raw,size=1G"),
        ("ide2", "none,media=cdrom", "none,media=cdrom"),
        ("virtio1", "volume=thin:vm-1-disk-0,backup=no", "thin:vm-1-disk-0,backup=0"),
        ("sata0", "local:1,bps_rd=1048576", "local:1,mbps_rd=1.000"),
        ("efidisk0", "local:1,pre-enrolled-keys=1,efitype=4m", "local:1,efitype=4m,pre-enrolled-keys=1"),
    ],
)
def test_a_drive_is_printed_as_proxmox_does(slot: str, text: str, printed: str) -> None:
    one = drive.parse(slot, text)
    assert one
    assert one.text() == printed


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        ("virtio0", "local:iso/a.iso,media=cdrom"),
        ("ide2", "none,media=cdrom,format=raw"),
        ("scsi0", "local:1,mbps=1,mbps_rd=1"),
        ("scsi0", "local:1,iops_max=5,iops_max_length=2,iops=0,mbps_max=3"),
        ("scsi0", "local:1,size=huge"),
        ("scsi0", ""),
    ],
)
def test_a_drive_that_contradicts_itself_is_none(slot: str, text: str) -> None:
    assert drive.parse(slot, text) is None


NAMES = st.sampled_from(["cache", "serial", "wwn", "aio", "rerror"])
VALUES = st.text("abcdefghij0123456789", min_size=1, max_size=8)


@given(st.dictionaries(NAMES, VALUES), st.integers(1, 2**50))
def test_what_is_printed_is_read_back(parts: dict[str, str], size: int) -> None:
    one = drive.Drive("scsi1", "local:200/vm-200-disk-1.raw", parts, size)
    again = drive.parse("scsi1", one.text())
    assert again is not None
    assert (again.file, dict(again.options), again.size) == (one.file, parts, size)
    assert again.text() == one.text()


@given(st.integers(0, 2**50))
def test_sizes_survive_printing(size: int) -> None:
    assert properties.parse_size(properties.print_size(size)) == size


def test_a_request_names_storage_and_gibibytes() -> None:
    one = drive.parse("scsi0", "thin:1.5,format=raw")
    assert one
    assert one.request == drive.NewDisk("thin", 3 * 2**29)
    other = drive.parse("scsi0", "thin:vm-1-disk-0")
    assert other
    assert other.request is None


def test_a_device_keeps_its_address_or_gets_one() -> None:
    kept = net.parse("model=virtio,macaddr=bc:24:11:00:00:01,firewall=on,bridge=vmbr0")
    assert kept.text() == "virtio=bc:24:11:00:00:01,bridge=vmbr0,firewall=1"
    new = net.parse("e1000,bridge=vmbr0", "02:00:00")
    assert new.mac.startswith("02:00:00:")
    assert len(new.mac) == 17
    assert net.parse(new.text()) == new


@pytest.mark.parametrize(
    ("config", "order"),
    [
        ({}, " "),
        ({"scsi1": "l:1", "virtio0": "l:1", "net2": "virtio"}, "order=scsi1;net2"),
        ({"ide2": "none,media=cdrom", "sata0": "l:1"}, "order=sata0;ide2"),
        ({"ide0": "l:200/vm-200-cloudinit.qcow2,media=cdrom"}, "order=ide0"),
    ],
)
def test_default_boot_order(config: dict[str, str], order: str) -> None:
    assert options.default_boot_order(config) == order


@pytest.mark.parametrize(
    ("text", "style", "stored"),
    [
        ("k;j;K", "", "j;k"),
        ("B a,A", "case-sensitive=1", "A;B;a"),
        ("b;a;B", "ordering=config", "b;a"),
        ("", "", " "),
    ],
)
def test_tags_as_an_update_stores_them(text: str, style: str, stored: str) -> None:
    assert options.unique_tags(text, style) == stored


@pytest.mark.parametrize("version", ["8.4", "9.1"])
def test_every_setting_of_the_api_is_known_with_its_type(version: str) -> None:
    params = facts.load(version)["POST /nodes/{node}/qemu/{vmid}/config"].params
    control = properties.words("node vmid digest delete revert force skiplock background_delay import-working-storage")
    for name in sorted(params.keys() - control):
        assert options.exists(name), name
        kind = {"integer": options.INTEGERS, "boolean": options.BOOLEANS}.get(params[name].type)
        assert kind is None or name in kind, name
    assert not options.exists("net32")
    assert not options.exists("scsi31")
    assert not options.exists("bogus")
