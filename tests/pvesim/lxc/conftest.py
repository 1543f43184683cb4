"""A pvesim that serves HTTPS in this process, and a client that speaks to it as root@pam!full or as somebody else."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from pvesim.cluster.state import Cluster
from pvesim.run import Simulator

TEMPLATE = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
SECRET = "11111111-1111-4111-8111-111111111111"
SEED: dict[str, Any] = {
    "version": "9.1.9",
    "nodes": [{"name": "pve", "cpus": 4, "memory": "32Gi"}],
    "bridges": ["vmbr0", "vmbr1"],
    "storages": [
        {"storage": "local", "type": "dir", "path": "/vz", "content": ["vztmpl", "backup", "rootdir", "snippets"]},
        {"storage": "btr", "type": "btrfs", "path": "/btr", "content": ["images", "rootdir"]},
        {"storage": "zfs", "type": "zfspool", "pool": "tank", "content": ["images", "rootdir"]},
        {"storage": "iso", "type": "dir", "path": "/iso", "content": ["iso"]},
    ],
    "volumes": [{"volid": TEMPLATE, "size": 60000000}],
    "users": [{"userid": "alice@pve", "password": "alicepass1"}],
    "tokens": [
        {"tokenid": "root@pam!full", "privsep": False, "value": SECRET},
        {"tokenid": "alice@pve!t", "privsep": False, "value": SECRET},
    ],
}  # fmt: skip


class Api:
    """Calls of one user; every answer is (status, data or message, errors)."""

    def __init__(self, client: httpx2.AsyncClient, cluster: Cluster, token: str = "root@pam!full") -> None:
        self._client, self.cluster, self._token = client, cluster, token

    def as_user(self, token: str) -> "Api":
        return Api(self._client, self.cluster, token)

    async def call(self, verb: str, path: str, /, **params: Any) -> tuple[int, Any, dict[str, str]]:
        headers = {"Authorization": f"PVEAPIToken={self._token}={SECRET}"}
        given = {name.replace("_", "-"): value for name, value in params.items()}
        query: dict[str, Any] = {"params": given} if verb in ("GET", "DELETE") else {"data": given}
        answer = await self._client.request(verb, f"/api2/json{path}", headers=headers, **query)
        body = answer.json() if answer.content else {}
        if answer.status_code != 200:
            return answer.status_code, body.get("message", answer.reason_phrase).rstrip("\n"), body.get("errors") or {}
        return 200, body["data"], {}

    async def get(self, path: str, /, **params: Any) -> Any:
        status, data, _ = await self.call("GET", path, **params)
        assert status == 200, data
        return data

    async def run(self, verb: str, path: str, /, **params: Any) -> str:
        """A call that starts a task; returns how the task ended, or `STATUS message`."""
        status, data, errors = await self.call(verb, path, **params)
        if status != 200:
            return f"{status} {data} {errors or ''}".rstrip()
        await self.cluster.tasks.settle(data)
        return str(self.cluster.tasks.by_upid[data].exitstatus)

    async def put(self, path: str, /, **params: Any) -> str:
        """A call that changes something at once; returns `200`, or `STATUS message`."""
        status, data, errors = await self.call("PUT", path, **params)
        return "200" if status == 200 else f"{status} {data} {errors or ''}".rstrip()

    async def create(self, vmid: int = 101, /, **params: Any) -> str:
        wanted = {"ostemplate": TEMPLATE, "features": "nesting=1", "rootfs": "btr:1", **params}
        return await self.run("POST", "/nodes/pve/lxc", vmid=vmid, **{k: v for k, v in wanted.items() if v is not None})


@asynccontextmanager
async def serving(home: Path, *, real: bool = False, **seed: Any) -> AsyncIterator[Api]:
    file = home / "seed.yaml"
    file.write_text(yaml.safe_dump(SEED | seed))
    simulator = Simulator(home / "home", file, real=real)
    url = (await simulator.start(0))["pve"]
    trust = ssl.create_default_context(cafile=str(simulator.cafile))
    async with httpx2.AsyncClient(base_url=url, verify=trust) as client:
        try:
            yield Api(client, simulator.cluster)
        finally:
            await simulator.stop()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path) as client:
        yield client


@pytest.fixture
async def api84(tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(tmp_path, version="8.4.21") as client:
        yield client
