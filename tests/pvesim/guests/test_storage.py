"""Storages, their content, and volumes made by hand."""

from tests.pvesim.conftest import Start
from tests.pvesim.running import THREE_NODES, Sim

from .conftest import CT, container

LOCAL = "/nodes/pve/storage/local"


def test_the_life_of_a_storage(sim: Sim) -> None:
    assert sim.call("POST", "/storage", {"storage": "new", "type": "dir"}).message == (
        "missing value for required option 'path'"
    )
    assert sim.call("POST", "/storage", {"storage": "new", "type": "dir", "path": "/x", "pool": "p"}).message == (
        "unexpected property 'pool'"
    )
    asked = {"storage": "new", "type": "dir", "path": "/mnt/new", "content": "images,rootdir", "nodes": "pve"}
    assert sim.call("POST", "/storage", asked).data == {"storage": "new", "type": "dir"}
    assert sim.call("POST", "/storage", asked).message == "create storage failed: storage ID 'new' already defined"
    config = sim.call("GET", "/storage/new").data
    assert set(config) == {"storage", "type", "path", "content", "nodes", "digest"}
    assert sim.call("PUT", "/storage/new", {"disable": 1, "digest": "0" * 40}).status == 500
    assert sim.call("PUT", "/storage/new", {"disable": 1, "delete": "nodes"}).data == {"storage": "new", "type": "dir"}
    assert sim.call("GET", "/nodes/pve/storage/new/content").message == "storage 'new' is disabled"
    assert sim.call("GET", "/nodes/pve/storage/new/status").data["active"] == 0
    assert "new" in {row["storage"] for row in sim.call("GET", "/nodes/pve/storage").data}
    assert "new" not in {row["storage"] for row in sim.call("GET", "/nodes/pve/storage", {"enabled": 1}).data}
    assert sim.call("DELETE", "/storage/new").data is None
    assert sim.call("DELETE", "/storage/new").message == "delete storage failed: storage 'new' does not exist"
    assert sim.call("PUT", "/storage/new", {"disable": 1}).message == (
        "update storage failed: storage 'new' does not exist"
    )


def test_volumes_made_by_hand(sim: Sim) -> None:
    post = f"{LOCAL}/content"
    asked = {"filename": "vm-300-disk-5.qcow2", "vmid": 300, "size": "1G"}
    assert sim.call("POST", post, asked).data == "local:300/vm-300-disk-5.qcow2"
    assert sim.call("POST", post, asked).message == (
        "disk image '/var/lib/vz/images/300/vm-300-disk-5.qcow2' already exists"
    )
    assert set(sim.call("POST", post, asked | {"format": "raw"}).errors) == {"format"}
    assert set(sim.call("POST", post, asked | {"size": "1T"}).errors) == {"size"}
    info = sim.call("GET", f"{post}/local:300/vm-300-disk-5.qcow2").data
    assert (info["path"], info["size"], info["format"]) == (
        "/var/lib/vz/images/300/vm-300-disk-5.qcow2",
        2**30,
        "qcow2",
    )
    assert sim.call("PUT", f"{post}/local:300/vm-300-disk-5.qcow2", {"notes": "x"}).message == (
        "only backups support attribute 'notes'"
    )
    assert sim.call("DELETE", f"{post}/300/vm-300-disk-5.qcow2", {"delay": 5}).data is None
    assert sim.call("GET", f"{post}/300/vm-300-disk-5.qcow2").message == (
        "volume_size_info on 'local:300/vm-300-disk-5.qcow2' failed - no format"
    )
    assert sim.call("GET", f"{post}/bogus").message == "unable to parse directory volume name 'bogus'"
    assert set(sim.call("GET", f"{post}/btr:1/vm-1-disk-0.raw").errors) == {"volume"}
    assert sim.call("POST", "/nodes/pve/storage/tank/content", {"filename": "x", "vmid": 1, "size": "1G"}).status == 400
    assert sim.call(
        "POST", "/nodes/pve/storage/thin/content", {"filename": "x", "vmid": 300, "size": "1G"}
    ).message == ("illegal name 'x' - should be 'vm-300-*'")


def test_what_a_user_sees_of_storages(sim: Sim) -> None:
    container(sim, rootfs="local:1")
    assert sim.call("GET", "/storage", token="alice@pve!nosep").data == []
    assert sim.call("GET", f"{LOCAL}/content", token="alice@pve!nosep").message == (
        "Permission check failed (/storage/local, Datastore.Audit|Datastore.AllocateSpace)"
    )
    sim.call("PUT", "/access/acl", {"path": "/storage/local", "roles": "PVEDatastoreUser", "users": "alice@pve"})
    assert [row["storage"] for row in sim.call("GET", "/storage", token="alice@pve!nosep").data] == ["local"]
    assert sim.call("GET", "/storage", token="alice@pve!sep").data == []
    seen = sim.call("GET", f"{LOCAL}/content", token="alice@pve!nosep").data
    assert [row["content"] for row in seen] == ["vztmpl"]
    assert sim.call("DELETE", f"{LOCAL}/content/local:101/vm-101-disk-0.raw", token="alice@pve!nosep").message == (
        "Permission check failed (/storage/local, Datastore.Allocate)"
    )


def test_upload_and_download(sim: Sim) -> None:
    asked = {"url": "https://example.org/x.iso", "content": "iso", "filename": "x.iso"}
    assert sim.do("POST", f"{LOCAL}/download-url", asked) == "OK"
    assert set(sim.call("POST", f"{LOCAL}/download-url", asked | {"filename": "x.txt"}).errors) == {"filename"}
    assert sim.call("POST", "/nodes/pve/storage/btr/download-url", asked).message == (
        "storage 'btr' is not configured for content-type 'iso'"
    )
    line = "\r\n"
    parts = [("content", "iso"), ("filename", "y.iso")]
    body = "".join(f'--b{line}Content-Disposition: form-data; name="{n}"{line * 2}{v}{line}' for n, v in parts)
    body = body.rpartition("--b")[0] + f'--b{line}Content-Disposition: form-data; name="filename"; filename="y.iso"'
    body += f"{line}Content-Type: application/octet-stream{line * 2}12345{line}--b--{line}"
    reply = sim.call(
        "POST",
        f"{LOCAL}/upload",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        body=body.encode(),
    )
    assert sim.task(reply.data) == "OK"
    isos = {row["volid"]: row["size"] for row in sim.call("GET", f"{LOCAL}/content", {"content": "iso"}).data}
    assert isos["local:iso/y.iso"] == 5
    assert "local:iso/x.iso" in isos


def test_a_containers_volume_moves(sim: Sim) -> None:
    container(sim, mp0="btr:1,mp=/data")
    container(sim, 102)
    post = f"{CT}/move_volume"
    assert set(sim.call("POST", post, {"volume": "mp0"}).errors) == {"storage", "target-vmid"}
    assert sim.do("POST", post, {"volume": "mp0", "storage": "tank"}) == "OK"
    config = sim.call("GET", f"{CT}/config").data
    assert config["mp0"] == "tank:subvol-101-disk-0,mp=/data,size=1G"
    assert config["unused0"] == "btr:101/vm-101-disk-1.raw"
    assert "lock" not in config
    assert sim.do("POST", post, {"volume": "rootfs", "storage": "local", "delete": 1}) == "OK"
    assert sim.call("GET", f"{CT}/config").data["rootfs"] == "local:101/vm-101-disk-0.raw,size=1G"
    assert sim.call("POST", post, {"volume": "rootfs", "target-vmid": 102}).message == "Cannot move to/from 'rootfs'"
    assert sim.do("POST", post, {"volume": "mp0", "target-vmid": 102, "target-volume": "mp3"}) == "OK"
    assert sim.call("GET", "/nodes/pve/lxc/102/config").data["mp3"] == "tank:subvol-102-disk-0,mp=/data,size=1G"
    assert "mp0" not in sim.call("GET", f"{CT}/config").data


def test_a_storage_for_some_nodes_only(start: Start) -> None:
    sim = start(THREE_NODES)
    sim.call("PUT", "/storage/btr", {"nodes": "pve1"})
    assert sim.call("GET", "/nodes/pve2/storage/btr/content").message == (
        "storage 'btr' is not available on node 'pve2'"
    )
    container(sim, node="pve1", rootfs="nas:1")
    for node in ("pve1", "pve2"):
        assert sim.call("GET", f"/nodes/{node}/storage/nas/content").data[0]["volid"] == "nas:101/vm-101-disk-0.raw"
    rows = sim.call("GET", "/nodes/pve1/storage", {"target": "pve2"}).data
    assert [row["storage"] for row in rows] == ["nas"]
