"""Single stories over HTTPS: clone, image, directory, hand-made changes, detached volumes."""

from typing import Any

from innkeeper.model.observed import Marker
from innkeeper.settings.create import clone_params, owned_at_create
from innkeeper.settings.made import made
from tests.innkeeper.settings.guests import SOURCE, compiled
from tests.innkeeper.settings.laboratory import ISO, Laboratory


def _converge(laboratory: Laboratory, kind: str, spec: dict[str, Any], vmid: int) -> list[str]:
    """Do what differs; the fields that did. Afterwards nothing does."""
    guest, desired = compiled(kind, spec, laboratory.version)
    difference, observed = laboratory.compare(guest, desired, vmid)
    assert not difference.refused, difference.refused
    laboratory.update(guest, desired, difference, observed)
    after, observed = laboratory.compare(guest, desired, vmid)
    assert after.empty, (after, observed.config)
    return [change.field for change in difference.changes]


def _made(laboratory: Laboratory, kind: str, spec: dict[str, Any]) -> int:
    guest, desired = compiled(kind, spec, laboratory.version)
    vmid = laboratory.create(guest, desired)
    difference, observed = laboratory.compare(guest, desired, vmid)
    assert difference.empty, (difference, observed.config)
    return vmid


def _config(laboratory: Laboratory, kind: str, vmid: int) -> dict[str, str]:
    return dict(laboratory.look(kind, vmid).config or {})


def test_a_clone_becomes_what_its_manifest_says(laboratory: Laboratory) -> None:
    base = {
        "disks": [{"slot": "scsi0", "size": "2Gi", "storage": "local"}],
        "cloudInit": {"storage": "local", "slot": "ide0"},
    }
    template = _made(laboratory, "VirtualMachine", base)
    laboratory.write("POST", f"/nodes/pve/qemu/{template}/template")
    source = laboratory.look("VirtualMachine", template)
    spec = {
        "clone": {"template": template},
        "cpu": {"cores": 2},
        "disks": [{"slot": "scsi0", "size": "5Gi"}, {"slot": "scsi1", "size": "1Gi"}],
        "network": [{"slot": "net0", "bridge": "vmbr1"}],
        "cloudInit": {"user": "admin", "ip": "dhcp"},
        "description": "cloned",
        "tags": ["db"],
        "pool": "apps",
    }
    guest, desired = compiled("VirtualMachine", spec, laboratory.version)
    vmid, laboratory.next_vmid = laboratory.next_vmid, laboratory.next_vmid + 1
    marker = Marker(
        SOURCE, "VirtualMachine", "web", "r1", owned_at_create(guest, desired), made(guest, desired, None, source)
    )
    body = clone_params(guest, desired, vmid, marker)
    laboratory.write("POST", f"/nodes/pve/qemu/{template}/clone", body)
    seen = laboratory.look("VirtualMachine", vmid)
    assert seen.marker == marker
    assert seen.pool == "apps"
    fields = _converge(laboratory, "VirtualMachine", spec, vmid)
    assert {"cpu.cores", "disks.scsi0.size", "disks.scsi1", "network.net0", "tags", "cloudInit.user"} <= set(fields)
    assert "ide2" not in _config(laboratory, "VirtualMachine", vmid)
    guest, desired = compiled("VirtualMachine", spec | {"clone": {"template": 9999}}, laboratory.version)
    other, _ = laboratory.compare(guest, desired, vmid)
    assert [change.field for change in other.replace] == ["clone.template"]


def test_a_disk_from_an_image_grows_to_its_size(laboratory: Laboratory) -> None:
    image = _made(laboratory, "VirtualMachine", {"disks": [{"slot": "scsi0", "size": "1Gi", "storage": "local"}]})
    volume = _config(laboratory, "VirtualMachine", image)["scsi0"].partition(",")[0]
    disk = {"slot": "scsi0", "size": "3Gi", "storage": "btr", "importFrom": volume}
    vmid = _made(laboratory, "VirtualMachine", {"disks": [disk]})
    assert "size=3G" in _config(laboratory, "VirtualMachine", vmid)["scsi0"]


def test_a_directory_of_the_node(laboratory: Laboratory) -> None:
    spec = {"mounts": [{"path": "/share", "source": "/srv", "readOnly": True}, {"path": "/data", "size": "1Gi"}]}
    vmid = _made(laboratory, "Container", spec)
    assert _config(laboratory, "Container", vmid)["mp0"].startswith("/srv,")


def test_what_people_change_by_hand(laboratory: Laboratory) -> None:
    spec = {
        "cpu": {"cores": 2},
        "network": [{"name": "eth0", "ip": "10.1.2.3/24", "vlan": 5}],
        "mounts": [{"path": "/data", "size": "1Gi", "backup": True}],
        "tags": ["web"],
        "description": "ours",
    }
    vmid = _made(laboratory, "Container", spec)
    before = _config(laboratory, "Container", vmid)
    notes = before["description"].replace("ours", "theirs")
    net = before["net0"].replace("tag=5", "tag=6") + ",rate=7"
    mount = before["mp0"].replace("mp=/data", "mp=/moved")
    hand = {
        "cores": 3,
        "net0": net,
        "mp0": mount,
        "tags": "x;innkeeper",
        "description": notes,
        "tty": 1,
        "hostname": "x",
    }
    laboratory.write("PUT", f"/nodes/pve/lxc/{vmid}/config", hand)
    fields = _converge(laboratory, "Container", spec, vmid)
    assert set(fields) == {"cpu.cores", "network.eth0.vlan", "mounts./data.path", "tags", "description", "hostname"}
    after = _config(laboratory, "Container", vmid)
    assert after["tty"] == "1"
    assert "rate=7" in after["net0"]
    assert sorted(after["net0"].replace(",rate=7", "").split(",")) == sorted(before["net0"].split(","))
    assert after["mp0"].partition(",")[0] == before["mp0"].partition(",")[0]
    assert not _converge(laboratory, "Container", spec, vmid)


def test_dropping_detaches_and_naming_again_makes_anew(laboratory: Laboratory) -> None:
    spec = {
        "disks": [{"slot": "scsi0", "size": "1Gi"}, {"slot": "scsi1", "size": "1Gi"}],
        "network": [{"slot": "net1"}],
    }
    vmid = _made(laboratory, "VirtualMachine", spec)
    volume = _config(laboratory, "VirtualMachine", vmid)["scsi1"].partition(",")[0]
    less = {"disks": [{"slot": "scsi0", "size": "1Gi"}]}
    assert _converge(laboratory, "VirtualMachine", less, vmid) == ["network.net1", "disks.scsi1"]
    config = _config(laboratory, "VirtualMachine", vmid)
    assert config["unused0"] == volume
    assert "scsi1" not in config
    assert "net1" not in config
    assert _converge(laboratory, "VirtualMachine", spec, vmid) == ["network.net1", "disks.scsi1"]
    assert _config(laboratory, "VirtualMachine", vmid)["unused0"] == volume


def test_a_disk_that_somebody_detached_is_not_made_anew(laboratory: Laboratory) -> None:
    spec = {"mounts": [{"path": "/data", "size": "1Gi"}]}
    vmid = _made(laboratory, "Container", spec)
    laboratory.write("PUT", f"/nodes/pve/lxc/{vmid}/config", {"delete": "mp0"})
    guest, desired = compiled("Container", spec, laboratory.version)
    difference, observed = laboratory.compare(guest, desired, vmid)
    assert [item.code for item in difference.refused] == ["VolumeDetached"]
    volume = (observed.config or {})["unused0"]
    laboratory.write("PUT", f"/nodes/pve/lxc/{vmid}/config", {"mp0": f"{volume},mp=/data"})
    difference, _ = laboratory.compare(guest, desired, vmid)
    assert difference.empty


def test_a_cd_that_comes_later_does_not_disturb_the_boot_order(laboratory: Laboratory) -> None:
    disks = [{"slot": "scsi0", "size": "1Gi"}]
    vmid = _made(laboratory, "VirtualMachine", {"disks": disks, "bootOrder": ["scsi0"]})
    spec = {"disks": disks, "bootOrder": ["scsi0"], "options": {"ide3": f"{ISO},media=cdrom"}}
    assert _converge(laboratory, "VirtualMachine", spec, vmid) == ["options.ide3"]
    assert not _converge(laboratory, "VirtualMachine", spec, vmid)


def test_every_field_at_once_goes_back_to_the_default(laboratory: Laboratory) -> None:
    spec = {
        "hostname": "other",
        "cpu": {"cores": 2, "limit": 1.5, "units": 50},
        "memory": "1Gi",
        "swap": "1Gi",
        "dns": {"nameservers": ["1.1.1.1"], "search": "example.org"},
        "features": {"nesting": True},
        "startOnBoot": True,
        "tags": ["a"],
        "description": "text",
        "pool": "apps",
        "options": {"console": 0, "startup": "order=1"},
    }
    vmid = _made(laboratory, "Container", spec)
    fields = _converge(laboratory, "Container", {}, vmid)
    assert len(fields) == 15
    config = _config(laboratory, "Container", vmid)
    assert set(config) <= {
        "arch",
        "hostname",
        "memory",
        "swap",
        "ostype",
        "rootfs",
        "tags",
        "unprivileged",
        "description",
    }
    assert (config["hostname"], config["memory"], config["tags"]) == ("web", "512", "innkeeper")
