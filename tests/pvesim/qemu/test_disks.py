"""Disks that grow, move and change hands; removal; backups and back."""

from __future__ import annotations

from .conftest import IMAGE, Machine


def test_resize(vm: Machine) -> None:
    assert vm.create(scsi0="local:1,format=qcow2") == "OK"
    assert vm.run("PUT", "/resize", disk="scsi0", size="+512M") == "OK"
    assert vm.config["scsi0"].endswith("size=1536M")
    assert vm.run("PUT", "/resize", disk="scsi0", size="1G") == "shrinking disks is not supported"
    assert vm.run("PUT", "/resize", disk="scsi0", size="3G") == "OK"
    assert vm.run("PUT", "/resize", disk="scsi7", size="+1G") == "disk 'scsi7' does not exist"
    assert "size" in vm.call("PUT", "/resize", disk="scsi0", size="-1G").errors


def test_move_to_another_storage(vm: Machine) -> None:
    assert vm.create(scsi0="local:1") == "OK"
    same = vm.run("POST", "/move_disk", disk="scsi0", storage="local")
    assert same == "500 you can't move to the same storage with same format"
    assert vm.run("POST", "/move_disk", disk="scsi0", storage="thin") == "OK"
    assert vm.config["scsi0"] == f"thin:vm-{vm.vmid}-disk-0,size=1G"
    assert vm.config["unused0"] == f"local:{vm.vmid}/vm-{vm.vmid}-disk-0.raw"
    assert vm.run("POST", "/move_disk", disk="scsi0", storage="btr", delete=1) == "OK"
    assert "unused1" not in vm.config
    assert vm.run("POST", "/move_disk", disk="scsi1", storage="btr") == "500 disk 'scsi1' does not exist"
    both = vm.call("POST", "/move_disk", disk="scsi0", storage="btr", **{"target-vmid": 100})
    assert both.errors.keys() == {"storage", "target-vmid"}


def test_move_to_another_vm(vm: Machine) -> None:
    other = Machine(vm.sim, vm.vmid + 5000)
    assert vm.create(scsi0="local:1", scsi1="local:2") == "OK"
    assert other.create() == "OK"
    moved = vm.run("POST", "/move_disk", disk="scsi1", **{"target-vmid": other.vmid, "target-disk": "virtio0"})
    assert moved == "OK"
    assert "scsi1" not in vm.config
    assert other.config["virtio0"] == f"local:{other.vmid}/vm-{other.vmid}-disk-0.raw,size=2G"
    self = vm.call("POST", "/move_disk", disk="scsi0", **{"target-vmid": vm.vmid})
    assert self.errors == {"target-vmid": "must be different than source VMID to reassign disk"}


def test_destroy_takes_its_volumes(vm: Machine) -> None:
    assert vm.create(scsi0="local:1", scsi1="thin:1", ide2="local:cloudinit", unused0="local:1") != "OK"
    assert vm.create(scsi0="local:1", scsi1="thin:1", ide2="local:cloudinit") == "OK"
    assert vm.put(delete="scsi1").status == 200
    assert vm.run("DELETE") == "OK"
    for storage in ("local", "thin"):
        assert (
            vm.sim.call("GET", f"/nodes/pve/storage/{storage}/content", {"content": "images", "vmid": vm.vmid}).data
            == []
        )
    assert vm.call("GET", "/config").status == 500


def test_an_imported_disk_keeps_its_format_where_the_storage_has_it(vm: Machine) -> None:
    assert vm.create(scsi0=f"local:0,import-from={IMAGE}", scsi1=f"thin:0,import-from={IMAGE}") == "OK"
    assert vm.config["scsi0"].startswith(f"local:{vm.vmid}/vm-{vm.vmid}-disk-0.qcow2,")
    assert vm.config["scsi1"].startswith(f"thin:vm-{vm.vmid}-disk-")


def test_a_disk_of_a_template_that_cannot_be_a_base_stays_as_it_is(vm: Machine) -> None:
    assert vm.create(scsi0="local:1") == "OK"
    assert vm.run("POST", "/template") == "OK"
    assert vm.run("POST", "/template", disk="scsi0") == "OK"
    assert "base-" in vm.config["scsi0"]


def test_a_base_in_use_stays(vm: Machine) -> None:
    clone = Machine(vm.sim, vm.vmid + 5000)
    assert vm.create(scsi0=f"local:0,import-from={IMAGE},format=qcow2") == "OK"
    assert vm.run("POST", "/template") == "OK"
    assert vm.run("POST", "/clone", newid=clone.vmid) == "OK"
    base = f"local:{vm.vmid}/base-{vm.vmid}-disk-0.qcow2"
    assert vm.run("DELETE") == f"base volume '{base}' is still in use by linked cloned"
    assert clone.run("DELETE") == "OK"
    assert vm.run("DELETE") == "OK"


def test_feature(vm: Machine) -> None:
    assert vm.create(scsi0="local:1") == "OK"
    assert vm.get("/feature", feature="snapshot") == {"hasFeature": 0, "nodes": ["pve"]}
    assert vm.get("/feature", feature="copy")["hasFeature"] == 1


def test_backup_and_restore(vm: Machine) -> None:
    copy = Machine(vm.sim, vm.vmid + 5000)
    made = vm.create(
        name="a", scsi0=f"local:0,import-from={IMAGE}", scsi1="local:1,backup=0", net0="virtio,bridge=vmbr0", agent=1
    )
    assert made == "OK"
    backup = vm.sim.do("POST", "/nodes/pve/vzdump", {"vmid": vm.vmid, "storage": "local", "compress": "zstd"})
    assert backup == "OK"
    archives = vm.sim.call("GET", "/nodes/pve/storage/local/content", {"vmid": vm.vmid, "content": "backup"}).data
    archive = archives[0]["volid"]
    assert copy.create(archive=archive, storage="thin", unique=1, memory=2048) == "OK"
    was, now = vm.config, copy.config
    assert now["scsi0"] == f"thin:vm-{copy.vmid}-disk-0,size=2G"
    assert "scsi1" not in now
    assert now["description"].startswith("scsi1: local:")
    assert now["net0"] != was["net0"]
    assert now["smbios1"] != was["smbios1"]
    assert (now["name"], now["memory"]) == ("a", "2048")
    assert copy.run("POST", "/status/start") == "OK"
    assert copy.call("POST", "/agent/ping").status == 200

    taken = f"500 unable to restore VM {vm.vmid} - VM {vm.vmid} already exists on node 'pve'"
    assert vm.create(archive=archive) == taken
    assert vm.put(name="b").status == 200
    assert vm.create(archive=archive, force=1) == "OK"
    assert vm.config["name"] == "a"
    assert vm.config["net0"] == was["net0"]
    assert copy.create(archive=archive, force=1) == f"unable to restore VM {copy.vmid} - vm is running"
    assert "lock" not in copy.config
    conflict = vm.create(archive=archive, scsi0="local:1")
    assert "option conflicts with option 'archive'" in conflict
    assert vm.create(archive="local:backup/vzdump-qemu-1-none.vma").startswith("500 volume")


def test_purge_leaves_backup_jobs_in_order(vm: Machine) -> None:
    jobs = {"both": f"{vm.vmid},100", "alone": str(vm.vmid)}
    for name, vmids in jobs.items():
        job = {"id": name, "vmid": vmids, "storage": "local", "schedule": "daily"}
        assert vm.sim.call("POST", "/cluster/backup", job).status == 200
    assert vm.create() == "OK"
    assert vm.run("DELETE", purge=1) == "OK"
    assert [(job["id"], job["vmid"]) for job in vm.sim.call("GET", "/cluster/backup").data] == [("both", "100")]
