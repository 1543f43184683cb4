"""What people and programs read of plans, results and status: pinned, word by word."""

import json
from typing import Any

from syrupy.assertion import SnapshotAssertion

from tests.innkeeper.engine.lab import Lab
from tests.innkeeper.engine.test_life import WEB
from tests.innkeeper.planner.worlds import container, machine


def text(value: Any) -> str:
    return json.dumps(value, indent=1)


async def test_plan_result_and_status(lab: Lab, snapshot: SnapshotAssertion) -> None:
    vm: dict[str, Any] = {
        "memory": "1Gi",
        "disks": [{"slot": "scsi0", "storage": "nas", "size": "8Gi"}],
        "running": True,
    }
    before = (
        container("web", **WEB),
        container("old", **WEB),
        container("kept", **WEB, protected=True),
        machine("vm", cpu={"cores": 1}, **vm),
        container("swap", unprivileged=True),
        container("theirs", vmid=700),
    )
    assert (await lab.apply(*before)).ok
    for vmid, guest in lab.guests.items():
        guest.config["net0"] = f"name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:{vmid % 100:02X},ip=dhcp,type=veth"
        if guest.kind == "qemu":
            guest.config["net0"] = "virtio=BC:24:11:00:00:99,bridge=vmbr0"
    web = next(guest for guest in lab.guests.values() if guest.config.get("hostname") == "web")
    web.config["memory"] = "256"
    lab.guests[700].config["description"] = "theirs"
    lab.sim.cluster.nodes["pve3"].online = False
    guests = (
        container("web", **WEB),
        container("new", vmid=1500, needs=["Container/web"], **WEB),
        container("lost", vmid=1501, node="pve9", **WEB),
        machine("vm", cpu={"cores": 2}, **vm),
        container("swap", unprivileged=False),
        container("theirs", vmid=700),
    )
    prepared = await lab.prepare(*guests, prune=True)
    body = prepared.plan.to_json()
    assert len(str(body.pop("digest"))) == 64
    assert text(body) == snapshot(name="plan")
    assert text([status.to_json() for status in prepared.statuses]) == snapshot(name="status")
    result = (await lab.apply(*guests, prune=True)).to_json()
    result.pop("digest")
    assert text(result) == snapshot(name="result")
