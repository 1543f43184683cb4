"""The guest agent."""

from __future__ import annotations

import base64

from .conftest import IMAGE, Machine


def test_when_it_does_not_answer(vm: Machine) -> None:
    assert vm.create(scsi0="local:1") == "OK"
    assert vm.call("POST", "/agent/ping").message == "No QEMU guest agent configured"
    assert vm.put(agent="1").status == 200
    assert vm.call("POST", "/agent/ping").message == f"VM {vm.vmid} is not running"
    assert vm.run("POST", "/status/start") == "OK"
    assert vm.call("POST", "/agent/ping").message == "QEMU guest agent is not running"


def test_what_it_knows(booted: Machine) -> None:
    assert booted.call("POST", "/agent/ping").data == {"result": {}}
    assert booted.call("POST", "/agent", command="ping").data == {"result": {}}
    assert booted.get("/agent/get-host-name") == {"result": {"host-name": "web"}}
    lo, card = booted.get("/agent/network-get-interfaces")["result"]
    assert (lo["name"], card["name"]) == ("lo", "ens18")
    assert card["hardware-address"] in booted.config["net0"].lower()
    assert isinstance(lo["ip-addresses"][0]["prefix"], int)
    assert booted.get("/agent/get-osinfo")["result"]["id"] == "debian"
    assert len(booted.get("/agent/get-vcpus")["result"]) == 1
    assert booted.get("/agent/get-fsinfo")["result"][0]["mountpoint"] == "/"
    names = {row["name"] for row in booted.get("/agent")}
    assert {"exec", "ping", "set-user-password"} <= names


def test_addresses_come_from_cloudinit(vm: Machine) -> None:
    made = vm.create(
        agent="enabled=1",
        scsi0=f"local:0,import-from={IMAGE}",
        ide2="local:cloudinit",
        net0="virtio,bridge=vmbr0",
        ipconfig0="ip=10.0.0.9/24,gw=10.0.0.1",
        start=1,
    )
    assert made == "OK"
    card = vm.get("/agent/network-get-interfaces")["result"][1]
    assert card["ip-addresses"] == [{"ip-address": "10.0.0.9", "ip-address-type": "ipv4", "prefix": 24}]


def test_commands_and_files(booted: Machine) -> None:
    path = f"{booted.path}/agent"
    started = booted.sim.call("POST", f"{path}/exec", {"command": ["echo", "hello world"]}).data
    ended = booted.get("/agent/exec-status", pid=started["pid"])
    assert ended == {"exited": 1, "exitcode": 0, "out-data": "hello world\n", "out-truncated": 0}
    again = booted.call("GET", "/agent/exec-status", pid=started["pid"])
    assert again.message == f"Agent error: PID {started['pid']} does not exist"
    wrong = booted.call("POST", "/agent/exec", command="echo", arg="x")
    assert wrong.errors.keys() == {"arg"}
    assert booted.call("POST", "/agent/file-write", file="/tmp/x", content="abc").data is None
    assert booted.get("/agent/file-read", file="/tmp/x") == {"bytes-read": 3, "content": "abc"}
    encoded = base64.b64encode(b"\x00\x01").decode()
    assert booted.call("POST", "/agent/file-write", file="/tmp/y", content=encoded, encode=0).data is None
    assert booted.get("/agent/file-read", file="/tmp/y", decode=0)["content"] == encoded
    assert booted.call("GET", "/agent/file-read", file="/none").message.startswith("Agent error: failed to open file")


def test_freeze_and_shutdown(booted: Machine) -> None:
    assert booted.call("POST", "/agent/fsfreeze-freeze").data == {"result": 1}
    assert booted.call("POST", "/agent/fsfreeze-status").data == {"result": "frozen"}
    assert booted.call("POST", "/agent/fsfreeze-thaw").data == {"result": 1}
    assert booted.call("POST", "/agent/shutdown").status == 200
    assert booted.get("/status/current")["status"] == "stopped"


def test_rights_by_release(vm: Machine, old: Machine) -> None:
    assert vm.create() == "OK"
    assert old.create() == "OK"
    for machine, needed in ((vm, "VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted"), (old, "VM.Monitor")):
        machine.token = "alice@pve!nosep"
        reply = machine.call("POST", "/agent/ping")
        assert reply.message == f"Permission check failed (/vms/{machine.vmid}, {needed})"
