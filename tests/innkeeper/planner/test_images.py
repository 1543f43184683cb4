"""Images in plans: a node gets what it lacks before its guest is made, and an old guest is told of a new image."""

from dataclasses import replace

import pytest

from innkeeper.model.images import Build, Image
from innkeeper.model.objects import Guest
from innkeeper.model.observed import ClusterView, ObservedGuest
from innkeeper.model.plan import Step
from innkeeper.planner.build import plan
from tests.innkeeper.planner.worlds import POLICY, TEMPLATE, cluster, container, declared, machine, marker, seen, view

SUM = "sha256:" + "ab" * 32
OLD, NEW = "local:import/debian-aaaaaaaaaaaa.qcow2", "local:import/debian-bbbbbbbbbbbb.qcow2"
IMAGE = Image("debian", NEW, url="https://example.org/d.qcow2", checksum=SUM)
BUILT = Image("debian", NEW, build=Build("/repo", "disk", "/nix/store/x.drv", "qcow2"))
BASE = Image("base", "local:vztmpl/base-cccccccccccc.tar.zst", url="https://example.org/b.tar.zst", checksum=SUM)


def vm(image: Image) -> Guest:
    guest = machine("vm", disks=[{"slot": "scsi0", "storage": "btr", "size": "8Gi", "importFrom": image.volume}])
    return replace(guest, images=(image,))


def ct(image: Image) -> Guest:
    return replace(container("web", template=image.volume), images=(image,))


def planned(guest: Guest, world: ClusterView, *replaced: str) -> tuple[Step, list[str]]:
    made = plan(declared(guest), {"lab": world}, replace(POLICY, replace=frozenset(replaced)))
    (step,) = made.steps
    return step, [f"{item.code}: {item.summary}" for item in made.diagnostics]


def paths(step: Step) -> list[str]:
    return [f"{item.phase} {item.method} {item.path}" for item in step.operations]


@pytest.mark.parametrize(
    ("guest", "call", "way"),
    [
        (vm(IMAGE), "image POST /nodes/pve2/storage/local/download-url", "image debian is downloaded first"),
        (vm(BUILT), "image POST /nodes/pve2/storage/local/upload", "image debian is built first"),
        (ct(BASE), "image POST /nodes/pve2/storage/local/download-url", "image base is downloaded first"),
    ],
)
def test_a_node_is_given_what_it_lacks_first(guest: Guest, call: str, way: str) -> None:
    step, said = planned(guest, view())
    assert not said
    assert paths(step)[0] == call
    assert paths(step)[1].startswith("create POST /nodes/pve2/")
    assert step.reason == f"declared, and not on the cluster; {way}"
    assert step.operations[0].build == guest.images[0].build


def test_a_download_is_checked_by_the_node() -> None:
    step, _ = planned(vm(IMAGE), view())
    assert dict(step.operations[0].params) == {
        "content": "import",
        "filename": "debian-bbbbbbbbbbbb.qcow2",
        "url": "https://example.org/d.qcow2",
        "checksum": "ab" * 32,
        "checksum-algorithm": "sha256",
    }


def test_a_container_is_made_from_the_template_that_is_brought() -> None:
    step, _ = planned(ct(BASE), view())
    assert dict(step.operations[1].params)["ostemplate"] == BASE.volume


def test_what_the_node_has_is_not_brought_again() -> None:
    step, _ = planned(vm(IMAGE), view(templates={"pve1": (TEMPLATE,), "pve2": (TEMPLATE, NEW)}))
    assert [path for path in paths(step) if path.startswith("image")] == []
    assert step.reason == "declared, and not on the cluster"


def test_a_storage_that_takes_no_images_is_said_before_anything() -> None:
    made = plan(declared(vm(replace(IMAGE, volume=NEW.replace("local", "nas")))), {"lab": view()}, POLICY)
    assert not made.steps
    (wrong,) = made.diagnostics
    assert "storage nas does not take import" in f"{wrong.summary} {wrong.detail}"


def test_rights_that_lack_are_told_before_anything() -> None:
    world = view(
        privileges={"/": frozenset({"Sys.Audit"}), "/vms": frozenset({"VM.Allocate"})}, facts={"user": "a@pve!t"}
    )
    step, said = planned(vm(IMAGE), world)
    assert "Datastore.AllocateTemplate" in step.refused
    assert "Sys.AccessNetwork" in step.refused
    assert any("pveum" in item.detail for item in plan(declared(vm(IMAGE)), {"lab": world}, POLICY).diagnostics), said


def made_from(volume: str) -> ObservedGuest:
    config = {"name": "vm", "scsi0": "btr:100/vm-100-disk-0.raw,size=8G"}
    owner = marker("vm", 100, "VirtualMachine", **{"image.scsi0": volume})
    return seen(100, "vm", owner, kind="VirtualMachine", config=config)


def test_a_new_image_replaces_no_guest_unless_it_says_so() -> None:
    step, said = planned(vm(IMAGE), view(made_from(OLD)))
    assert step.action != "replace"
    assert not said
    step, said = planned(vm(replace(IMAGE, replace_guests=True)), view(made_from(OLD)))
    assert (step.action, step.refused) == ("replace", "needs --replace vm")
    assert next((item.field, item.before, item.after) for item in step.changes) == ("disks.0.importFrom", OLD, NEW)
    step, _ = planned(vm(replace(IMAGE, replace_guests=True)), view(made_from(OLD)), "vm")
    assert [item.phase for item in step.operations] == ["image", "delete", "create", "configure"]
    step, _ = planned(vm(replace(IMAGE, replace_guests=True)), view(made_from(NEW)))
    assert step.action != "replace"


def test_a_new_template_replaces_no_container_unless_it_says_so() -> None:
    there = seen(100, "web", marker("web", 100, template="local:vztmpl/base-dddddddddddd.tar.zst"))
    step, _ = planned(ct(BASE), view(there))
    assert step.action != "replace"
    step, _ = planned(ct(replace(BASE, replace_guests=True)), view(there))
    assert step.action == "replace"
    assert cluster().spec.defaults.template == "debian-12"
