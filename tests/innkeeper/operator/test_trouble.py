"""What goes wrong: wrong credentials, a Proxmox that is away, crashes, an API server that restarts, two replicas."""

import random
import time

import pytest

from tests.innkeeper.operator.test_native import native
from tests.innkeeper.operator.world import Operator, World, cluster, machine, secret, until
from tests.pvesim.running import SECRET, start

pytestmark = pytest.mark.timeout(300)


def made(world: World) -> int:
    """How many virtual machines were ever created, from the log of Proxmox's calls."""
    calls = (call for call in world.sim.calls() if call["method"] == "POST" and call["status"] == 200)
    return sum(call["path"].endswith(("/qemu", "/clone")) for call in calls)


def test_wrong_credentials_are_not_tried_again_before_the_secret_changes(world: World) -> None:
    wrong = "00000000-0000-4000-8000-000000000000"
    world.plane.apply(secret(token_id="root@pam!full", token_secret=wrong), cluster(world.sim), machine("web"))
    operator = world.operator()
    found = world.reason("web", "AuthenticationFailed")
    assert "is not let in" in found["message"] and wrong not in operator.text()
    assert world.reason("lab", "AuthenticationFailed", "proxmoxcluster")["status"] == "False"
    assert "Authentication failed" in operator.text()
    asked = len(world.sim.calls())
    time.sleep(6)  # three polls
    assert len(world.sim.calls()) == asked, "nothing is asked of Proxmox"
    world.plane.apply(secret())
    world.wait("web")
    assert world.plane.get("proxmoxcluster", "lab")["status"]["ready"] is True

    # Rotated while all is well: the new one is used, the old one may go.
    new = world.sim.call("POST", "/access/users/root@pam/token/second", {"privsep": 0}).data["value"]
    world.plane.apply(secret(token_id="root@pam!second", token_secret=new))
    until(lambda: any(call["user"] == "root@pam!second" for call in world.sim.calls()), "the new token is used")
    assert world.condition("web")["status"] == "True" and SECRET not in operator.text()


def test_a_secret_that_is_missing_and_a_cluster_that_is(world: World) -> None:
    world.plane.apply(machine("web"))
    world.operator()
    assert "default/lab does not exist" in world.reason("web", "ClusterNotFound")["message"]
    world.plane.apply(cluster(world.sim))
    assert "Secret default/pve does not exist" in world.reason("web", "SecretNotFound")["message"]
    world.plane.apply(secret())
    world.wait("web")
    body = machine("homeless")
    del body["metadata"]["labels"]
    world.plane.apply(body)
    assert "cluster.vitistack.io/cluster-name" in world.reason("homeless", "NoCluster")["message"]
    world.plane.kubectl("delete", "machine/homeless", "--timeout=20s")


def test_a_proxmox_that_is_away_is_said_and_comes_back(world: World) -> None:
    world.plane.apply(secret(), cluster(world.sim), machine("web"))
    world.operator()
    world.wait("web")
    port = int(next(iter(world.sim.urls.values())).rpartition(":")[2])
    world.sim.stop()
    found = world.reason("web", "ClusterUnreachable")
    assert found["status"] == "False" and "no endpoint" in found["message"]
    assert world.reason("lab", "ClusterUnreachable", "proxmoxcluster")
    assert world.plane.get("machine", "web")["status"]["phase"] == "Running", "what was known is not forgotten"
    folder = world.folder / "again"
    folder.mkdir()
    world.sim = start(folder, None, "--port", str(port))
    world.plane.apply(
        cluster(world.sim), secret(token_id="root@pam!full", token_secret=world.sim.tokens["root@pam!full"])
    )
    world.reason("lab", "Connected", "proxmoxcluster")


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_point_there_is_one_vm_for_each(world: World, seed: int) -> None:
    chance = random.Random(seed)
    count = 10
    world.plane.apply(secret(), cluster(world.sim))
    names = [f"m{number:02}" for number in range(count)]
    templates = [None, "debian-12"]
    operator = world.operator()
    until(lambda: operator.get("/readyz")[0] == 200, "ready")
    world.plane.apply(
        *(machine(name, template=templates[at % 2]) if at % 2 else machine(name) for at, name in enumerate(names))
    )
    for _ in range(4):
        before = len(world.sim.calls())
        point = chance.randrange(1, 40)
        until(lambda: len(world.sim.calls()) >= before + point or len(world.vms()) == count, "some calls")  # noqa: B023
        world.kill(operator)
        operator = world.operator()
    world.plane.kubectl("wait", "machines", "--all", "--for=condition=Ready", "--timeout=60s")
    assert sorted(row["name"] for row in world.vms().values()) == names
    assert made(world) == count, "none was ever made twice"
    vmids = {item["metadata"]["name"]: item["status"]["vmid"] for item in world.plane.list("machines")}
    assert vmids == {row["name"]: vmid for vmid, row in world.vms().items()}
    world.plane.kubectl("delete", "machines", "--all", "--wait=false")
    time.sleep(chance.random())
    world.kill(operator)
    world.operator()
    until(lambda: not world.plane.list("machines") and not world.vms(), "all gone")


def test_an_application_has_one_guest_for_each_environment_whenever_the_operator_is_killed(world: World) -> None:
    chance = random.Random(7)
    environments: dict[str, dict[str, object]] = {f"e{number}": {} for number in range(8)}
    root = {"storage": "tank", "size": "1Gi"}
    spec = {"cluster": "lab", "template": "debian-12", "rootDisk": root, "environments": environments}
    world.plane.apply(secret(), cluster(world.sim))
    operator = world.operator()
    until(lambda: operator.get("/readyz")[0] == 200, "ready")
    world.plane.apply(native("Application", "shop", **spec))
    for _ in range(4):
        before = len(world.sim.calls())
        point = chance.randrange(1, 30)
        until(lambda: len(world.sim.calls()) >= before + point or len(world.made()) == 8, "some calls")  # noqa: B023
        world.kill(operator)
        operator = world.operator()
    until(lambda: len(world.made()) == 8, "all are made")

    def told() -> dict[str, int]:
        found = world.plane.get("application", "shop").get("status", {}).get("guests") or []
        return {one["name"]: one["vmid"] for one in found if "vmid" in one}

    until(lambda: len(told()) == 8, "all are told")
    rows = world.sim.call("GET", "/cluster/resources", {"type": "vm"}).data
    assert told() == {row["name"]: row["vmid"] for row in rows if row["type"] == "lxc"}
    assert len(world.plane.list("containers")) == 8 and len(world.made()) == 8, "none was ever made twice"
    world.plane.kubectl("delete", "application/shop", "--wait=false")
    time.sleep(chance.random())
    world.kill(operator)
    world.operator()
    until(lambda: not world.plane.list("applications") and not world.plane.list("containers"), "all gone")
    rows = world.sim.call("GET", "/cluster/resources", {"type": "vm"}).data
    assert [row["vmid"] for row in rows] == [900]


def test_two_replicas_and_the_leader_is_killed(world: World) -> None:
    world.plane.apply(secret(), cluster(world.sim))
    replicas = [world.operator(LEASE_DURATION="4s"), world.operator(LEASE_DURATION="4s")]

    def leaders() -> list[Operator]:
        return [item for item in replicas if item.process.poll() is None and '"leading' in item.text()]

    first = until(leaders, "a leader")
    assert len(first) == 1
    world.plane.apply(*(machine(f"m{number}") for number in range(20)))
    until(lambda: len(world.vms()) > 3, "work has begun")
    first[0].kill()
    until(lambda: len(leaders()) == 1 and leaders()[0] is not first[0], "the other one leads")
    until(lambda: all(world.ready().values()) and len(world.ready()) == 20, "all ready")
    assert len(world.vms()) == made(world) == 20
    # One that ends by itself hands over without waiting for the lease to end.
    third = world.operator(LEASE_DURATION="4s")
    replicas.append(third)
    until(lambda: third.get("/readyz")[0] == 200, "the third is there")
    leader = leaders()[0]
    assert leader.stop() == 0
    until(lambda: '"leading' in third.text(), "the third leads", patience=10)


def test_the_api_server_restarts_and_forgets(world: World) -> None:
    plane = world.plane
    plane.apply(secret(), cluster(world.sim), machine("before"))
    operator = world.operator()
    world.wait("before")
    plane.stop_server()
    plane.compact()  # every revision that a watch could go on from is gone: 410
    plane.start_server()
    plane.apply(machine("after"))
    world.wait("after")
    plane.kubectl("delete", "machine/before", "--timeout=30s")
    assert [row["name"] for row in world.vms().values()] == ["after"]
    assert operator.process.poll() is None


def test_a_vmid_that_is_taken_in_the_last_moment(world: World) -> None:
    """Somebody creates a guest under the vmid that was promised: another one is promised."""
    world.plane.apply(secret(), cluster(world.sim))
    body = machine("web", annotations={"innkeeper.dev/vmid": "10000", "innkeeper.dev/cluster": "default/lab"})
    assert world.sim.do("POST", "/nodes/pve1/qemu", {"vmid": 10_000, "name": "quicker"}) == "OK"
    world.plane.apply(body)
    world.operator()
    world.wait("web")
    assert {row["name"]: vmid for vmid, row in world.vms().items()} == {"quicker": 10_000, "web": 10_001}
    assert "tags" not in world.config(10_000)


def test_three_hundred_machines_converge(world: World) -> None:
    count = 300
    world.plane.apply(secret(), cluster(world.sim))
    world.plane.apply(*(machine(f"m{number:03}") for number in range(count)))
    operator = world.operator()
    world.plane.kubectl("wait", "machines", "--all", "--for=condition=Ready", "--timeout=200s", patience=210)
    assert len(world.vms()) == made(world) == count
    assert operator.memory() < 256 << 20
    world.plane.kubectl("delete", "machines", "--all", "--wait=false")
    until(lambda: not world.vms(), "all gone", patience=200)
