"""The whole life of guests against the API: made, changed, healed, adopted, replaced, pruned."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from innkeeper.engine.errors import Conflict
from tests.innkeeper.engine.lab import SEED, Lab, brief, running
from tests.innkeeper.planner.worlds import container, machine

WEB: dict[str, Any] = {
    "memory": "512Mi",
    "cpu": {"cores": 2},
    "rootDisk": {"storage": "btr", "size": "8Gi"},
    "network": [{"bridge": "vmbr0", "ip": "dhcp"}],
    "features": {"nesting": True},
    "unprivileged": True,
    "tags": ["web"],
    "description": "The website",
    "running": True,
}


@pytest.fixture(params=["9.1.9", "8.4.21"])
async def lab(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Lab]:
    async with running(tmp_path, SEED.replace("9.1.9", request.param)) as made:
        yield made


async def test_create_then_nothing_to_do(lab: Lab) -> None:
    web = container("web", **WEB)
    result = await lab.apply(web)
    assert brief(result) == ["create Container/web 1000 done"]
    assert lab.writes == ["POST /nodes/pve1/lxc"]
    assert lab.only().running is not None
    assert "innkeeper" in lab.only().config["tags"]
    again = await lab.apply(web)
    assert brief(again) == ["noop Container/web 1000 done"]
    assert again.writes == 0
    assert again.ok


async def test_needs_decide_the_order(lab: Lab) -> None:
    web, db = container("web", needs=["Container/db"], **WEB), container("db", **WEB)
    result = await lab.apply(web, db)
    assert [item.step.ref.name for item in result.results] == ["db", "web"]
    done = [event.ref.name for event in lab.events if event.phase in ("create", "done")]
    assert done == ["db", "db", "web", "web"]


async def test_what_needs_a_failure_is_skipped_and_the_rest_goes_on(lab: Lab) -> None:
    lab.faults("""{rules: [{"on": {task: vzcreate, id: "1000"}, do: fail-task, text: "no space left"}]}""")
    db = container("db", vmid=1000, **WEB)
    web = container("web", vmid=1001, needs=["Container/db"], **WEB)
    other = container("other", vmid=1002, **WEB)
    result = await lab.apply(db, web, other)
    states = {item.step.ref.name: item.state for item in result.results}
    assert states == {"db": "failed", "web": "skipped", "other": "done"}
    errors = {item.step.ref.name: item.error for item in result.results}
    assert "no space left" in errors["db"]
    assert "needs Container/db, which failed" in errors["web"]
    assert not result.ok


async def test_drift_is_healed_in_one_write(lab: Lab) -> None:
    web = container("web", **WEB)
    await lab.apply(web)
    mac = lab.only().config["net0"]
    lab.only().config["memory"] = "256"
    lab.only().config["onboot"] = "1"
    lab.calls.clear()
    result = await lab.apply(web)
    assert brief(result) == ["update Container/web 1000 done"]
    assert lab.writes == ["PUT /nodes/pve1/lxc/1000/config"]
    assert "digest" in next(call for call in lab.calls if call.write).params
    assert lab.only().config["memory"] == "512"
    assert lab.only().config["onboot"] == "1", "a setting that the manifest does not name is left alone"
    assert lab.only().config["net0"] == mac


async def test_power_is_brought_back(lab: Lab) -> None:
    await lab.apply(container("web", **WEB))
    result = await lab.apply(container("web", **WEB | {"running": False}))
    assert brief(result) == ["update Container/web 1000 done"]
    assert lab.only().running is None
    result = await lab.apply(container("web", **WEB))
    assert brief(result) == ["update Container/web 1000 done"]
    assert lab.only().running is not None


async def test_machine_with_an_imported_disk(lab: Lab) -> None:
    vm = machine(
        "vm",
        memory="1Gi",
        disks=[{"slot": "scsi0", "storage": "btr", "size": "8Gi"}],
        network=[{"bridge": "vmbr0"}],
        running=True,
    )
    assert brief(await lab.apply(vm)) == ["create VirtualMachine/vm 1000 done"]
    assert (await lab.apply(vm)).writes == 0


async def test_clone_is_made_and_configured(lab: Lab) -> None:
    await lab.apply(machine("golden", vmid=900, disks=[{"slot": "scsi0", "storage": "nas", "size": "2Gi"}]))
    lab.guests[900].config["template"] = "1"
    disk = next(volume for volume in lab.sim.cluster.volumes.values() if volume.vmid == 900)
    assert disk
    vm = machine(
        "vm",
        clone={"template": 900},
        memory="1Gi",
        disks=[{"slot": "scsi0", "size": "4Gi"}],
        network=[{"bridge": "vmbr0"}],
        running=True,
    )
    result = await lab.apply(vm)
    assert brief(result) == ["create VirtualMachine/vm 1000 done"]
    assert lab.guests[1000].running is not None
    assert lab.guests[1000].config["memory"] == "1024"
    assert (await lab.apply(vm)).writes == 0


async def test_prune_deletes_only_what_is_declared_no_more(lab: Lab) -> None:
    web, db = container("web", **WEB), container("db", **WEB)
    await lab.apply(web, db)
    kept = await lab.apply(web)
    assert [finding.code for finding in kept.plan.diagnostics] == ["Orphaned"]
    assert len(lab.guests) == 2
    result = await lab.apply(web, prune=True)
    assert brief(result) == ["noop Container/web 1000 done", "delete Container/db 1001 done"]
    assert list(lab.guests) == [1000]


async def test_prune_refuses_what_is_protected(lab: Lab) -> None:
    web, db = container("web", **WEB), container("db", protected=True, **WEB)
    await lab.apply(web, db)
    result = await lab.apply(web, prune=True)
    assert [item.state for item in result.results] == ["done", "skipped"]
    assert "protected" in result.results[1].error
    assert len(lab.guests) == 2


async def test_a_marker_that_vanishes_before_the_delete_saves_the_guest(lab: Lab) -> None:
    web, db = container("web", **WEB), container("db", **WEB)
    await lab.apply(web, db)
    hypervisor = lab.proxmox()
    guest = hypervisor.guest

    async def guest_after_an_edit(vmid: int) -> object:
        lab.guests[1001].config["description"] = "mine now"
        return await guest(vmid)

    hypervisor.guest = guest_after_an_edit  # type: ignore[method-assign,assignment]
    result = await lab.run(hypervisor, web, prune=True)
    assert result.results[1].state == "failed"
    assert "does not carry the marker" in result.results[1].error
    assert len(lab.guests) == 2


async def test_adoption_writes_marker_and_tag_only(lab: Lab) -> None:
    await lab.apply(container("theirs", vmid=142, **WEB))
    lab.only().config.pop("description")
    lab.only().config["tags"] = "old"
    before = dict(lab.only().config)
    refused = await lab.apply(container("web", vmid=142))
    assert [finding.code for finding in refused.plan.diagnostics] == ["NotOurs"]
    assert lab.only().config == before
    web = container("web", adopt=True, vmid=142, memory="1Gi")
    result = await lab.apply(web)
    assert brief(result) == ["adopt Container/web 142 done"]
    after = dict(lab.only().config)
    assert after.pop("tags") == "innkeeper;old"
    assert "innkeeper" in after.pop("description")
    before.pop("tags")
    assert after == before
    assert "DiffersAfterAdoption" in [finding.code for finding in result.plan.diagnostics]
    assert brief(await lab.apply(web)) == ["update Container/web 142 done"]
    assert lab.only().config["memory"] == "1024"
    assert (await lab.apply(web)).writes == 0


async def test_a_replacement_needs_its_name(lab: Lab) -> None:
    plain = WEB | {"features": None}
    await lab.apply(container("web", **plain))
    changed = container("web", **plain | {"unprivileged": False})
    refused = await lab.apply(changed)
    assert brief(refused) == ["replace Container/web 1000 skipped: needs --replace web"]
    result = await lab.apply(changed, replace=frozenset({"web"}))
    assert brief(result) == ["replace Container/web 1001 done"]
    assert list(lab.guests) == [1001]
    assert (await lab.apply(changed)).writes == 0


async def test_a_stale_digest_is_refused(lab: Lab) -> None:
    web = container("web", **WEB)
    digest = (await lab.prepare(web)).plan.digest
    with pytest.raises(Conflict, match="not the plan that was approved"):
        await lab.run(lab.proxmox(), container("web", **WEB | {"memory": "1Gi"}), digest=digest)
    assert not lab.guests
    assert (await lab.run(lab.proxmox(), web, digest=digest)).ok


async def test_a_guest_without_tag_and_name_is_still_known_by_its_marker(lab: Lab) -> None:
    web = container("web", **WEB)
    await lab.apply(web)
    lab.only().config["hostname"] = "renamed"
    del lab.only().config["tags"]
    assert brief(await lab.apply(web)) == ["update Container/web 1000 done"]
    assert lab.only().config["hostname"] == "web"
    assert "innkeeper" in lab.only().config["tags"]


async def test_protection_and_what_it_guards_go_in_one_run(lab: Lab) -> None:
    mounts = [{"path": "/data", "storage": "local", "size": "1Gi"}]
    await lab.apply(container("web", **{**WEB, "protected": True, "mounts": mounts}))
    kept = await lab.apply(container("web", **{**WEB, "protected": True}))
    assert [item.code for item in kept.plan.diagnostics if item.severity == "error"] == ["Protected"]
    assert kept.writes == 0
    result = await lab.apply(container("web", **{**WEB, "protected": False}))
    assert brief(result) == ["update Container/web 1000 done"]
    assert result.writes == 2


async def test_a_disk_grows_and_changes_on_a_running_machine(lab: Lab) -> None:
    disk = {"slot": "scsi0", "storage": "local", "size": "1Gi"}
    await lab.apply(machine("vm", running=True, disks=[disk]))
    bigger = {**disk, "size": "2Gi", "ssd": True}
    waits = await lab.apply(machine("vm", running=True, disks=[bigger]))
    assert waits.results[0].waits
    assert (await lab.apply(machine("vm", running=False, disks=[bigger]))).ok
    assert (await lab.apply(machine("vm", running=True, disks=[bigger]))).ok
    assert "size=2G" in lab.only().config["scsi0"]
    assert (await lab.apply(machine("vm", running=True, disks=[bigger]))).writes == 0


async def test_a_boot_disk_that_is_dropped_waits_for_the_restart(lab: Lab) -> None:
    disks = [{"slot": "scsi0", "storage": "local", "size": "1Gi"}]
    await lab.apply(machine("vm", running=True, disks=disks, bootOrder=["scsi0"]))
    result = await lab.apply(machine("vm", running=True))
    assert result.ok, brief(result)
    assert result.results[0].waits
