"""`proxmoxer`, as its users have it: sign-in by token and by password, guests' lives, tasks, errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from proxmoxer import AuthenticationError, ProxmoxAPI, ResourceException
from proxmoxer.tools import Files, Tasks

from tests.pvesim.clients.conftest import IMAGE
from tests.pvesim.running import ALICE, SECRET, TEMPLATE, Sim


def connect(sim: Sim, place: tuple[str, int], **who: str) -> Any:
    host, port = place
    return ProxmoxAPI(host, port=port, verify_ssl=sim.cafile, timeout=20, **who)


@pytest.fixture(scope="module")
def by_token(sim: Sim, place: tuple[str, int]) -> Any:
    return connect(sim, place, user="root@pam", token_name="full", token_value=SECRET)


@pytest.fixture(scope="module")
def by_password(sim: Sim, place: tuple[str, int]) -> Any:
    return connect(sim, place, user="root@pam", password="rootpass1")


@pytest.fixture(params=["by_token", "by_password"])
def proxmox(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Signed in one way and the other; every guest that is left behind goes."""
    api = request.getfixturevalue(request.param)
    yield api
    for guest in api.cluster.resources.get(type="vm"):
        this = api.nodes(guest["node"])(guest["type"])(guest["vmid"])
        if guest["status"] == "running":
            done(api, this.status.stop.post())
        done(api, this.delete())


def done(api: Any, upid: str) -> dict[str, Any]:
    """Wait as proxmoxer does; the status of a task that ended well."""
    status: dict[str, Any] = Tasks.blocking_status(api, upid, timeout=20, polling_interval=0.05)
    assert status["exitstatus"] == "OK", status
    return status


def test_sign_in_by_token_and_by_password(by_token: Any, by_password: Any) -> None:
    assert by_token.version.get()["version"] == by_password.version.get()["version"] == "9.1.9"
    assert by_token.get_tokens() == (None, None)
    ticket, csrf = by_password.get_tokens()
    assert ticket.startswith("PVE:root@pam:")
    assert ":" in csrf
    assert by_token.access.permissions.get()["/"] == by_password.access.permissions.get()["/"]


def test_a_wrong_password_or_ca_is_refused(sim: Sim, place: tuple[str, int]) -> None:
    with pytest.raises(AuthenticationError, match="code: 401"):
        connect(sim, place, user="root@pam", password="wrong")
    stranger = ProxmoxAPI(place[0], port=place[1], user="root@pam", token_name="full", token_value=SECRET)
    with pytest.raises(requests.exceptions.SSLError):
        stranger.version.get()


def test_a_containers_whole_life(proxmox: Any) -> None:
    node = proxmox.nodes("pve")
    vmid = int(proxmox.cluster.nextid.get())
    created = done(
        proxmox,
        node.lxc.create(
            vmid=vmid,
            ostemplate=TEMPLATE,
            hostname="web",
            memory=512,
            swap=256,
            rootfs="btr:2",
            net0="name=eth0,bridge=vmbr0,ip=10.0.10.42/24,gw=10.0.10.1",
            features="nesting=1",
            tags="web;prod",
            pool="apps",
        ),
    )
    assert (created["type"], created["id"], created["user"]) == ("vzcreate", str(vmid), "root@pam")
    ct = node.lxc(vmid)
    assert ct.config.get()["hostname"] == "web"

    assert ct.config.put(memory=1024, digest=ct.config.get()["digest"]) is None
    assert ct.config.get()["memory"] == 1024
    done(proxmox, ct.resize.put(disk="rootfs", size="+1G"))
    assert "size=3G" in ct.config.get()["rootfs"]

    done(proxmox, ct.status.start.post())
    assert ct.status.current.get()["status"] == "running"
    assert {"eth0", "lo"} <= {card["name"] for card in ct.interfaces.get()}
    done(proxmox, ct.status.reboot.post(timeout=5))
    done(proxmox, ct.snapshot.post(snapname="before", description="before the change"))
    ct.config.put(hostname="other")
    assert [snapshot["name"] for snapshot in ct.snapshot.get()] == ["before", "current"]
    done(proxmox, ct.snapshot("before").rollback.post())
    assert ct.config.get()["hostname"] == "web"
    if ct.status.current.get()["status"] == "running":
        done(proxmox, ct.status.shutdown.post(timeout=5))
    done(proxmox, ct.snapshot("before").delete())

    done(proxmox, ct.clone.post(newid=vmid + 1, hostname="copy", full=1))
    node.lxc(vmid + 1).template.post()
    assert node.lxc(vmid + 1).config.get()["template"] == 1
    done(proxmox, node.lxc(vmid + 1).clone.post(newid=vmid + 2, hostname="linked"))

    done(proxmox, node.vzdump.post(vmid=vmid, storage="local", mode="stop", compress="zstd"))
    archives = node.storage("local").content.get(content="backup", vmid=vmid)
    assert [archive["subtype"] for archive in archives] == ["lxc"]
    done(proxmox, node.lxc.create(vmid=vmid + 3, ostemplate=archives[0]["volid"], restore=1, storage="btr"))
    assert node.lxc(vmid + 3).config.get()["hostname"] == "web"
    proxmox.nodes("pve").storage("local").content(archives[0]["volid"]).delete()

    members = proxmox.pools("apps").get()["members"]
    assert [member["vmid"] for member in members] == [vmid]
    done(proxmox, ct.delete(purge=1))
    with pytest.raises(ResourceException) as missing:
        ct.config.get()
    assert missing.value.status_code == 500
    assert missing.value.content == f"Configuration file 'nodes/pve/lxc/{vmid}.conf' does not exist"


def test_a_vms_whole_life(proxmox: Any) -> None:
    node = proxmox.nodes("pve")
    vmid = int(proxmox.cluster.nextid.get())
    done(
        proxmox,
        node.qemu.create(
            vmid=vmid,
            name="vm",
            memory=1024,
            cores=2,
            agent="enabled=1",
            ostype="l26",
            scsihw="virtio-scsi-single",
            scsi0=f"local:0,import-from={IMAGE},format=qcow2",
            ide2="local:cloudinit",
            net0="virtio,bridge=vmbr0",
            ciuser="admin",
            ipconfig0="ip=10.0.10.50/24,gw=10.0.10.1",
            boot="order=scsi0",
        ),
    )
    vm = node.qemu(vmid)
    done(proxmox, vm.config.post(memory=2048))
    assert vm.config.put(name="renamed", tags="a,b") is None
    assert vm.config.get()["memory"] == "2048"
    done(proxmox, vm.resize.put(disk="scsi0", size="+1G"))

    done(proxmox, vm.status.start.post())
    assert vm.agent.ping.post() == {"result": {}}
    cards = vm.agent("network-get-interfaces").get()["result"]
    assert "10.0.10.50" in [ip["ip-address"] for card in cards for ip in card["ip-addresses"]]
    pid = vm.agent.exec.post(command="echo 'two words'")["pid"]
    assert vm.agent("exec-status").get(pid=pid)["exited"] in (0, 1)
    done(proxmox, vm.snapshot.post(snapname="live", vmstate=1))
    done(proxmox, vm.status.suspend.post())
    done(proxmox, vm.status.resume.post())
    done(proxmox, vm.status.reboot.post(timeout=5))
    done(proxmox, vm.status.reset.post())
    done(proxmox, vm.status.shutdown.post(timeout=5, forceStop=1))
    done(proxmox, vm.snapshot("live").delete())

    done(proxmox, vm.clone.post(newid=vmid + 1, name="copy", full=1))
    done(proxmox, node.qemu(vmid + 1).template.post())
    done(proxmox, node.qemu(vmid + 1).clone.post(newid=vmid + 2, name="linked"))
    done(proxmox, node.qemu(vmid + 2).move_disk.post(disk="scsi0", storage="btr", delete=1))
    done(proxmox, vm.delete(purge=1, **{"destroy-unreferenced-disks": 1}))
    assert sorted(guest["vmid"] for guest in node.qemu.get()) == [vmid + 1, vmid + 2]
    done(proxmox, node.qemu(vmid + 2).delete())


def test_tasks(by_token: Any) -> None:
    node = by_token.nodes("pve")
    upid = node.lxc.create(vmid=900, ostemplate=TEMPLATE, rootfs="btr:1", features="nesting=1")
    assert Tasks.decode_upid(upid)["user"] == "root@pam"
    done(by_token, upid)
    assert "extracting archive" in Tasks.decode_log(node.tasks(upid).log.get(limit=500))
    assert upid in [task["upid"] for task in node.tasks.get(typefilter="vzcreate", vmid=900)]
    done(by_token, node.lxc(900).delete())
    with pytest.raises(ResourceException) as gone:
        node.tasks("UPID:pve:00000001:00000001:00000001:vzcreate:900:root@pam:").status.get()
    assert gone.value.errors == {"upid": "no such task"}


def test_errors_are_the_ones_that_its_users_catch(by_token: Any, sim: Sim, place: tuple[str, int]) -> None:
    with pytest.raises(ResourceException) as bad:
        by_token.nodes("pve").lxc.create(vmid=901, ostemplate=TEMPLATE, memory="lots", nonsense=1)
    assert (bad.value.status_code, bad.value.content) == (400, "Parameter verification failed.")
    assert set(bad.value.errors) == {"memory", "nonsense"}

    alice = connect(sim, place, user="alice@pve", token_name="nosep", token_value=ALICE)
    with pytest.raises(ResourceException) as denied:
        alice.nodes("pve").lxc.create(vmid=901, ostemplate=TEMPLATE)
    assert denied.value.status_code == 403
    assert denied.value.content.startswith("Permission check failed")

    stranger = connect(sim, place, user="root@pam", token_name="full", token_value=ALICE)
    with pytest.raises(ResourceException) as unknown:
        stranger.version.get()
    assert (unknown.value.status_code, unknown.value.status_message) == (401, "Unauthorized")

    with pytest.raises(ResourceException) as absent:
        by_token.nothing.here.get()
    assert absent.value.status_code == 501


def test_files_are_uploaded(by_password: Any, tmp_path: Path) -> None:
    iso = tmp_path / "small.iso"
    iso.write_bytes(b"\0" * 4096)
    files = Files(by_password, "pve", "local")
    assert files.upload_local_file_to_storage(str(iso), do_checksum_check=True, blocking_status=True)
    found = {volume["volid"]: volume["size"] for volume in by_password.nodes("pve").storage("local").content.get()}
    assert found["local:iso/small.iso"] == 4096
