"""What import prints: fields in manifest spelling, the rest under `options`, nothing that Proxmox writes by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.settings.importing import to_spec
from tests.innkeeper.settings.guests import difference, seen

CONTAINER = {
    "arch": "amd64",
    "console": "0",
    "cores": "2",
    "cpulimit": "1.50",
    "description": "line1\nline2\n",
    "features": "nesting=1,mount=nfs;cifs",
    "hostname": "Web.Example",
    "lxc": "[['lxc.cap.drop', '']]",
    "memory": "512",
    "mp0": "btr:142/vm-142-disk-1.raw,mp=/data,backup=1,mountoptions=noatime,size=4G",
    "mp1": "/srv/share,mp=/share,ro=1",
    "nameserver": "1.1.1.1 8.8.8.8",
    "net0": "name=eth0,bridge=vmbr0,firewall=1,gw=10.0.0.1,hwaddr=bc:24:11:aa:bb:cc,ip=10.0.0.2/24,tag=20,type=veth",
    "net1": "name=wan,bridge=vmbr1,hwaddr=BC:24:11:55:9E:BC,ip=dhcp,type=veth",
    "net2": "name=eth2,bridge=vmbr1,host-managed=1,hwaddr=BC:24:11:55:9E:BD,type=veth",
    "onboot": "1",
    "ostype": "debian",
    "protection": "1",
    "rootfs": "btr:142/vm-142-disk-0.raw,size=8G",
    "searchdomain": "example.org lan",
    "startup": "order=3,up=10",
    "swap": "0",
    "tags": "innkeeper;db;web",
    "unprivileged": "1",
    "unused0": "btr:142/vm-142-disk-9.raw",
}
MACHINE = {
    "agent": "enabled=1,fstrim_cloned_disks=1",
    "balloon": "0",
    "bios": "ovmf",
    "boot": "order=scsi0;net0",
    "cipassword": "**********",
    "ciuser": "admin",
    "cores": "2",
    "cpu": "host",
    "efidisk0": "btr:142/vm-142-disk-1.raw,efitype=4m,size=528K",
    "ide2": "local:142/vm-142-cloudinit.qcow2,media=cdrom,size=4M",
    "ide3": "local:iso/debian.iso,media=cdrom,size=600M",
    "ipconfig0": "ip=10.0.0.3/24,gw=10.0.0.1",
    "ipconfig1": "ip=dhcp",
    "machine": "pc-q35-9.2+pve1,viommu=intel",
    "memory": "2048",
    "meta": "creation-qemu=9.2.0,ctime=1795179569",
    "name": "web",
    "nameserver": "1.1.1.1",
    "net0": "virtio=BC:24:11:0E:D3:62,bridge=vmbr0,firewall=1",
    "net1": "pcnet=BC:24:11:0E:D3:63,bridge=vmbr0",
    "ostype": "l26",
    "scsi0": "local:142/vm-142-disk-0.qcow2,discard=on,iothread=1,iops=100,size=1536M,ssd=1",
    "scsihw": "virtio-scsi-single",
    "serial0": "socket",
    "smbios1": "uuid=1edae8ab-ffd3-4d29-83a5-84c07891dbf8",
    "sshkeys": "ssh-ed25519%20AAAAC3Nz%20me%40x",
    "vga": "serial0",
    "vmgenid": "6883966d-a385-420e-9b03-44257dabcf16",
}


def test_a_container() -> None:
    spec = to_spec(seen("Container", CONTAINER, pool="apps"), "home")
    assert spec == {
        "cluster": "home",
        "vmid": 142,
        "node": "pve",
        "hostname": "Web.Example",
        "cpu": {"cores": 2, "limit": 1.5},
        "memory": "512Mi",
        "swap": 0,
        "rootDisk": {"storage": "btr", "size": "8Gi"},
        "mounts": [
            {"path": "/data", "slot": "mp0", "storage": "btr", "size": "4Gi", "backup": True},
            {"path": "/share", "slot": "mp1", "source": "/srv/share", "readOnly": True},
        ],
        "network": [
            {
                "name": "eth0",
                "bridge": "vmbr0",
                "firewall": True,
                "gateway": "10.0.0.1",
                "mac": "BC:24:11:AA:BB:CC",
                "ip": "10.0.0.2/24",
                "vlan": 20,
            },
            {"slot": "net1", "name": "wan", "bridge": "vmbr1", "mac": "BC:24:11:55:9E:BC", "ip": "dhcp"},
        ],
        "dns": {"nameservers": ["1.1.1.1", "8.8.8.8"]},
        "features": {"nesting": True, "mount": ["nfs", "cifs"]},
        "unprivileged": True,
        "startOnBoot": True,
        "protected": True,
        "tags": ["db", "web"],
        "description": "line1\nline2",
        "pool": "apps",
        "running": True,
        "options": {
            "console": 0,
            "net2": "name=eth2,bridge=vmbr1,host-managed=1,hwaddr=BC:24:11:55:9E:BD,type=veth",
            "searchdomain": "example.org lan",
            "startup": "order=3,up=10",
        },
    }


def test_a_virtual_machine() -> None:
    spec = to_spec(seen("VirtualMachine", MACHINE, power="stopped"), "home")
    assert spec == {
        "cluster": "home",
        "vmid": 142,
        "node": "pve",
        "cpu": {"cores": 2, "type": "host"},
        "memory": "2Gi",
        "balloon": 0,
        "disks": [
            {"slot": "efidisk0", "storage": "btr"},
            {
                "slot": "scsi0",
                "storage": "local",
                "size": "1536Mi",
                "format": "qcow2",
                "discard": True,
                "iothread": True,
                "ssd": True,
            },
        ],
        "network": [
            {"slot": "net0", "model": "virtio", "mac": "BC:24:11:0E:D3:62", "bridge": "vmbr0", "firewall": True},
        ],
        "cloudInit": {
            "user": "admin",
            "storage": "local",
            "slot": "ide2",
            "ip": "10.0.0.3/24",
            "gateway": "10.0.0.1",
            "nameservers": ["1.1.1.1"],
            "sshKeys": ["ssh-ed25519 AAAAC3Nz me@x"],
        },
        "bootOrder": ["scsi0", "net0"],
        "osType": "l26",
        "firmware": "ovmf",
        "options": {
            "agent": "enabled=1,fstrim_cloned_disks=1",
            "ide3": "local:iso/debian.iso,media=cdrom",
            "ipconfig1": "ip=dhcp",
            "machine": "pc-q35-9.2+pve1,viommu=intel",
            "net1": "pcnet=BC:24:11:0E:D3:63,bridge=vmbr0",
            "scsihw": "virtio-scsi-single",
            "serial0": "socket",
            "vga": "serial0",
        },
    }


@pytest.mark.parametrize(("kind", "config"), [("Container", CONTAINER), ("VirtualMachine", MACHINE)])
def test_planning_it_is_empty(kind: str, config: dict[str, str]) -> None:
    observed = seen(kind, config, pool="apps")
    spec: dict[str, Any] = to_spec(observed, "home")
    (ContainerSpec if kind == "Container" else VirtualMachineSpec).model_validate_json(json.dumps(spec))
    found = difference(kind, spec, observed)
    assert not (found.changes or found.set or found.delete or found.refused or found.resizes or found.pool)
    assert found.marker_changed


def test_an_unread_guest_cannot_be_told() -> None:
    unread = seen("Container", {})
    object.__setattr__(unread, "config", None)
    with pytest.raises(ValueError, match="was not read"):
        to_spec(unread, "home")


@pytest.mark.parametrize("kind", ["Container", "VirtualMachine"])
def test_the_name_that_proxmox_makes_up_is_none(kind: str) -> None:
    found = to_spec(replace(seen(kind, {"memory": "512"}), name="VM 142"), "home")

    assert "hostname" not in found


def test_what_no_manifest_can_hold_is_left_alone() -> None:
    found = to_spec(seen("Container", {"env": "A=1\0B=2", "tty": "1"}), "home")

    assert found["options"] == {"tty": 1}
