"""Creating virtual machines: disks, defaults, refusals."""

from __future__ import annotations

import re

from .conftest import IMAGE, ISO, Machine


def test_what_a_new_vm_gets_by_itself(vm: Machine) -> None:
    assert vm.create(name="a", net0="virtio,bridge=vmbr0") == "OK"
    config = vm.config
    assert config.keys() == {"name", "net0", "boot", "smbios1", "vmgenid", "meta", "digest"}
    assert config["boot"] == "order=net0"
    assert re.fullmatch(r"virtio=BC:24:11(:[0-9A-F]{2}){3},bridge=vmbr0", config["net0"])
    assert re.fullmatch(r"uuid=[0-9a-f-]{36}", config["smbios1"])


def test_disks_of_every_kind(vm: Machine) -> None:
    made = vm.create(
        scsi0="local:1,format=qcow2,ssd=1",
        scsi1="thin:2",
        virtio0=f"thin:0,import-from={IMAGE}",
        ide2="local:cloudinit",
        sata1=f"{ISO},media=cdrom",
        efidisk0="local:1,efitype=4m,pre-enrolled-keys=1",
        tpmstate0="local:1,version=v2.0",
    )
    assert made == "OK"
    config, n = vm.config, vm.vmid
    shown = {
        key: config[key] for key in ("scsi0", "scsi1", "virtio0", "ide2", "sata1", "efidisk0", "tpmstate0", "boot")
    }
    assert shown == {
        "scsi0": f"local:{n}/vm-{n}-disk-1.qcow2,size=1G,ssd=1",
        "scsi1": f"thin:vm-{n}-disk-0,size=2G",
        "virtio0": f"thin:vm-{n}-disk-1,size=2G",
        "ide2": f"local:{n}/vm-{n}-cloudinit.qcow2,media=cdrom",
        "sata1": f"{ISO},media=cdrom,size=600M",
        "efidisk0": f"local:{n}/vm-{n}-disk-0.raw,efitype=4m,ms-cert=2023,pre-enrolled-keys=1,size=528K",
        "tpmstate0": f"local:{n}/vm-{n}-disk-2.raw,size=4M,version=v2.0",
        "boot": "order=scsi0;ide2",
    }


def test_refused_before_a_task_begins(vm: Machine) -> None:
    assert vm.create(scsi0="nostore:4") == "500 storage 'nostore' does not exist"
    assert vm.create(args="-foo") == "500 only root can set 'args' config"
    assert vm.create(hostpci0="00:01.0") == "500 only root can set 'hostpci0' config for non-mapped devices"
    assert vm.create(serial0="/dev/ttyS0") == "500 only root can set 'serial0' config for real devices"
    assert vm.create(usb0="host=1234:5678") == "500 only root can set 'usb0' config for real devices"
    assert vm.create(pool="nopool") == "403 Permission check failed (pool 'nopool' does not exist)"
    assert vm.create(sshkeys="ssh-rsa%20AAAA") == "500 SSH public key validation error"
    wrong = vm.create(scsi0="iso:4")
    assert wrong == "400 Parameter verification failed. {'storage': \"storage 'iso' does not support vm images\"}"
    assert "'import-from' requires special syntax" in vm.create(scsi0=f"local:4,import-from={IMAGE}")
    assert "explicit 'media=cdrom'" in vm.create(ide2=ISO)
    assert vm.call("GET", "/config").message.endswith("does not exist")


def test_a_failed_create_leaves_nothing(vm: Machine) -> None:
    ended = vm.create(scsi0="local:1", scsi1="local:999/vm-999-disk-0.raw")
    assert ended == f"unable to create VM {vm.vmid} - volume 'local:999/vm-999-disk-0.raw' does not exist"
    assert vm.call("GET", "/config").status == 500
    assert vm.sim.call("GET", "/nodes/pve/storage/local/content", {"content": "images", "vmid": vm.vmid}).data == []


def test_an_id_is_taken_by_any_guest(vm: Machine) -> None:
    assert vm.create() == "OK"
    assert vm.create() == f"500 unable to create VM {vm.vmid} - VM {vm.vmid} already exists on node 'pve'"


def test_start_is_a_task_of_its_own(vm: Machine) -> None:
    assert vm.create(net0="virtio,bridge=nosuch", start=1) == "OK"
    tasks = vm.sim.call("GET", "/nodes/pve/tasks", {"vmid": vm.vmid}).data
    ends = {task["type"]: task["status"] for task in tasks}
    assert ends == {"qmcreate": "OK", "qmstart": "bridge 'nosuch' does not exist"}
    assert vm.get("/status/current")["status"] == "stopped"


def test_pool_and_tags(vm: Machine) -> None:
    assert vm.create(pool="apps", tags="B a,c") == "OK"
    assert vm.config["tags"] == "B a,c"
    members = vm.sim.call("GET", "/pools", {"poolid": "apps"}).data[0]["members"]
    assert vm.vmid in [member["vmid"] for member in members]


def test_one_cloudinit_drive(vm: Machine) -> None:
    ended = vm.create(ide0="local:cloudinit", ide2="local:cloudinit")
    assert ended == f"unable to create VM {vm.vmid} - ide0 - cloud-init drive is already attached at 'ide2'"


def test_windows_gets_its_machine_pinned(vm: Machine) -> None:
    assert vm.create(ostype="win11", machine="q35") == "OK"
    assert vm.config["machine"] == "pc-q35-10.1"


def test_release_8(old: Machine) -> None:
    assert old.create(scsi0="local:1", efidisk0="local:1,efitype=4m,pre-enrolled-keys=1") == "OK"
    assert "ms-cert" not in old.config["efidisk0"]
    assert "allow-ksm" in old.call("PUT", "/config", **{"allow-ksm": 1}).errors
    shown = old.get("/status/current")
    assert "memhost" not in shown
    assert shown["diskread"] == 0
