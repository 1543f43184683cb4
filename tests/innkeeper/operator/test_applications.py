"""An Application is a Container for each environment, as objects of their own."""

from typing import Any

import pytest

from innkeeper.model.observed import Marker
from innkeeper.settings.marker import write_marker
from tests.innkeeper.operator.test_clusters import own
from tests.innkeeper.operator.test_native import native
from tests.innkeeper.operator.world import World, secret, until

pytestmark = pytest.mark.timeout(180)


def application(name: str = "shop", **spec: Any) -> dict[str, Any]:
    body = {
        "cluster": "lab",
        "memory": "256Mi",
        "rootDisk": {"size": "4Gi"},
        "environments": {"dev": {"tags": ["dev"]}, "prod": {"name": "shop", "memory": "512Mi"}},
    }
    return native("Application", name, **(body | spec))


def guests(world: World) -> dict[int, str]:
    rows = world.sim.call("GET", "/cluster/resources", {"type": "vm"}).data
    return {row["vmid"]: row["name"] for row in rows if row["type"] == "lxc"}


def states(world: World, name: str = "shop") -> dict[str, str]:
    found = world.plane.get("application", name).get("status", {}).get("guests") or []
    return {one["name"]: one.get("reason", "") for one in found}


@pytest.fixture
def lab(world: World) -> World:
    world.plane.apply(secret(), own(world.sim))
    return world


def test_environments_are_containers_that_belong_to_it(lab: World) -> None:
    plane = lab.plane
    lab.operator()
    plane.apply(application())
    until(lambda: len(guests(lab)) == 2, "both guests")
    assert sorted(guests(lab).values()) == ["shop", "shop-dev"]
    plane.get("application", "shop")
    child = plane.get("container", "shop-dev")
    (owner,) = child["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("Application", "shop", True)
    assert child["metadata"]["labels"]["innkeeper.dev/environment"] == "dev"
    roles = [call["role"] for call in child["spec"]["configure"]["roles"]]
    assert roles == ["base", "base_os", "app_setup"], "as files do"
    assert child["spec"]["memory"] == "256Mi" and plane.get("container", "shop")["spec"]["memory"] == "512Mi"
    # Nothing answers in a guest that is only a record: that is said, of the guest and of the Application.
    found = until(
        lambda: states(lab).get("shop-dev") == "ConfigurationFailed" and lab.condition("shop", "application"), ""
    )
    assert found["reason"] == "GuestsNotReady" and "Container default/shop-dev" in found["message"]
    status = plane.get("application", "shop")["status"]
    assert status["ready"] == "0/2" and status["health"] == "Degraded"
    assert {one["vmid"] for one in status["guests"]} == {700, 701} and status["guests"][0]["node"] == "pve2"
    shown = plane.kubectl("get", "applications")
    assert "GUESTS" in shown and "0/2" in shown and "GuestsNotReady" in shown


def test_what_somebody_does_to_its_containers_is_put_back(lab: World) -> None:
    plane = lab.plane
    small = native("Profile", "small", defaults={"swap": 0, "tags": ["small"]})
    plane.apply(small, application(profile="small"))
    lab.operator()
    until(lambda: len(guests(lab)) == 2, "both guests")
    vmid = next(vmid for vmid, name in guests(lab).items() if name == "shop-dev")

    def config() -> dict[str, Any]:
        found: dict[str, Any] = lab.sim.call("GET", f"/nodes/pve2/lxc/{vmid}/config").data
        return found

    plane.kubectl(
        "patch", "container/shop-dev", "--type=merge", "-p", '{"spec": {"memory": "1Gi", "cpu": {"cores": 2}}}'
    )
    until(lambda: "cpu" not in plane.get("container", "shop-dev")["spec"], "the Container says what it is to say")
    until(lambda: config()["memory"] == 256, "and so is the guest")
    # The Application, and the profile, are where it is changed.
    plane.kubectl("patch", "application/shop", "--type=merge", "-p", '{"spec": {"memory": "384Mi"}}')
    until(lambda: config()["memory"] == 384, "the Application's memory")
    plane.kubectl("patch", "profile/small", "--type=merge", "-p", '{"spec": {"defaults": {"description": "small"}}}')
    until(lambda: config().get("description", "").startswith("small"), "the profile's description")
    # A Container that is deleted goes with its guest, and comes again with a new one.
    uid = plane.get("container", "shop-dev")["metadata"]["uid"]
    plane.kubectl("delete", "container/shop-dev", "--timeout=40s")
    again = until(lambda: plane.get("container", "shop-dev"), "it is there again")
    assert again["metadata"]["uid"] != uid
    until(lambda: sorted(guests(lab).values()) == ["shop", "shop-dev"], "with a guest")


def test_an_environment_that_is_declared_no_more_stays_until_somebody_says_so(lab: World) -> None:
    plane = lab.plane
    plane.apply(application())
    lab.operator()
    until(lambda: len(guests(lab)) == 2, "both guests")
    plane.kubectl(
        "patch", "application/shop", "--type=json", "-p", '[{"op": "remove", "path": "/spec/environments/dev"}]'
    )
    found = until(lambda: lab.condition("shop", "application", "Pruned"), "it is told")
    assert "Container default/shop-dev" in found["message"] and "innkeeper.dev/prune=true" in found["message"]
    assert len(guests(lab)) == 2
    plane.kubectl("annotate", "application/shop", "innkeeper.dev/prune=true")
    until(lambda: list(guests(lab).values()) == ["shop"], "the guest goes")
    until(lambda: not lab.condition("shop", "application", "Pruned"), "nothing is left to tell")

    # The rest goes with the Application, or stays where it says so.
    plane.kubectl("annotate", "application/shop", "innkeeper.dev/deletion=orphan")
    plane.kubectl("delete", "application/shop", "--timeout=40s")
    assert not plane.list("containers") and list(guests(lab).values()) == ["shop"]
    vmid = next(iter(guests(lab)))
    assert "innkeeper" not in lab.sim.call("GET", f"/nodes/pve2/lxc/{vmid}/config").data.get("tags", "")


def test_deleted_with_its_guests_and_not_while_one_is_protected(lab: World) -> None:
    plane = lab.plane
    plane.apply(application(environments={"dev": {}, "prod": {"protected": True}}))
    lab.operator()
    until(lambda: len(guests(lab)) == 2, "both guests")
    until(lambda: lab.condition("shop-prod", "container").get("reason") == "ConfigurationFailed", "as far as it gets")
    plane.kubectl("delete", "application/shop", "--wait=false")
    until(lambda: list(guests(lab).values()) == ["shop-prod"], "what is not protected goes")
    found = until(lambda: lab.reason("shop", "Deleting", "application"), "it waits")
    until(lambda: "protected" in lab.condition("shop", "application")["message"], f"for what is: {found}")
    plane.kubectl("patch", "container/shop-prod", "--type=merge", "-p", '{"spec": {"protected": false}}')
    plane.kubectl("wait", "--for=delete", "application/shop", "--timeout=40s")
    assert not guests(lab) and not plane.list("containers")


def test_nothing_is_taken_from_others(lab: World) -> None:
    """A Container of somebody's, a guest of git's, a vmid of another object's."""
    plane = lab.plane
    theirs = native("Container", "shop-dev", cluster="lab", rootDisk={"size": "1Gi"}, tags=["theirs"])
    git = write_marker("", Marker("git.example.org/home", "Container", "web", made=(("vmid", "707"),)))
    form = {"vmid": 707, "hostname": "web", "ostemplate": "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"}
    form |= {"rootfs": "tank:1", "tags": "innkeeper", "description": git}
    lab.sim.do("POST", "/nodes/pve1/lxc", form)
    plane.apply(theirs)
    lab.operator()
    lab.reason("shop-dev", "Stopped", "container")
    plane.apply(application(environments={"dev": {}, "git": {"vmid": 707}, "twice": {"vmid": 700}}))
    found = lab.reason("shop", "OwnershipConflict", "application")
    assert "Container default/shop-dev is there, and is not this Application's" in found["message"]
    assert "git.example.org/home" in lab.reason("shop-git", "OwnershipConflict", "container")["message"]
    assert "default/shop-dev" in lab.reason("shop-twice", "OwnershipConflict", "container")["message"]
    assert plane.get("container", "shop-dev")["spec"]["tags"] == ["theirs"]
    plane.kubectl("delete", "application/shop", "--timeout=40s")
    assert plane.get("container", "shop-dev") and set(guests(lab)) == {700, 707}


def test_what_is_wrong_with_it_is_told_of_it(lab: World) -> None:
    plane = lab.plane
    wrong = application(profile="none")
    plane.apply(wrong)
    lab.operator()
    assert "profile none is not declared" in lab.reason("shop", "UnknownProfile", "application")["message"]
    assert not plane.list("containers")
    assert "environments" in plane.refused(application("empty", environments={}))
    assert "memory" in plane.refused(application("wrong", environments={"dev": {"memory": 512}}))
