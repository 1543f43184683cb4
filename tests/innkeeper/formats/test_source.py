"""A server's Source in another format: the same jobs, the same records, the same refusals."""

import shutil
from pathlib import Path

import pytest

from tests.innkeeper.control.home import Home, home
from tests.innkeeper.engine.lab import SEED
from tests.innkeeper.formats.trees import written

MACHINE = """\
apiVersion: vitistack.io/v1alpha1
kind: Machine
metadata: {name: web, labels: {cluster.vitistack.io/cluster-name: lab}}
spec: {vmid: 1000, node: pve1, memory: 536870912, disks: [{size: 4G, storage: btr}], networks: [{bridge: vmbr0}]}
"""
FLAKE = """\
{ outputs = { self }: { proxnix.vms.web = {
  vm_id = 800; image_type = "server"; memory_mb = 512; disk_gb = 4; storage_location = "btr";
}; }; }
"""
IMAGE = 'volumes:\n  - {volid: "local:import/server.qcow2", size: 1073741824}'


async def pushed(house: Home, **files: str) -> None:
    written(house.upstream.work, {name.replace("__", "/").replace("_dot_", "."): text for name, text in files.items()})
    house.upstream.push("files")


async def test_machines_of_a_repository(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        await pushed(house, machine_dot_yaml=MACHINE)
        job = await house.sync()
        assert (job.state, job.error, job.summary) == ("succeeded", "", "1 to create")
        assert house.config(1000)["memory"] == "512"
        await pushed(house, machine_dot_yaml=MACHINE.replace("536870912", "1"))
        job = await house.sync()
        assert (job.state, job.error.startswith("machine.yaml:4:")) == ("failed", True), job.error


@pytest.mark.skipif(shutil.which("nix") is None, reason="needs: nix")
async def test_a_flake_of_a_repository(tmp_path: Path) -> None:
    async with home(tmp_path, "format: proxnix", seed=SEED.replace("volumes:", IMAGE)) as house:
        await pushed(house, flake_dot_nix=FLAKE)
        job = await house.sync()
        assert (job.state, job.error, job.summary) == ("succeeded", "", "1 to create")
        assert house.guests[800].kind == "qemu"
        await pushed(house, flake_dot_nix=FLAKE.replace("800", 'throw "no"'))
        assert (await house.sync()).state == "failed"


async def test_a_monorepo_uses_the_servers_cluster_and_needs_leave_for_its_own_code(tmp_path: Path) -> None:
    files = {
        "libs__web__container_dot_env": "IP=10.0.0.5\nID=142\nMEMORY=512\nDISK=btr:4\n",
        "local__config_dot_json": '{"proxmox": {"host": "evil.example.org", "user": "root@pam"}}',
    }
    async with home(tmp_path, "format: container-monorepo\nsync: manual\nallow: [roles]") as house:
        await pushed(house, **files)
        job = await house.sync()
        assert (job.state, job.error) == ("waiting", "")
        assert "evil" not in str(job.result)
        await pushed(house, libs__web__recipes__default_dot_rb="package 'x'")
        assert (await house.sync()).state == "waiting"
    (tmp_path / "b").mkdir()
    async with home(tmp_path / "b", "format: container-monorepo\nsync: manual") as house:
        await pushed(house, **files, libs__web__recipes__default_dot_rb="package 'x'")
        job = await house.sync()
        assert job.state == "failed"
        assert "which this source may not" in str(job.result) + job.error
