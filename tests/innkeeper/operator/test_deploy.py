"""The chart and the plain manifests: clean, current, taken by a real API server, and enough rights to live with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import blocks
from tests.innkeeper.operator.controlplane import ControlPlane
from tests.innkeeper.operator.test_native import native
from tests.innkeeper.operator.world import World, cluster, machine, secret, until

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "innkeeper"
PLAIN = ROOT / "deploy" / "kubernetes" / "operator.yaml"


def helm(plane: ControlPlane, *words: str) -> str:
    done = subprocess.run(
        [str(plane.binaries["helm"]), *words, "--kubeconfig", str(plane.kubeconfig())],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(plane.folder), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_chart_is_clean(kubernetes: ControlPlane) -> None:
    assert "0 chart(s) failed" in helm(kubernetes, "lint", "--strict", str(CHART))
    values = {
        "replicaCount": 2,
        "image": {"repository": "example", "tag": "1"},
        "resources": {"limits": {"memory": "1Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "defaultCluster": "default/lab",
        "identity": "lab",
    }
    rendered = helm(kubernetes, "template", "x", str(CHART), "--set-json", *_pairs(values))
    deployment = next(item for item in yaml.safe_load_all(rendered) if item["kind"] == "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 2 and pod["nodeSelector"] == {"disk": "ssd"} and pod["tolerations"]
    assert pod["containers"][0]["image"] == "example:1"
    environment = {item["name"]: item.get("value") for item in pod["containers"][0]["env"]}
    assert environment["PROXMOX_DEFAULT_CLUSTER"] == "default/lab" and environment["INNKEEPER_IDENTITY"] == "lab"


def _pairs(values: dict[str, object]) -> list[str]:
    return [",".join(f"{name}={json.dumps(value)}" for name, value in values.items())]


def test_published_values(kubernetes: ControlPlane) -> None:
    rendered = list(yaml.safe_load_all(helm(kubernetes, "template", "x", str(CHART))))
    container = next(item for item in rendered if item["kind"] == "Deployment")["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert container["resources"] == {
        "limits": {"cpu": "200m", "memory": "256Mi"},
        "requests": {"cpu": "50m", "memory": "128Mi"},
    }


def test_what_is_written_is_current(kubernetes: ControlPlane) -> None:
    script = ROOT / "scripts" / "kubernetes_manifests.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_installed_by_helm_its_rights_are_enough_and_not_more(world: World) -> None:
    plane = world.plane
    account = "system:serviceaccount:innkeeper-system:innkeeper-operator"
    helm(plane, "install", "innkeeper", str(CHART), "--namespace", "innkeeper-system", "--create-namespace")
    try:
        for verb, kind, allowed in (
            ("get", "secrets", "yes"),
            ("list", "secrets", "no"),
            ("create", "secrets", "no"),
            ("patch", "secrets/innkeeper-operator-keys", "no"),
            ("create", "pods", "no"),
            ("get", "configmaps", "no"),
            ("patch", "machines.vitistack.io", "yes"),
            ("create", "containers.innkeeper.dev", "yes"),
            ("delete", "clusters.innkeeper.dev", "no"),
        ):
            said = plane.kubectl("auth", "can-i", verb, kind, f"--as={account}", "-A", ok=False).split()
            assert said[-1] == allowed, (verb, kind)
        token = plane.kubectl("create", "token", "innkeeper-operator", "-n", "innkeeper-system").strip()
        plane.apply(secret(), cluster(world.sim), machine("web"))
        operator = world.operator(plane.kubeconfig_of("pod", token), POD_NAMESPACE="innkeeper-system")
        world.wait("web")
        assert "forbidden" not in operator.text()
        assert "web" in plane.kubectl("get", "events", "-o", "name") or plane.list("events")
        # Keys to guests go to the Secret that came with the chart, Containers are made for an Application.
        root, nic = {"storage": "tank", "size": "1Gi"}, [{"bridge": "vmbr0", "ip": "10.255.254.9/24"}]
        shop = native("Application", "shop", cluster="lab", rootDisk=root, environments={"dev": {}})
        checked = {"template": "debian-12", "rootDisk": root, "network": nic, "health": [{"systemd": "ssh"}]}
        plane.apply(native("Container", "checked", cluster="lab", **checked), shop)
        assert "did not answer SSH" in world.reason("checked", "Unhealthy", "container")["message"]
        kept = plane.get("secret", "innkeeper-operator-keys", "innkeeper-system")["data"]
        assert "default__lab__id_ed25519" in kept
        until(lambda: plane.get("container", "shop-dev"), "the Application's Container")
        assert "forbidden" not in operator.text()
        plane.kubectl("delete", "machine/web", "application/shop", "container/checked", "--timeout=60s")
    finally:
        helm(plane, "uninstall", "innkeeper", "--namespace", "innkeeper-system")
    own = ("secret/innkeeper-operator-keys", "-n", "innkeeper-system")
    assert "innkeeper" in plane.kubectl("get", *own), "guests accept these keys: they outlive the release"
    plane.kubectl("delete", *own)


def test_plain_manifests_are_taken(kubernetes: ControlPlane) -> None:
    kubernetes.kubectl("apply", "--server-side", "--dry-run=server", "-f", str(CHART / "crds"))
    namespace = next(yaml.safe_load_all(PLAIN.read_text()))
    kubernetes.apply(namespace)
    said = kubernetes.kubectl("apply", "--server-side", "--dry-run=server", "-f", str(PLAIN))
    assert "deployment.apps/innkeeper-operator" in said and "Warning" not in said


def test_the_how_to_is_taken_by_the_api_server(definitions: ControlPlane) -> None:
    page = ROOT / "docs" / "how-to" / "kubernetes.md"
    found = [block for block in blocks(page) if "kubernetes" in block.words]
    assert found
    for block in found:
        said = definitions.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", given=block.text)
        assert "created" in said
