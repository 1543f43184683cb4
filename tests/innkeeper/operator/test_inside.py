"""By kubectl into real containers: roles, health checks, secrets of Kubernetes, an order, an Application."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pvesim.backends.lxc import needs
from pvesim.template import build, recipe
from tests.innkeeper.inside.world import World as Containers
from tests.innkeeper.inside.world import get
from tests.innkeeper.operator.controlplane import ControlPlane
from tests.innkeeper.operator.test_clusters import own
from tests.innkeeper.operator.test_native import native
from tests.innkeeper.operator.world import World, secret, until
from tests.pvesim import running

pytestmark = pytest.mark.timeout(1500)
NET = f"10.{30 + os.getpid() % 90}.79"


@pytest.fixture
def lab(definitions: ControlPlane, tmp_path: Path) -> Iterator[World]:
    """A node of real containers, and a Cluster that leads to it."""
    try:
        needs.require()
        build.build(recipe.find("debian-12"))
    except (needs.NeedsError, recipe.RecipeError) as error:
        pytest.skip(f"needs: {str(error).removeprefix('needs: ')}")
    sim = running.start(tmp_path, running.ONE_NODE, "--backend", "lxc")
    world = World(definitions, sim, tmp_path)
    try:
        defaults = {"storage": "btr", "bridge": "vmbr0", "template": "debian-12"}
        definitions.apply(secret(), own(sim, defaults=defaults))
        yield world
    finally:
        world.close()
        sim.process.terminate()
        sim.process.wait(60)
        sim.stop()
        world.forget()


def container(name: str, number: int, **spec: Any) -> dict[str, Any]:
    network = [{"name": "eth0", "ip": f"{NET}.{number}/24", "gateway": f"{NET}.1"}]
    body = {"cluster": "lab", "memory": "512Mi", "rootDisk": {"size": "4Gi"}, "network": network}
    return native("Container", name, **(body | spec))


def test_roles_health_secrets_and_an_order(lab: World) -> None:
    plane = lab.plane
    ref = {"secretRef": {"name": "page", "key": "text"}}
    page = secret("page", text="first words")
    db = container("db", 11, configure={"roles": [{"role": "base"}]}, health=[{"systemd": "ssh"}])
    web = container(
        "web",
        12,
        needs=["Container/db"],
        configure={"roles": [{"role": "base"}, {"role": "web", "vars": {"web_index": ref}}]},
        health=[{"http": {"contains": "words"}}, {"systemd": "nginx", "name": "the server"}],
    )
    plane.apply(page, web)
    operator = lab.operator()
    # What it needs is not there: it waits, and says for what.
    assert "Container default/db, which does not exist" in lab.reason("web", "WaitingForNeeds", "container")["message"]
    plane.apply(db)
    plane.kubectl("wait", "container/db", "container/web", "--for=condition=Ready", "--timeout=600s", patience=610)
    plane.kubectl("wait", "container/web", "--for=condition=Healthy", "--for=condition=Configured", "--timeout=5s")
    status = plane.get("container", "web")["status"]
    assert (status["sync"], status["health"], status["ipAddresses"][0]) == ("Synced", "Healthy", f"{NET}.12")
    assert lab.condition("web", "container", "Healthy")["message"] == "2 of 2 checks passed"
    assert get(f"http://{NET}.12/") == (200, "first words\n")
    assert lab.made() == [plane.get("container", name)["status"]["vmid"] for name in ("db", "web")]

    # What is sick is told, and when it is well again, too.
    inside = Containers(lab.sim, lab.folder, NET)
    vmid = status["vmid"]
    inside.pct(vmid, "systemctl stop nginx")
    found = lab.reason("web", "Unhealthy", "container")
    assert found["status"] == "False" and "the server" in found["message"]
    status = plane.get("container", "web")["status"]
    assert (status["sync"], status["health"]) == ("Synced", "Degraded")
    inside.pct(vmid, "systemctl start nginx")
    plane.kubectl("wait", "container/web", "--for=condition=Ready", "--timeout=60s")

    # A Secret that is rotated is brought to the guest, without a restart of the operator or a change of the object.
    plane.apply(secret("page", text="other words"))
    until(lambda: get(f"http://{NET}.12/") == (200, "other words\n"), "the new secret is in the guest", patience=200)
    plane.kubectl("wait", "container/web", "--for=condition=Ready", "--timeout=120s", patience=130)

    # Another operator comes in with the same keys, and finds nothing to do.
    kept = plane.get("secret", "innkeeper-operator-keys")["data"]
    assert {"clusters__default__lab__id_ed25519", "fingerprint.key"} & kept.keys()
    lab.kill(operator)
    again = lab.operator()
    inside.pct(vmid, "systemctl stop nginx")
    lab.reason("web", "Unhealthy", "container")
    assert plane.get("secret", "innkeeper-operator-keys")["data"] == kept
    assert "Configuring" not in again.text()
    shown = operator.text() + again.text() + plane.kubectl("get", "containers,events", "-o", "json")
    assert not [words for words in ("first words", "other words", "PRIVATE KEY") if words in shown]
    plane.kubectl("delete", "container/web", "container/db", "--timeout=120s", patience=130)


def test_an_application_becomes_ready(lab: World) -> None:
    plane = lab.plane
    site = native(
        "Application",
        "site",
        cluster="lab",
        memory="512Mi",
        rootDisk={"size": "4Gi"},
        configure={"roles": [{"role": "base"}, {"role": "web", "vars": {"web_index": "<h1>Our site</h1>"}}]},
        health=[{"http": {"contains": "Our site"}}],
        environments={
            name: {"ip": f"{NET}.{number}/24", "gateway": f"{NET}.1"} for name, number in (("dev", 21), ("prod", 22))
        },
    )
    plane.apply(site)
    operator = lab.operator()
    plane.kubectl("wait", "application/site", "--for=condition=Ready", "--timeout=600s", patience=610)
    status = plane.get("application", "site")["status"]
    assert (status["ready"], status["sync"], status["health"]) == ("2/2", "Synced", "Healthy")
    assert [(one["name"], one["environment"], one["health"]) for one in status["guests"]] == [
        ("site-dev", "dev", "Healthy"),
        ("site-prod", "prod", "Healthy"),
    ]
    for number in (21, 22):
        assert get(f"http://{NET}.{number}/") == (200, "<h1>Our site</h1>\n")
    shown = plane.kubectl("get", "applications,containers")
    assert "2/2" in shown and "site-prod" in shown

    # One environment's guest is sick, and so is the Application.
    vmid = status["guests"][0]["vmid"]
    Containers(lab.sim, lab.folder, NET).pct(vmid, "systemctl stop nginx")
    found = lab.reason("site", "GuestsNotReady", "application")
    assert "Container default/site-dev: Unhealthy" in found["message"] and "site-prod" not in found["message"]
    plane.kubectl("delete", "application/site", "--timeout=120s", patience=130)
    assert "error=" not in operator.text()
    assert not lab.sim.call("GET", "/cluster/resources", {"type": "vm"}).data
