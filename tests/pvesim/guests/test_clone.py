"""Clones of containers and virtual machines, full and linked."""

from tests.pvesim.conftest import Start
from tests.pvesim.running import THREE_NODES, Sim

from .conftest import CT, SEED, VM, container, machine


def test_a_full_clone_of_a_container(sim: Sim) -> None:
    container(sim, hostname="web", net0="name=eth0,bridge=vmbr0", mp0="btr:1,mp=/data,backup=1", tags="a", memory=300)
    sim.call("POST", "/pools", {"poolid": "apps"})
    asked = {"newid": 102, "hostname": "copy", "pool": "apps", "description": "made"}
    assert sim.do("POST", f"{CT}/clone", asked) == "OK"
    old, new = (sim.call("GET", f"/nodes/pve/lxc/{vmid}/config").data for vmid in (101, 102))
    assert new["hostname"] == "copy"
    assert new["description"] == "made\n"
    assert new["rootfs"] == "btr:102/vm-102-disk-0.raw,size=1G"
    assert new["mp0"] == "btr:102/vm-102-disk-1.raw,mp=/data,backup=1,size=1G"
    assert (new["memory"], new["tags"]) == (300, "a")
    mac = new["net0"].partition("hwaddr=")[2][:17]
    assert mac.startswith("BC:24:11:")
    assert mac not in old["net0"]
    assert "lock" not in old
    assert "lock" not in new
    assert [row["vmid"] for row in sim.call("GET", "/pools/apps").data["members"]] == [102]


def test_what_a_containers_clone_is_refused_for(sim: Sim) -> None:
    container(sim)
    container(sim, 103, mp0="btr:1,mp=/x")
    said = {
        "newid 103": sim.call("POST", f"{CT}/clone", {"newid": 103}),
        "pool": sim.call("POST", f"{CT}/clone", {"newid": 102, "pool": "nope"}),
        "storage": sim.call("POST", f"{CT}/clone", {"newid": 102, "storage": "nope"}),
        "snapname": sim.call("POST", f"{CT}/clone", {"newid": 102, "snapname": "nope"}),
        "linked": sim.call("POST", f"{CT}/clone", {"newid": 102, "full": 0, "storage": "tank"}),
        "target": sim.call("POST", f"{CT}/clone", {"newid": 102, "target": "pve9"}),
    }
    assert said["newid 103"].message == "CT 103 already exists on node 'pve'"
    assert (said["pool"].status, said["pool"].message) == (403, "Permission check failed (pool 'nope' does not exist)")
    assert said["storage"].message == "storage 'nope' does not exist"
    assert said["snapname"].message == "snapshot 'nope' does not exist"
    assert said["linked"].message == "parameter 'storage' not allowed for linked clones"
    assert said["target"].message == "no such cluster node 'pve9'"
    sim.do("POST", f"{CT}/status/start")
    assert sim.call("POST", f"{CT}/clone", {"newid": 102}).message == (
        "Full clone of a running container is only possible from a snapshot"
    )
    assert "lock" not in sim.call("GET", f"{CT}/config").data
    assert sim.call("GET", "/nodes/pve/lxc/102/config").status == 500
    assert sim.do("POST", f"{CT}/snapshot", {"snapname": "s1"}) == "OK"
    assert sim.do("POST", f"{CT}/clone", {"newid": 102, "snapname": "s1"}) == "OK"


def test_a_linked_clone_of_a_container_template(sim: Sim) -> None:
    container(sim, rootfs="tank:1")
    assert sim.call("POST", f"{CT}/template").data is None
    config = sim.call("GET", f"{CT}/config").data
    assert config["template"] == 1
    assert config["rootfs"] == "tank:basevol-101-disk-0,size=1G"
    assert sim.do("POST", f"{CT}/clone", {"newid": 102}) == "OK"
    assert sim.call("GET", "/nodes/pve/lxc/102/config").data["rootfs"] == (
        "tank:basevol-101-disk-0/subvol-102-disk-0,size=1G"
    )
    assert sim.call("POST", f"{CT}/template").message == "you can't convert a template to a template"
    assert sim.do("POST", f"{CT}/snapshot", {"snapname": "s1"}) == "you can't take a snapshot if it's a template"
    assert "still in use by linked clone" in sim.do("DELETE", CT)


def test_a_container_on_a_directory_cannot_be_linked(sim: Sim) -> None:
    container(sim, rootfs="local:1")
    sim.call("POST", f"{CT}/template")
    assert sim.call("POST", f"{CT}/clone", {"newid": 102}).message == (
        "Linked clone feature for 'local:101/base-101-disk-0.raw' is not available"
    )
    assert sim.do("POST", f"{CT}/clone", {"newid": 102, "full": 1, "storage": "btr"}) == "OK"
    assert sim.call("GET", "/nodes/pve/lxc/102/config").data["rootfs"] == "btr:102/vm-102-disk-0.raw,size=1G"


def test_a_machines_clone_is_somebody_else(sim: Sim) -> None:
    machine(sim, name="vm", ide2="local:cloudinit", ciuser="u", smbios1="uuid=11111111-2222-4333-8444-555555555555")
    assert sim.do("POST", f"{VM}/clone", {"newid": 201}) == "OK"
    old, new = (sim.call("GET", f"/nodes/pve/qemu/{vmid}/config").data for vmid in (200, 201))
    assert new["name"] == "Copy-of-VM-vm"
    assert new["smbios1"] != old["smbios1"]
    assert new["vmgenid"] != old["vmgenid"]
    assert new["net0"] != old["net0"]
    assert new["scsi0"] == "local:201/vm-201-disk-0.qcow2,size=1G"
    assert new["ide2"].startswith("local:201/vm-201-cloudinit.qcow2,media=cdrom")
    assert sim.call("POST", f"{VM}/clone", {"newid": 201}).message == (
        "unable to create VM 201: config file already exists"
    )
    container(sim, 105)
    assert sim.do("POST", f"{VM}/clone", {"newid": 105}) == (
        "close (rename) atomic file '/etc/pve/nodes/pve/qemu-server/105.conf' failed: File exists"
    )
    assert sim.call("POST", "/nodes/pve/qemu/999/clone", {"newid": 202}).message == (
        "unable to find configuration file for VM 999 on node 'pve'"
    )
    assert sim.do("POST", f"{VM}/clone", {"newid": 203, "storage": "thin", "name": "x"}) == "OK"
    assert sim.call("GET", "/nodes/pve/qemu/203/config").data["scsi0"] == "thin:vm-203-disk-0,size=1G"


def test_a_clone_lands_on_another_node_only_by_shared_storage(start: Start) -> None:
    sim = start(THREE_NODES)
    container(sim, node="pve1")
    container(sim, 102, node="pve1", rootfs="nas:1")
    path = "/nodes/pve1/lxc"
    assert sim.call("POST", f"{path}/101/clone", {"newid": 110, "target": "pve2"}).message == (
        "can't clone CT to node 'pve2' (CT uses local storage)"
    )
    assert sim.call("POST", f"{path}/101/clone", {"newid": 110, "target": "pve2", "storage": "btr"}).message == (
        "can't clone to non-shared storage 'btr'"
    )
    assert sim.do("POST", f"{path}/102/clone", {"newid": 110, "target": "pve2"}) == "OK"
    assert sim.call("GET", "/nodes/pve2/lxc/110/config").data["rootfs"] == "nas:110/vm-110-disk-0.raw,size=1G"


def test_who_may_clone(sim: Sim) -> None:
    container(sim, net0="name=eth0,bridge=vmbr0")
    for path, role in (("/vms/101", "PVEVMAdmin"), ("/vms/102", "PVEVMAdmin")):
        sim.call("PUT", "/access/acl", {"path": path, "roles": role, "users": "alice@pve"})

    def ask() -> str:
        reply = sim.call("POST", f"{CT}/clone", {"newid": 102}, token="alice@pve!nosep")
        return "" if reply.status == 200 else reply.message

    assert ask() == "Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)"
    sim.call("PUT", "/access/acl", {"path": "/sdn/zones/localnetwork", "roles": "PVESDNUser", "users": "alice@pve"})
    assert ask() == "Permission check failed (/storage/btr, Datastore.AllocateSpace)"
    sim.call("PUT", "/access/acl", {"path": "/storage/btr", "roles": "PVEDatastoreUser", "users": "alice@pve"})
    assert ask() == ""


def test_a_clone_goes_where_its_kind_of_volume_may_be(start: Start) -> None:
    isos = {"storage": "isos", "type": "dir", "path": "/iso", "content": ["iso"]}
    sim = start(SEED | {"storages": [*SEED["storages"], isos]})
    container(sim)
    machine(sim)
    lacks = "content type 'rootdir' is not available or configured on storage 'isos'"
    assert sim.do("POST", f"{CT}/clone", {"newid": 102, "storage": "isos"}) == f"clone failed: {lacks}"
    assert sim.call("GET", "/nodes/pve/lxc/102/config").status == 500
    assert "lock" not in sim.call("GET", f"{CT}/config").data
    assert sim.do("POST", f"{CT}/move_volume", {"volume": "rootfs", "storage": "isos"}) == lacks
    refused = sim.call("POST", f"{VM}/clone", {"newid": 202, "storage": "isos"})
    assert (refused.status, refused.errors) == (400, {"storage": "storage 'isos' does not support vm images"})


def test_the_tpm_state_of_a_linked_clone_is_its_own(sim: Sim) -> None:
    machine(sim, tpmstate0="local:1,version=v2.0")
    assert sim.do("POST", f"{VM}/snapshot", {"snapname": "s1"}) == "snapshot feature is not available"
    assert sim.do("POST", f"{VM}/template") == "OK"
    assert sim.do("POST", f"{VM}/clone", {"newid": 202}) == "OK"
    config = sim.call("GET", "/nodes/pve/qemu/202/config").data
    assert config["tpmstate0"].startswith("local:202/vm-202-disk-")
    assert config["scsi0"].startswith("local:200/base-200-disk-")


def test_a_linked_clone_of_a_snapshot_needs_a_storage_that_can(sim: Sim) -> None:
    machine(sim)
    assert sim.do("POST", f"{VM}/snapshot", {"snapname": "s1"}) == "OK"
    assert sim.call("POST", f"{VM}/clone", {"newid": 202, "snapname": "s1", "full": 0}).message == (
        "Linked clone feature is not supported for a snapshot of 'local:200/vm-200-disk-0.qcow2' (scsi0)"
    )
