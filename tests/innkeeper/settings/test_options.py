"""`options` are checked against what Proxmox accepts; every finding says where, what is allowed, what is nearest."""

from typing import Any

import pytest

from innkeeper.model.diagnostics import Diagnostic
from innkeeper.settings.desired import compile_guest
from tests.innkeeper.settings.guests import DEFAULTS, V84, V91, compiled, declared

BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("Container", {"consol": 1}, "UnknownOption", "console"),
    ("Container", {"agent": "1"}, "UnknownOption", ""),
    ("Container", {"net32": "name=eth9"}, "UnknownOption", ""),
    ("Container", {"console": "maybe"}, "InvalidOption", "neither 0 nor 1"),
    ("Container", {"tty": 7}, "InvalidOption", "0 to 6"),
    ("Container", {"tty": 1.5}, "InvalidOption", "whole number"),
    ("Container", {"cmode": "shel"}, "InvalidOption", "shell"),
    ("Container", {"startup": "order=one"}, "InvalidOption", "order"),
    ("Container", {"startup": "ordre=1"}, "InvalidOption", "order"),
    ("Container", {"timezone": "host\narch: i386"}, "InvalidOption", "line end"),
    ("Container", {"timezone": ""}, "InvalidOption", "empty"),
    ("Container", {"cores": 2}, "UseField", "cpu.cores"),
    ("Container", {"features": "nesting=1"}, "UseField", "features.nesting"),
    ("Container", {"net0": "name=eth0,bridge=vmbr0"}, "UseField", "network[].bridge"),
    ("Container", {"rootfs": "local:8"}, "UseField", "rootDisk"),
    ("Container", {"mp0": "local:8,mp=/data"}, "UseField", "mounts"),
    ("Container", {"hostname": "x"}, "UseField", "hostname"),
    ("Container", {"tags": "x"}, "UseField", "tags"),
    ("Container", {"description": "x"}, "UseField", "description"),
    ("Container", {"ssh-public-keys": "x"}, "UseField", "sshKeys"),
    ("Container", {"lock": "backup"}, "OptionNotAllowed", ""),
    ("Container", {"template": 1}, "OptionNotAllowed", ""),
    ("Container", {"unused0": "local:101/x.raw"}, "OptionNotAllowed", ""),
    ("VirtualMachine", {"cipassword": "secret12"}, "SecretInManifest", "sshKeys"),
    ("VirtualMachine", {"scsi0": "btr:8"}, "UseField", "disks"),
    ("VirtualMachine", {"ide2": "btr:cloudinit"}, "UseField", "cloudInit"),
    ("VirtualMachine", {"scsi0": "btr:0,import-from=local:import/x.qcow2"}, "UseField", "disks"),
    ("VirtualMachine", {"ide2": "none,media=tape"}, "InvalidOption", "cdrom"),
    ("VirtualMachine", {"hotplug": "network,disc"}, "InvalidOption", "disk"),
    ("VirtualMachine", {"watchdog": "model=ib800"}, "InvalidOption", "ib700"),
    ("VirtualMachine", {"vga": "type=vurtio"}, "InvalidOption", "virtio"),
    ("VirtualMachine", {"migrate_downtime": "fast"}, "InvalidOption", "number"),
    ("VirtualMachine", {"audio0": "ich9-intel-hda"}, "InvalidOption", "name="),
    ("VirtualMachine", {"sshkeys": "ssh-ed25519%20AAAA"}, "UseField", "cloudInit.sshKeys"),
]


def _problems(kind: str, spec: dict[str, Any], version: tuple[int, int] = V91) -> tuple[Diagnostic, ...]:
    return compile_guest(declared(kind, spec), DEFAULTS, version)[1]


@pytest.mark.parametrize(("kind", "options", "code", "words"), BAD, ids=[f"{k}-{o}" for k, o, _, _ in BAD])
def test_a_bad_option_is_named(kind: str, options: dict[str, Any], code: str, words: str) -> None:
    (found,) = _problems(kind, {"options": options})
    assert (found.severity, found.code) == ("error", code)
    assert words in f"{found.summary} {found.detail}"
    assert next(iter(options)) in found.summary
    assert found.location
    assert found.location.line > 1
    assert "secret12" not in f"{found.summary} {found.detail}"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("Container", {"console": True, "tty": 2, "startup": "order=1", "cmode": "shell"}),
        ("Container", {"net5": "name=x0,bridge=vmbr0,host-managed=1"}),
        ("Container", {"dev0": "/dev/fuse,mode=0666"}),
        ("VirtualMachine", {"ide2": "local:iso/x.iso,media=cdrom", "ide3": "none,media=cdrom"}),
        ("VirtualMachine", {"cpu": "host,flags=+aes"}),
        ("VirtualMachine", {"net3": "pcnet,bridge=vmbr0"}),
        ("VirtualMachine", {"boot": "cdn", "hostpci0": "0000:00:02.0,pcie=1"}),
        ("VirtualMachine", {"agent": "1,fstrim_cloned_disks=1"}),
        ("VirtualMachine", {"allow-ksm": 0, "args": "-vga none"}),
        ("VirtualMachine", {"scsi5": "btr:100/vm-100-disk-3.raw,aio=native"}),
    ],
)
def test_what_no_field_can_say_may_be_an_option(kind: str, options: dict[str, Any]) -> None:
    assert not _problems(kind, {"options": options})


def test_an_option_of_a_later_version() -> None:
    (found,) = _problems("VirtualMachine", {"options": {"allow-ksm": 0}}, V84)
    assert found.code == "OptionNotInVersion"
    assert "9.0" in found.summary
    (found,) = _problems("Container", {"options": {"net0": "name=eth0,host-managed=1"}}, V84)
    assert "9.1" in found.summary


def test_an_option_that_a_field_sets_as_well() -> None:
    spec = {"agent": True, "options": {"agent": "1,fstrim_cloned_disks=1"}}
    (found,) = _problems("VirtualMachine", spec)
    assert found.code == "OptionClash"


@pytest.mark.parametrize(
    ("kind", "spec", "code", "line"),
    [
        ("Container", {"network": [{"name": "eth0"}, {"name": "wan", "slot": "net0"}]}, "SlotTwice", 13),
        ("Container", {"network": [{"name": "wan"}]}, "NicNeedsSlot", 11),
        ("Container", {"network": [{"name": "eth32"}]}, "NicNeedsSlot", 11),
        (
            "Container",
            {"mounts": [{"path": "/a", "size": "1Gi", "slot": "mp0"}, {"path": "/b", "size": "1Gi", "slot": "mp0"}]},
            "SlotTwice",
            15,
        ),
        ("Container", {"mounts": [{"path": "/a", "size": "1Gi"}, {"path": "/a", "size": "1Gi"}]}, "PathTwice", 14),
        (
            "VirtualMachine",
            {"disks": [{"slot": "ide2", "size": "1Gi"}], "cloudInit": {"storage": "btr"}},
            "SlotTwice",
            14,
        ),
        ("Container", {"memory": "8Mi"}, "OutOfRange", 10),
    ],
)
def test_clashes_inside_a_manifest(kind: str, spec: dict[str, Any], code: str, line: int) -> None:
    (found,) = _problems(kind, spec)
    assert found.code == code
    assert found.location
    assert found.location.line == line


def test_a_size_that_proxmox_decides_is_warned_about() -> None:
    (found,) = _problems("VirtualMachine", {"disks": [{"slot": "efidisk0", "size": "1Gi"}]})
    assert (found.severity, found.code) == ("warning", "SizeIgnored")


def test_defaults_count_for_what_is_made_anew_only() -> None:
    _, desired = compiled("Container", {"network": [{"name": "eth0", "ip": "dhcp"}], "rootDisk": {"size": "8Gi"}})
    assert "bridge" not in desired.parts["net0"]
    assert desired.fallbacks["net0"]["bridge"] == "vmbr0"
    assert desired.volumes[0].storage is None
    assert desired.storage == "btr"
