"""A pvesim with storages of several types, a container, a virtual machine, and short ways to speak of them."""

import pytest

from tests.pvesim import running
from tests.pvesim.conftest import Start
from tests.pvesim.running import Sim

CT = "/nodes/pve/lxc/101"
VM = "/nodes/pve/qemu/200"
STORAGES = [
    *running.ONE_NODE["storages"],
    {"storage": "tank", "type": "zfspool", "pool": "tank", "content": ["images", "rootdir"]},
    {"storage": "thin", "type": "lvmthin", "vgname": "pve", "thinpool": "data", "content": ["images", "rootdir"]},
]
SEED = running.ONE_NODE | {"storages": STORAGES}


def container(sim: Sim, vmid: int = 101, node: str = "pve", rootfs: str = "btr:1", **more: object) -> None:
    wanted = {"vmid": vmid, "ostemplate": running.TEMPLATE, "rootfs": rootfs, "features": "nesting=1", **more}
    assert sim.do("POST", f"/nodes/{node}/lxc", wanted) == "OK"


def machine(sim: Sim, vmid: int = 200, node: str = "pve", **more: object) -> None:
    wanted = {"vmid": vmid, "scsi0": "local:1,format=qcow2", "net0": "virtio,bridge=vmbr0", **more}
    assert sim.do("POST", f"/nodes/{node}/qemu", wanted) == "OK"


@pytest.fixture
def sim(start: Start) -> Sim:
    return start(SEED)
