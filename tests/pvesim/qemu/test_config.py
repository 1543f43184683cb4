"""Changing a virtual machine's settings: at once, waiting, hotplugged, refused."""

from __future__ import annotations

import pytest

from .conftest import ISO, SNIPPET, Machine


def test_put_is_synchronous_and_post_a_task(vm: Machine) -> None:
    assert vm.create() == "OK"
    assert vm.put(memory=1024).data is None
    assert vm.run("POST", "/config", memory=2048) == "OK"
    assert vm.config["memory"] == "2048"
    assert vm.call("POST", "/config", memory=512, background_delay=5).data is None


def test_digest(vm: Machine) -> None:
    assert vm.create() == "OK"
    digest = vm.config["digest"]
    assert vm.put(name="b", digest=digest).status == 200
    late = vm.put(name="c", digest=digest)
    assert (late.status, late.message) == (500, "checksum mismatch (file change by other user?)")
    assert vm.config["name"] == "b"


@pytest.mark.parametrize(
    ("params", "status", "text"),
    [
        ({}, 500, "no options specified"),
        ({"delete": "bogus"}, 400, "unknown option 'bogus'"),
        ({"revert": "bogus"}, 400, "unknown option 'bogus'"),
        ({"delete": "name", "name": "x"}, 400, "you can't use '-name' and -delete name' at the same time"),
        ({"delete": "name", "revert": "name"}, 400, "you can't use '-delete name' and -revert name' at the same time"),
        ({"balloon": 4096, "memory": 1024}, 500, "balloon value too large (must be smaller than assigned memory)"),
        ({"boot": "order=scsi9"}, 500, "invalid bootorder: device 'scsi9' does not exist'"),
        ({"skiplock": 1, "name": "x"}, 400, "Only root may use this option."),
        ({"hookscript": "local:snippets/none"}, 400, "script 'local:snippets/none' does not exist\n"),
        ({"lock": "backup"}, 500, "only root can set 'lock' config"),
        ({"vga": "none,clipboard=vnc"}, 500, "vga type none is not compatible with VNC clipboard"),
        ({"ciuser": "a\nb"}, 500, "unable to parse value of 'ciuser' - property contains a line feed"),
    ],
)
def test_refusals(vm: Machine, params: dict[str, object], status: int, text: str) -> None:
    assert vm.create(name="a") == "OK"
    before = vm.config
    reply = vm.put(**params)
    assert reply.status == status
    assert text in (reply.message, *reply.errors.values())
    assert vm.config == before


def test_a_detached_disk_stays_until_it_is_deleted(vm: Machine) -> None:
    assert vm.create(scsi0="local:1") == "OK"
    assert vm.put(scsi1="local:2").status == 200
    assert vm.config["scsi1"] == f"local:{vm.vmid}/vm-{vm.vmid}-disk-1.raw,size=2G"
    assert vm.put(delete="scsi1").status == 200
    assert vm.config["unused0"] == f"local:{vm.vmid}/vm-{vm.vmid}-disk-1.raw"
    assert vm.put(scsi2=vm.config["unused0"]).status == 200
    assert "unused0" not in vm.config
    assert vm.put(delete="scsi2", force=1).status == 200
    assert not {"scsi2", "unused0"} & vm.config.keys()
    volumes = vm.sim.call("GET", "/nodes/pve/storage/local/content", {"content": "images", "vmid": vm.vmid}).data
    assert [volume["volid"] for volume in volumes] == [f"local:{vm.vmid}/vm-{vm.vmid}-disk-0.raw"]


def test_deleting_a_device_takes_it_out_of_the_boot_order(vm: Machine) -> None:
    assert vm.create(scsi0="local:1", net0="virtio", boot="order=scsi0;net0") == "OK"
    assert vm.put(delete="net0").status == 200
    assert vm.config["boot"] == "order=scsi0"
    assert vm.put(ide2=f"{ISO},media=cdrom").status == 200
    assert vm.config["boot"] == "order=scsi0;ide2"


def test_delete_of_what_is_not_set(vm: Machine) -> None:
    assert vm.create() == "OK"
    digest = vm.config["digest"]
    assert vm.put(delete="onboot,net3").status == 200
    assert vm.config["digest"] == digest


def test_a_network_device_written_without_address_gets_another(vm: Machine) -> None:
    assert vm.create(net0="virtio,bridge=vmbr0") == "OK"
    first = vm.config["net0"]
    assert vm.put(net0="virtio,bridge=vmbr0").status == 200
    assert vm.config["net0"] != first
    assert vm.put(net0="virtio=bc:24:11:aa:bb:cc,bridge=vmbr0,tag=5").status == 200
    assert vm.config["net0"] == "virtio=bc:24:11:aa:bb:cc,bridge=vmbr0,tag=5"


def test_empty_text_is_a_blank(vm: Machine) -> None:
    assert vm.create(tags="a") == "OK"
    assert vm.put(tags="Z;b;z").status == 200
    assert vm.config["tags"] == "b;z"
    assert vm.put(tags="").status == 200
    assert vm.config["tags"] == " "
    assert vm.put(delete="tags").status == 200
    assert "tags" not in vm.config


def test_nothing_given_for_a_setting(vm: Machine) -> None:
    assert vm.create(description="a\nb", name="a") == "OK"
    assert vm.put(name="").message == "unable to parse value of 'name' - got undefined value"
    assert vm.put(description="a\nb\n\n", searchdomain=" x.org ").status == 200
    assert (vm.config["description"], vm.config["searchdomain"]) == ("a\nb", "x.org")
    assert vm.put(description="").status == 200
    assert "description" not in vm.config


def test_passwords_are_hidden_and_hashed(vm: Machine) -> None:
    assert vm.create(cipassword="secret") == "OK"
    assert "password: secret" in vm.get("/cloudinit/dump", type="user")
    assert vm.put(cipassword="changed").status == 200
    assert vm.config["cipassword"] == "**********"
    assert "password: $5$" in vm.get("/cloudinit/dump", type="user")
    assert {"key": "cipassword", "value": "**********"} in vm.get("/pending")


def test_some_changes_wait_and_some_do_not(booted: Machine) -> None:
    assert booted.put(memory=1024, cores=2, name="other", onboot=1, description="x").status == 200
    assert booted.waiting() == {"memory": ("512", "1024"), "cores": (None, 2)}
    now, then = booted.get("/config", current=1), booted.config
    assert (now["memory"], then["memory"], then["cores"]) == ("512", "1024", 2)
    assert "cores" not in now
    assert now["name"] == "other"
    assert booted.put(delete="agent").status == 200
    assert booted.waiting()["agent"] == ("1", "deleted")
    assert booted.put(revert="agent,memory,cores").status == 200
    assert booted.waiting() == {}


def test_waiting_changes_come_with_the_next_start(booted: Machine) -> None:
    assert booted.put(memory=1024, delete="agent").status == 200
    assert booted.run("POST", "/status/reboot") == "OK"
    assert booted.waiting() == {}
    assert booted.config["memory"] == "1024"
    assert "agent" not in booted.config
    assert booted.put(memory=2048).status == 200
    assert booted.run("POST", "/status/stop") == "OK"
    assert booted.get("/config", current=1)["memory"] == "2048"


def test_hotplug(booted: Machine) -> None:
    assert booted.put(net1="virtio,bridge=vmbr0").status == 200
    assert booted.put(scsi1="local:1", virtio1="thin:1", usb0="spice").status == 200
    assert booted.waiting() == {}
    assert booted.put(delete="net1,virtio1,scsi1").status == 200
    assert booted.waiting() == {}
    assert sorted(key for key in booted.config if key.startswith("unused")) == ["unused0", "unused1"]
    assert booted.put(sata1="local:1").status == 200
    assert "sata1" in booted.waiting()
    assert booted.put(delete="sata1").status == 200
    assert booted.waiting() == {}


def test_what_a_running_vm_refuses(booted: Machine) -> None:
    boot = booted.put(delete="scsi0")
    assert boot.errors == {"scsi0": "hotplug problem - can't unplug bootdisk 'scsi0'\n"}
    assert booted.put(revert="scsi0").status == 200
    bridge = booted.put(net1="virtio,bridge=nosuch")
    assert bridge.errors == {"net1": "hotplug problem - bridge 'nosuch' does not exist\n"}
    assert booted.run("POST", "/config", net2="virtio,bridge=nosuch").startswith("400 Parameter verification failed.")


def test_a_vm_without_a_system_cannot_let_go_of_a_card(vm: Machine) -> None:
    assert vm.create(scsi0="local:1", net0="virtio,bridge=vmbr0", start=1) == "OK"
    assert vm.put(delete="net0").errors == {"net0": "hotplug problem - error on hot-unplugging device 'net0'\n"}
    assert vm.waiting()["net0"][1] == "deleted"


def test_disk_options_that_need_a_restart(booted: Machine) -> None:
    disk = booted.config["scsi0"]
    assert booted.put(scsi0=f"{disk},backup=0").status == 200
    assert booted.waiting() == {}
    assert booted.put(scsi0=f"{disk},backup=0,ssd=1").status == 200
    assert "scsi0" in booted.waiting()


def test_hotplug_can_be_switched_off(booted: Machine) -> None:
    assert booted.put(hotplug="0").status == 200
    assert booted.put(net1="virtio,bridge=vmbr0").status == 200
    assert "net1" in booted.waiting()


def test_cloudinit_changes_show_until_the_drive_is_made_anew(booted: Machine) -> None:
    assert booted.run("POST", "/status/stop") == "OK"
    assert booted.put(ide2="local:cloudinit", ciuser="u", ipconfig0="ip=10.0.0.5/24,gw=10.0.0.1").status == 200
    assert booted.run("POST", "/status/start") == "OK"
    assert booted.put(ciuser="v", nameserver="1.1.1.1").status == 200
    assert booted.waiting() == {}
    rows = {row["key"]: row for row in booted.get("/cloudinit")}
    assert rows["ciuser"] == {"key": "ciuser", "value": "u", "pending": "v"}
    assert rows["nameserver"] == {"key": "nameserver", "pending": "1.1.1.1"}
    assert booted.call("PUT", "/cloudinit").data is None
    assert {row["key"]: row.get("pending") for row in booted.get("/cloudinit")} == {"ciuser": None, "nameserver": None}
    network = booted.get("/cloudinit/dump", type="network")
    assert "address: '10.0.0.5'\n        netmask: '255.255.255.0'\n        gateway: '10.0.0.1'" in network


def test_only_root_by_ticket_sets_a_hookscript(vm: Machine) -> None:
    assert vm.create() == "OK"
    assert vm.put(hookscript=SNIPPET).message == "only root can set 'hookscript' config"


def test_protection(vm: Machine) -> None:
    assert vm.create(scsi0="local:1", protection=1) == "OK"
    assert vm.put(delete="scsi0").message == "can't remove drive 'scsi0' - protection mode enabled"
    assert vm.run("DELETE") == f"500 can't remove VM {vm.vmid} - protection mode enabled"
    assert vm.put(protection=0).status == 200
    assert vm.run("DELETE", purge=1) == "OK"


def test_what_a_user_may_change(server: object, vm: Machine) -> None:
    mine = Machine(vm.sim, 901)
    assert mine.create(memory=256) == "OK"
    mine.token = "alice@pve!nosep"
    assert mine.put(memory=512, name="a").status == 200
    assert mine.put(cores=2).message == "Permission check failed (/vms/901, VM.Config.CPU)"
    assert mine.put(scsi0="local:1").message == "Permission check failed (/storage/local, Datastore.AllocateSpace)"
    assert mine.put(startup="order=1").message == "Permission check failed (/, Sys.Modify)"
    assert mine.put(net0="virtio,bridge=vmbr0").message == "Permission check failed (/vms/901, VM.Config.Network)"
    assert mine.run("POST", "/status/start") == "403 Permission check failed (/vms/901, VM.PowerMgmt)"
    maker = Machine(vm.sim, 902, "alice@pve!nosep")
    assert maker.create(net0="virtio,bridge=vmbr0").endswith("(/sdn/zones/localnetwork/vmbr0, SDN.Use)")
    assert maker.create() == "OK"
    assert Machine(vm.sim, 903, "alice@pve!nosep").create() == "403 Permission check failed"
    assert [row["vmid"] for row in vm.sim.call("GET", "/nodes/pve/qemu", token="alice@pve!nosep").data] == [901, 902]
