"""Power of virtual machines: what a task fails at, what is refused at once."""

from __future__ import annotations

from .conftest import ISO, Machine


def test_stopped(vm: Machine) -> None:
    assert vm.create() == "OK"
    gone = f"500 VM {vm.vmid} not running"
    assert vm.run("POST", "/status/stop") == "OK"
    assert vm.run("POST", "/status/shutdown") == "OK"
    assert vm.run("POST", "/status/reboot") == gone
    assert vm.run("POST", "/status/reset") == gone
    assert vm.run("POST", "/status/suspend") == gone
    assert vm.run("POST", "/status/resume") == gone


def test_running(booted: Machine) -> None:
    assert booted.run("POST", "/status/start") == f"VM {booted.vmid} already running"
    assert booted.run("DELETE") == f"500 VM {booted.vmid} is running - destroy failed"
    assert booted.run("POST", "/status/shutdown") == "OK"
    assert booted.get("/status/current")["status"] == "stopped"


def test_missing(vm: Machine) -> None:
    missing = f"Configuration file 'nodes/pve/qemu-server/{vm.vmid}.conf' does not exist"
    assert vm.run("POST", "/status/start") == missing
    assert vm.run("POST", "/status/stop") == f"unable to find configuration file for VM {vm.vmid} on node 'pve'"
    assert vm.run("DELETE") == f"500 {missing}"
    assert vm.call("GET", "/status/current").message == missing


def test_without_a_system_only_force_helps(vm: Machine) -> None:
    assert vm.create(scsi0="local:1", start=1) == "OK"
    assert vm.run("POST", "/status/shutdown", timeout=3) == "VM quit/powerdown failed - got timeout"
    assert vm.run("POST", "/status/shutdown", timeout=3, forceStop=1) == "OK"


def test_a_cd_can_be_shut_down(vm: Machine) -> None:
    assert vm.create(ide2=f"{ISO},media=cdrom", start=1) == "OK"
    assert vm.run("POST", "/status/shutdown") == "OK"


def test_paused(booted: Machine) -> None:
    assert booted.run("POST", "/status/suspend") == "OK"
    assert booted.get("/status/current")["qmpstatus"] == "paused"
    assert booted.run("POST", "/status/shutdown") == "500 VM is paused - cannot shutdown"
    assert booted.run("POST", "/status/reboot") == "500 VM is paused - cannot shutdown"
    assert booted.run("POST", "/status/resume") == "OK"
    assert booted.get("/status/current")["qmpstatus"] == "running"


def test_suspended_to_disk(booted: Machine) -> None:
    assert booted.run("POST", "/status/suspend", todisk=1) == "OK"
    shown = booted.get("/status/current")
    assert (shown["status"], shown["lock"]) == ("stopped", "suspended")
    assert "-state-suspend-" in booted.config["vmstate"]
    assert booted.put(name="x").message == "VM is locked (suspended)"
    assert booted.run("POST", "/status/resume") == "OK"
    assert not {"lock", "vmstate"} & booted.config.keys()


def test_more_cores_than_the_node_has(vm: Machine) -> None:
    assert vm.create(cores=3) == "OK"
    assert vm.run("POST", "/status/start") == "MAX 2 vcpus allowed per VM on this node"


def test_firmware_without_its_disk_is_a_warning(vm: Machine) -> None:
    assert vm.create(bios="ovmf") == "OK"
    assert vm.run("POST", "/status/start") == "WARNINGS: 1"
    assert vm.get("/status/current")["status"] == "running"


def test_a_template_does_not_start(vm: Machine) -> None:
    assert vm.create(scsi0="local:1") == "OK"
    assert vm.run("POST", "/template") == "OK"
    assert vm.config["scsi0"].startswith(f"local:{vm.vmid}/base-{vm.vmid}-disk-0.raw")
    assert vm.run("POST", "/status/start") == "you can't start a vm if it's a template"
    assert vm.run("POST", "/template") == "500 you can't convert a template to a template"


def test_status_numbers(booted: Machine) -> None:
    shown = booted.get("/status/current")
    assert (shown["maxmem"], shown["cpus"], shown["maxdisk"]) == (512 * 2**20, 1, 2 * 2**30)
    assert (shown["agent"], shown["ha"]) == (1, {"managed": 0})
    assert shown["pid"] > 0


def test_rrd(vm: Machine) -> None:
    assert "No such file or directory" in vm.call("GET", "/rrddata", timeframe="hour").message
    assert vm.create() == "OK"
    points = vm.get("/rrddata", timeframe="hour")
    assert len(points) == 70
    assert points[1]["time"] - points[0]["time"] == 60


def test_what_ha_manages(vm: Machine) -> None:
    assert vm.create(ide2=f"{ISO},media=cdrom", **{"ha-managed": 1}) == "OK"
    assert vm.get("/status/current")["ha"] == {"managed": 1, "state": "stopped"}
    started = vm.call("POST", "/status/start").data
    assert ":hastart:" in started
    assert vm.sim.task(started) == "OK"
    shown = vm.get("/status/current")
    assert (shown["status"], shown["ha"]["state"]) == ("running", "started")
    assert ":hastop:" in vm.call("POST", "/status/stop").data
    assert vm.get("/status/current")["status"] == "stopped"
    used = f"500 unable to remove VM {vm.vmid} - used in HA resources and purge parameter not set."
    assert vm.run("DELETE") == used
    assert vm.run("DELETE", purge=1) == "OK"
    assert vm.sim.call("GET", "/cluster/ha/resources").data == []
