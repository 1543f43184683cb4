"""A native Cluster is a way to Proxmox as a ProxmoxCluster is, with its secrets in Secrets."""

import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from tests.innkeeper.operator.test_native import native
from tests.innkeeper.operator.world import World, cluster, secret, until
from tests.pvesim.running import Sim

pytestmark = pytest.mark.timeout(120)
ROOT = {"storage": "tank", "size": "4Gi"}


def own(sim: Sim, name: str = "lab", **spec: Any) -> dict[str, Any]:
    """A Cluster that leads to a pvesim."""
    credentials = {"tokenID": "root@pam!full", "tokenSecret": {"secretRef": {"name": "pve", "key": "token-secret"}}}
    body = {
        "endpoints": list(sim.urls.values()),
        "tls": {"caCertificate": Path(sim.cafile).read_text()},
        "credentials": credentials,
        "defaults": {"storage": "tank", "bridge": "vmbr0", "template": "debian-12", "node": "pve2"},
        "vmids": {"from": 700, "to": 709},
    }
    return native("Cluster", name, **(body | spec))


def certificate(sim: Sim) -> str:
    host, port = next(iter(sim.urls.values())).removeprefix("https://").split(":")
    pem = ssl.get_server_certificate((host, int(port)))
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2))


def test_a_cluster_with_its_defaults_and_its_pool_of_vmids(world: World) -> None:
    plane = world.plane
    plane.apply(
        secret(), own(world.sim), native("Container", "web", cluster="lab", running=True, rootDisk={"size": "4Gi"})
    )
    world.operator()
    plane.kubectl("wait", "cluster/lab", "container/web", "--for=condition=Ready", "--timeout=40s")
    status = plane.get("container", "web")["status"]
    assert (status["vmid"], status["node"]) == (700, "pve2")
    config = world.sim.call("GET", "/nodes/pve2/lxc/700/config").data
    assert config["rootfs"].startswith("tank:")
    told = until(lambda: (found := plane.get("cluster", "lab")["status"]).get("version") and found, "its version")
    assert told["ready"] is True and told["nodes"] == ["pve1", "pve2"] and told["version"].startswith("9.1")
    assert plane.get("container", "web")["metadata"]["annotations"]["innkeeper.dev/cluster"] == "default/clusters/lab"
    shown = plane.kubectl("get", "clusters,containers")
    assert "ENDPOINT" in shown and "Connected" in shown and "Synced" in shown and "Healthy" in shown

    # Wrong credentials are told once, and are not tried again before the Secret changes; another one is used at once.
    wrong = "00000000-0000-4000-8000-000000000000"
    plane.apply(secret(token_secret=wrong))
    assert "is not let in" in world.reason("lab", "AuthenticationFailed", "cluster")["message"]
    plane.apply(secret())
    world.reason("lab", "Connected", "cluster")
    world.reason("web", "Running", "container")

    # By fingerprint, and not by another one.
    plane.apply(own(world.sim, tls={"fingerprint": "AB:" * 31 + "AB"}))
    found = until(lambda: (said := world.condition("lab", "cluster")).get("status") == "False" and said, "distrusted")
    assert found["reason"] == "ClusterRefused" and "fingerprint" in found["message"]
    plane.apply(own(world.sim, tls={"fingerprint": certificate(world.sim)}))
    world.reason("lab", "Connected", "cluster")


def test_one_name_in_both_families(world: World) -> None:
    """A guest stays where it was made; what is new goes to its own family's."""
    plane = world.plane
    plane.apply(
        secret(), cluster(world.sim), native("Container", "old", cluster="lab", template="debian-12", rootDisk=ROOT)
    )
    world.operator()
    world.reason("old", "Stopped", "container")
    plane.apply(own(world.sim), native("Container", "new", cluster="lab", rootDisk=ROOT))
    world.reason("new", "Stopped", "container")
    assert plane.get("container", "new")["status"]["vmid"] == 700
    assert plane.get("container", "old")["status"]["vmid"] == 10_000
    plane.kubectl("patch", "container/old", "--type=merge", "-p", '{"spec": {"memory": "256Mi"}}')

    def memory() -> object:
        node = plane.get("container", "old")["status"]["node"]
        return world.sim.call("GET", f"/nodes/{node}/lxc/10000/config").data.get("memory")

    until(lambda: memory() == 256, "it is still kept over the way that it was made over")


def test_nothing_of_the_operators_own_machine_is_read(world: World) -> None:
    """Environment variables and files are the operator's; its own Secret is nobody's to name."""
    plane = world.plane
    for wrong in ({"env": "KUBECONFIG"}, {"file": "/etc/hostname"}):
        body = own(world.sim, credentials={"tokenID": "root@pam!full", "tokenSecret": wrong})
        assert "tokenSecret" in plane.refused(body)
    for tls in ({"caFile": "/etc/ssl/cert.pem"}, {"clientKeyFile": "/etc/ssl/key.pem"}):
        assert "tls" in plane.refused(own(world.sim, tls=tls))
    assert "ssh" in plane.refused(own(world.sim, ssh={"keyFile": "/root/.ssh/id_ed25519"}))
    ref = {"secretRef": {"name": "innkeeper-operator-keys", "key": "fingerprint.key"}}
    plane.apply(own(world.sim, credentials={"tokenID": "root@pam!full", "tokenSecret": ref}))
    world.operator()
    assert "operator's own" in world.reason("lab", "SecretNotFound", "cluster")["message"]
