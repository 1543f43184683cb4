"""What differs, what may be done about it, and what must survive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from innkeeper.model.observed import Marker
from innkeeper.settings.compare import Difference, compare
from innkeeper.settings.create import create_params, owned_at_create, update_params
from innkeeper.settings.made import made
from innkeeper.settings.marker import read_marker, write_marker
from tests.innkeeper.settings.guests import SOURCE, TEMPLATE, V91, compiled, difference, seen

CT: dict[str, str] = {
    "arch": "amd64",
    "cores": "2",
    "features": "mknod=1,nesting=1",
    "hostname": "web",
    "memory": "512",
    "mp0": "btr:142/vm-142-disk-1.raw,mp=/data,backup=1,size=4G",
    "nameserver": "1.1.1.1 8.8.8.8",
    "net0": "name=eth0,bridge=vmbr0,hwaddr=bc:24:11:aa:bb:cc,ip=10.0.0.2/24,rate=5,type=veth",
    "ostype": "debian",
    "rootfs": "btr:142/vm-142-disk-0.raw,size=8G",
    "swap": "512",
    "tags": "innkeeper;web",
    "unprivileged": "1",
}
VM: dict[str, str] = {
    "agent": "enabled=1,fstrim_cloned_disks=1",
    "boot": "order=scsi0;net0",
    "cores": "2",
    "cpu": "host,flags=+aes",
    "ide2": "local:142/vm-142-cloudinit.qcow2,media=cdrom",
    "memory": "512",
    "name": "web",
    "net0": "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0",
    "scsi0": "btr:142/vm-142-disk-0.raw,aio=native,iops=100,size=8G",
    "smbios1": "uuid=1edae8ab-ffd3-4d29-83a5-84c07891dbf8",
    "sockets": "1",
    "tags": "innkeeper",
}


def _ours(
    kind: str, *settings: str, config: Mapping[str, str] | None = None, facts: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A configuration whose marker says that we set these."""
    marker = Marker(SOURCE, kind, "web", "r1", settings, tuple((facts or {}).items()))
    base = CT if kind == "Container" else VM
    return {**base, "description": write_marker("", marker), **(config or {})}


def _of(kind: str, spec: Mapping[str, Any], *settings: str, **seen_as: Any) -> Difference:
    return difference(kind, spec, seen(kind, _ours(kind, *settings, **seen_as.pop("also", {})), **seen_as))


@pytest.mark.parametrize(
    ("kind", "spec", "written", "field", "before", "after", "impact"),
    [
        ("Container", {"cpu": {"cores": 4}}, {"cores": "4"}, "cpu.cores", 2, 4, "live"),
        ("Container", {"memory": "1Gi"}, {"memory": "1024"}, "memory", "512Mi", "1Gi", "live"),
        ("Container", {"startOnBoot": True}, {"onboot": "1"}, "startOnBoot", None, True, "live"),
        (
            "Container",
            {"dns": {"nameservers": ["9.9.9.9"]}},
            {"nameserver": "9.9.9.9"},
            "dns.nameservers",
            ["1.1.1.1", "8.8.8.8"],
            ["9.9.9.9"],
            "restart",
        ),
        (
            "Container",
            {"features": {"nesting": False}},
            {"features": "mknod=1,nesting=0"},
            "features.nesting",
            True,
            False,
            "restart",
        ),
        (
            "Container",
            {"network": [{"name": "eth0", "vlan": 20}]},
            {"net0": "bridge=vmbr0,hwaddr=bc:24:11:aa:bb:cc,ip=10.0.0.2/24,name=eth0,rate=5,tag=20,type=veth"},
            "network.eth0.vlan",
            None,
            20,
            "live",
        ),
        (
            "Container",
            {"mounts": [{"path": "/data", "size": "4Gi", "backup": False}]},
            {"mp0": "btr:142/vm-142-disk-1.raw,backup=0,mp=/data,size=4G"},
            "mounts./data.backup",
            True,
            False,
            "restart",
        ),
        ("VirtualMachine", {"cpu": {"cores": 4}}, {"cores": "4"}, "cpu.cores", 2, 4, "restart"),
        (
            "VirtualMachine",
            {"cpu": {"type": "kvm64"}},
            {"cpu": "kvm64,flags=+aes"},
            "cpu.type",
            "host",
            "kvm64",
            "restart",
        ),
        (
            "VirtualMachine",
            {"agent": False},
            {"agent": "0,fstrim_cloned_disks=1"},
            "agent",
            True,
            False,
            "restart",
        ),
        (
            "VirtualMachine",
            {"network": [{"slot": "net0", "model": "e1000"}]},
            {"net0": "e1000=BC:24:11:AA:BB:CC,bridge=vmbr0"},
            "network.net0.model",
            "virtio",
            "e1000",
            "live",
        ),
        (
            "VirtualMachine",
            {"disks": [{"slot": "scsi0", "cache": "writeback"}]},
            {"scsi0": "btr:142/vm-142-disk-0.raw,aio=native,cache=writeback,iops=100,size=8G"},
            "disks.scsi0.cache",
            None,
            "writeback",
            "restart",
        ),
        ("VirtualMachine", {"balloon": "256Mi"}, {"balloon": "256"}, "balloon", None, "256Mi", "live"),
        ("VirtualMachine", {"balloon": 0}, {"balloon": "0"}, "balloon", None, 0, "restart"),
    ],
)
def test_one_change_leaves_all_else_as_it_was(
    kind: str, spec: dict[str, Any], written: dict[str, str], field: str, before: Any, after: Any, impact: str
) -> None:
    found = _of(kind, spec)
    assert dict(found.set) == written
    (change,) = found.changes
    assert (change.field, change.before, change.after, change.impact) == (field, before, after, impact)
    stopped = _of(kind, spec, power="stopped")
    assert {change.impact for change in stopped.changes} == {"live"}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Container", {"swap": "512Mi", "options": {"console": 1, "tty": 2}}),
        ("Container", {"network": [{"name": "eth0", "mac": "BC:24:11:AA:BB:CC", "firewall": False}]}),
        ("Container", {"tags": ["Web", "web"], "startOnBoot": False, "protected": False}),
        ("Container", {"mounts": [{"path": "/data", "size": "4Gi", "readOnly": False, "replicate": True}]}),
        ("VirtualMachine", {"cpu": {"sockets": 1}, "firmware": "seabios", "machine": "pc"}),
        (
            "VirtualMachine",
            {"disks": [{"slot": "scsi0", "size": "8Gi", "backup": True, "discard": False, "cache": "none"}]},
        ),
        ("VirtualMachine", {"bootOrder": ["scsi0", "net0"], "tags": []}),
        ("VirtualMachine", {"cloudInit": {"storage": "local", "upgrade": True}}),
    ],
)
def test_defaults_and_spellings_are_no_difference(kind: str, spec: dict[str, Any]) -> None:
    found = _of(kind, spec)
    assert not (found.changes or found.set or found.delete or found.refused or found.resizes)


@pytest.mark.parametrize(
    ("kind", "settings", "deleted", "written"),
    [
        ("Container", ("cores",), ["cores"], {}),
        ("Container", ("swap", "nameserver"), ["nameserver", "swap"], {}),
        ("Container", ("memory",), [], {}),
        ("Container", ("features.nesting",), [], {"features": "mknod=1"}),
        ("Container", ("features.nesting", "features.mknod"), ["features"], {}),
        ("Container", ("net0.bridge", "net0.ip"), ["net0"], {}),
        ("Container", ("mp0.mp", "mp0.volume", "mp0=/data"), ["mp0"], {}),
        ("Container", ("rootfs.volume", "unprivileged", "onboot"), [], {}),
        ("VirtualMachine", ("cpu.cputype",), [], {"cpu": "flags=+aes"}),
        ("VirtualMachine", ("scsi0.file", "scsi0.iops"), ["scsi0"], {}),
    ],
)
def test_what_is_named_no_more_goes_back(
    kind: str, settings: tuple[str, ...], deleted: list[str], written: dict[str, str]
) -> None:
    found = _of(kind, {}, *settings)
    assert sorted(found.delete) == deleted
    assert dict(found.set) == written
    assert found.marker_changed
    assert not found.refused


def test_required_settings_go_back_by_value() -> None:
    found = _of("Container", {}, "memory", also={"config": {"memory": "2048"}})
    assert dict(found.set) == {"memory": "512"}


def test_a_sub_key_of_a_nic_goes_back_alone() -> None:
    settings = ("net0.bridge", "net0.ip", "net0.rate", "net0.hwaddr", "net0.name")
    found = _of("Container", {"network": [{"name": "eth0", "bridge": "vmbr0"}]}, *settings)
    assert dict(found.set) == {"net0": "bridge=vmbr0,hwaddr=bc:24:11:aa:bb:cc,name=eth0,type=veth"}


def test_what_somebody_else_set_is_left_alone() -> None:
    found = _of("Container", {"cpu": {"cores": 2}}, "cores", "hostname")
    assert found.empty
    theirs = Marker("other", "Container", "web", "", ("cores", "memory"))
    config = CT | {"description": write_marker("", theirs)}
    found = difference("Container", {}, seen("Container", config))
    assert not (found.changes or found.set or found.delete)
    assert found.marker_changed


@pytest.mark.parametrize(
    ("kind", "spec", "code"),
    [
        ("Container", {"rootDisk": {"size": "4Gi"}}, "ShrinkRefused"),
        ("Container", {"rootDisk": {"storage": "local"}}, "StorageDiffers"),
        ("Container", {"mounts": [{"path": "/data", "size": "1Gi"}]}, "ShrinkRefused"),
        ("Container", {"mounts": [{"path": "/data", "source": "/srv"}]}, "SlotTaken"),
        ("VirtualMachine", {"disks": [{"slot": "scsi0", "size": "8Gi", "format": "qcow2"}]}, "FormatDiffers"),
        ("VirtualMachine", {"disks": [{"slot": "ide2", "size": "8Gi"}]}, "SlotTaken"),
        ("VirtualMachine", {"disks": [{"slot": "scsi1"}]}, "NeedsSize"),
        ("VirtualMachine", {"cloudInit": {"slot": "ide3", "storage": "local"}}, "SlotTaken"),
    ],
)
def test_what_is_never_done(kind: str, spec: dict[str, Any], code: str) -> None:
    found = _of(kind, spec)
    (refused,) = found.refused
    assert refused.code == code
    assert refused.severity == "error"
    assert refused.detail
    assert not (found.set or found.delete or found.resizes)


@pytest.mark.parametrize("size", ["8Gi", "8191Mi", "8189Mi"])
def test_a_volume_in_whole_extents_is_no_difference(size: str) -> None:
    assert not _of("Container", {"rootDisk": {"size": size}}).refused


def test_growing_is_a_call_of_its_own() -> None:
    found = _of("Container", {"rootDisk": {"size": "9Gi"}, "mounts": [{"path": "/data", "size": "5Gi"}]})
    assert found.resizes == (("rootfs", 9 << 30), ("mp0", 5 << 30))
    assert [(change.field, change.before, change.after) for change in found.changes] == [
        ("rootDisk.size", "8Gi", "9Gi"),
        ("mounts./data.size", "4Gi", "5Gi"),
    ]
    assert not found.set


def test_mounts_pair_by_slot_path_and_record() -> None:
    free = _of("Container", {"mounts": [{"path": "/new", "size": "1Gi"}]})
    assert dict(free.set) == {"mp1": "btr:1,mp=/new"}
    by_slot = _of("Container", {"mounts": [{"path": "/new", "size": "4Gi", "slot": "mp0"}]})
    assert dict(by_slot.set) == {"mp0": "btr:142/vm-142-disk-1.raw,backup=1,mp=/new,size=4G"}
    moved = {"mp0": "btr:142/vm-142-disk-1.raw,mp=/elsewhere,size=4G"}
    spec = {"mounts": [{"path": "/data", "size": "4Gi"}]}
    healed = _of("Container", spec, "mp0.mp", "mp0.volume", "mp0=/data", also={"config": moved})
    assert dict(healed.set) == {"mp0": "btr:142/vm-142-disk-1.raw,mp=/data,size=4G"}
    assert not healed.delete


def test_an_empty_volume_never_takes_the_place_of_a_detached_one() -> None:
    spec = {"mounts": [{"path": "/data", "size": "4Gi"}]}
    owned = ("mp0.mp", "mp0.volume", "mp0=/data")
    config = {name: text for name, text in _ours("Container", *owned).items() if name != "mp0"}
    detached = difference("Container", spec, seen("Container", config | {"unused0": "btr:142/vm-142-disk-1.raw"}))
    assert [item.code for item in detached.refused] == ["VolumeDetached"]
    assert not detached.set
    gone = difference("Container", spec, seen("Container", config))
    assert dict(gone.set) == {"mp0": "btr:4,mp=/data"}


def test_a_removal_that_waits_is_taken_back_with_its_volume_and_address() -> None:
    volume, nic = CT["mp0"], VM["net0"]
    config = {name: text for name, text in CT.items() if name != "mp0"}
    found = difference(
        "Container", {"mounts": [{"path": "/data", "size": "4Gi"}]}, seen("Container", config, {"mp0": volume})
    )
    assert dict(found.set) == {"mp0": volume}
    config = {name: text for name, text in VM.items() if name != "net0"}
    found = difference(
        "VirtualMachine", {"network": [{"bridge": "vmbr1"}]}, seen("VirtualMachine", config, {"net0": nic})
    )
    assert dict(found.set) == {"net0": "virtio=BC:24:11:AA:BB:CC,bridge=vmbr1"}


def test_a_waiting_value_is_not_written_again() -> None:
    spec = {"cpu": {"cores": 2}, "memory": "512Mi"}
    pending = {"memory": "256", "boot": "order=net0", "hotplug": "disk"}
    found = difference("VirtualMachine", spec, seen("VirtualMachine", _ours("VirtualMachine"), pending))
    assert not (found.changes or found.set)
    waiting = {change.field: (change.before, change.after, change.impact) for change in found.waiting}
    assert waiting == {"memory": ("256Mi", "512Mi", "restart"), "options.hotplug": ("disk", None, "live")}


def test_what_only_a_new_guest_can_have() -> None:
    assert [change.field for change in _of("Container", {"unprivileged": False}).replace] == ["unprivileged"]
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvZ1dYGj0uYw1v1t2v3w4x5y6z7A8B9C0D1E2F3G4H5 me"
    guest, desired = compiled("Container", {"template": "debian-12", "sshKeys": [key]})
    facts = dict(made(guest, desired, TEMPLATE))
    config = _ours("Container", facts=facts)

    def replaced(spec: dict[str, Any], config: dict[str, str]) -> list[str]:
        return [change.field for change in difference("Container", spec, seen("Container", config)).replace]

    assert not replaced({"template": "debian-12", "sshKeys": [key + " other comment"]}, config)
    assert not replaced({"template": TEMPLATE}, config)
    assert not replaced({"template": "debian-12-standard"}, config)
    assert not replaced({}, config)
    assert replaced({"template": "debian-1"}, config) == ["template"]
    assert replaced({"template": "debian-13"}, config) == ["template"]
    assert replaced({"sshKeys": [key.replace("AAAAC3", "AAAAC4")]}, config) == ["sshKeys"]
    # adopted: nobody knows what it was made from
    assert not replaced({"template": "debian-13", "sshKeys": [key]}, _ours("Container", facts={"vmid": "142"}))


def test_tags_notes_and_pool() -> None:
    found = _of("Container", {"tags": ["db"], "description": "The\nwebsite ", "pool": "apps"}, pool="old")
    assert found.tags == ("db", "innkeeper")
    assert found.description == "The\nwebsite"
    assert found.pool == ("old", "apps")
    assert {change.impact for change in found.changes} == {"none"}
    back = _of("Container", {}, "tags", "description", "pool", pool="old")
    assert (back.tags, back.description, back.pool) == (("innkeeper",), None, ("old", None))
    guarded = _of("Container", {"tags": ["db"]}, also={"config": {"tags": "Protected;innkeeper;web"}})
    assert guarded.tags == ("db", "innkeeper", "protected")


def test_the_host_name_follows_the_object_where_we_set_it() -> None:
    renamed = {"config": {"hostname": "other"}}
    assert dict(_of("Container", {}, "hostname", also=renamed).set) == {"hostname": "web"}
    assert not _of("Container", {}, also=renamed).set


def test_an_update_carries_everything_in_one_call() -> None:
    observed = seen("Container", _ours("Container", "swap", config={"description": "Hello\n"}))
    guest, desired = compiled("Container", {"cpu": {"cores": 4}, "tags": ["b"]})
    found = compare(guest, desired, observed, V91, SOURCE)
    marker = Marker(SOURCE, "Container", "web", "r2", found.owned)
    body = dict(update_params(found, observed, marker, desired))
    assert body["cores"] == "4"
    assert body["tags"] == "b;innkeeper"
    assert read_marker(body["description"]) == ("Hello", marker)
    assert update_params(Difference(), observed, marker, desired) == ()


def test_creation_sends_only_what_is_named() -> None:
    guest, desired = compiled("Container", {"rootDisk": {"size": "1.5Gi"}, "running": True})
    marker = Marker(SOURCE, "Container", "web", "", owned_at_create(guest, desired))
    body = dict(create_params(guest, desired, 142, TEMPLATE, marker, V91))
    assert set(body) == {"vmid", "hostname", "ostemplate", "rootfs", "tags", "description", "start"}
    assert body["rootfs"] == "btr:1.5"
    assert "unprivileged" not in body


def test_too_long_notes_are_said_before_anything_is_written() -> None:
    config = _ours("Container", config={"description": "x" * 8000})
    found = difference("Container", {"cpu": {"cores": 4}}, seen("Container", config))
    assert [item.code for item in found.refused] == ["DescriptionTooLong"]


@pytest.mark.parametrize(
    ("kind", "slot", "volume"), [("Container", "mp0", "volume"), ("VirtualMachine", "scsi0", "file")]
)
def test_protection_goes_before_what_it_guards(kind: str, slot: str, volume: str) -> None:
    for spec in ({"protected": False}, {}):
        lifted = _guarded(kind, spec, slot, volume)
        assert lifted.unprotects
        assert slot in lifted.delete
        assert not lifted.refused

    kept = _guarded(kind, {"protected": True}, slot, volume)
    assert [item.code for item in kept.refused] == ["Protected"]
    assert not kept.unprotects


def _guarded(kind: str, spec: dict[str, Any], slot: str, volume: str) -> Difference:
    return _of(kind, spec, "protection", f"{slot}.{volume}", also={"config": {"protection": "1"}})


def test_a_part_of_a_mount_goes_back_under_the_name_of_its_path() -> None:
    spec = {"mounts": [{"path": "/data", "storage": "btr", "size": "4Gi"}]}

    found = _of("Container", spec, "mp0.backup", "mp0=/data")

    assert [change.field for change in found.changes] == ["mounts./data.backup"]


def test_a_volume_that_grows_keeps_its_new_size_in_a_text_that_waits() -> None:
    spec = {"disks": [{"slot": "scsi0", "storage": "btr", "size": "10Gi", "ssd": True}]}

    found = _of("VirtualMachine", spec, "scsi0.file")

    assert found.resizes == (("scsi0", 10 << 30),)
    assert "size=10G" in found.set["scsi0"]


def test_a_part_at_its_default_is_not_taken_away() -> None:
    found = _of("Container", {}, "features.nesting", also={"config": {"features": "nesting=0"}})

    assert not found.changes
    assert not found.delete


@pytest.mark.parametrize(
    ("spec", "settings", "tags", "wanted", "owned"),
    [
        ({"monitoring": True}, ("hostname",), "innkeeper;hand", ("hand", "innkeeper", "monitoring"), True),
        ({"monitoring": True}, ("hostname", "tags.monitoring"), "innkeeper;monitoring", None, True),
        ({}, ("hostname", "tags.monitoring"), "hand;innkeeper;monitoring", ("hand", "innkeeper"), False),
        ({}, ("hostname",), "innkeeper;monitoring", None, False),
        ({"monitoring": True, "tags": ["web"]}, ("hostname",), "innkeeper", ("innkeeper", "monitoring", "web"), True),
    ],
)
def test_the_tag_of_a_measured_guest_comes_and_goes_alone(
    spec: dict[str, Any], settings: tuple[str, ...], tags: str, wanted: tuple[str, ...] | None, owned: bool
) -> None:
    found = _of("Container", spec, *settings, also={"config": {"tags": tags}})
    assert found.tags == wanted
    assert ("tags.monitoring" in found.owned) is owned
    assert not found.delete
