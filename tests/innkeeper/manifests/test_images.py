"""Images in manifests: references become volumes, and what is wrong is said once, at its place."""

from pathlib import Path

import pytest

from innkeeper.manifests.loading import Loaded, load
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.images import Build, Image
from tests.innkeeper.manifests.test_insides import CLUSTER, document

SUM = "sha256:" + "0123456789abcdef" * 4
URL = "https://cloud.example.org/images/debian-12.qcow2"
DISK = f"{{url: '{URL}', checksum: '{SUM}'}}\n"
TEMPLATE = f"{{url: https://cloud.example.org/rootfs.tar.zst, checksum: '{SUM}', storage: nas, replaceGuests: true}}\n"
MACHINE = "{disks: [{slot: scsi0, storage: local, importFrom: Image/debian-12}]}\n"
DERIVATION = "/nix/store/iqyrv8kpkgxhmc50zz5g0kf7qcqxa9nb-disk.drv"


def read(tmp_path: Path, *documents: str, derivation: str | Diagnostic | None = None) -> Loaded:
    (tmp_path / "all.yaml").write_text(CLUSTER + "".join(documents))
    derive = None if derivation is None else lambda directory, output: derivation
    return load([tmp_path], derive=derive)


def test_a_reference_is_the_volume_of_what_is_downloaded(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        document("VirtualMachine", "vm", MACHINE),
        document("Container", "web", "{template: Image/base}\n"),
        document("Image", "debian-12", DISK),
        document("Image", "base", TEMPLATE),
    )
    assert found.ok, found.diagnostics
    machine, container = found.declared.guests
    assert isinstance(machine.spec, VirtualMachineSpec)
    assert machine.spec.disks
    assert machine.spec.disks[0].import_from == "local:import/innkeeper-debian-12-0123456789ab.qcow2"
    assert machine.images == (
        Image("debian-12", "local:import/innkeeper-debian-12-0123456789ab.qcow2", url=URL, checksum=SUM),
    )
    assert isinstance(container.spec, ContainerSpec)
    assert container.spec.template == "nas:vztmpl/innkeeper-base-0123456789ab.tar.zst"
    assert container.images[0].replace_guests
    assert "template" in container.spec.model_fields_set


def test_the_template_of_a_cluster_may_be_an_image(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        CLUSTER.replace("spec:\n", "spec:\n  defaults: {template: Image/base}\n", 1)
        + document("Image", "base", TEMPLATE)
        + document("Container", "web", "{}\n")
        + document("Container", "own", "{template: debian-12}\n")
    )
    found = load([tmp_path])
    assert found.ok, found.diagnostics
    web, own = found.declared.guests
    assert isinstance(web.spec, ContainerSpec)
    assert isinstance(own.spec, ContainerSpec)
    assert (web.spec.template, own.spec.template) == ("nas:vztmpl/innkeeper-base-0123456789ab.tar.zst", "debian-12")
    assert own.images == ()


def test_what_nix_builds_is_called_by_its_derivation(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/flake.nix").write_text("{}")
    image = "{nix: {flake: images, output: nixosConfigurations.web.config.system.build.qcow2}}\n"
    found = read(
        tmp_path,
        document("Image", "debian-12", image),
        document("VirtualMachine", "vm", MACHINE),
        derivation=DERIVATION,
    )
    assert found.ok, found.diagnostics
    (image_,) = found.declared.guests[0].images
    assert image_.volume == "local:import/innkeeper-debian-12-iqyrv8kpkgxh.qcow2"
    output = "nixosConfigurations.web.config.system.build.qcow2"
    assert image_.build == Build(str(tmp_path / "images"), output, DERIVATION, "qcow2")


@pytest.mark.parametrize(
    ("image", "guest", "said"),
    [
        (
            DISK,
            "{disks: [{slot: scsi0, storage: local, importFrom: Image/debian-21}]}",
            "Image/debian-21 is not declared",
        ),
        (f"{{url: '{URL}'}}", MACHINE, "url and checksum go together"),
        (f"{{url: '{URL}', checksum: 'sha256:00'}}", MACHINE, "sha256: or sha512:"),
        (f"{{url: 'https://u@h/x.qcow2', checksum: '{SUM}'}}", MACHINE, "URL without user"),
        (f"{{url: 'https://h/x.img', checksum: '{SUM}'}}", MACHINE, "name its format"),
        ("{storage: local}", MACHINE, "name exactly one of url"),
        (f"{{url: '{URL}', checksum: '{SUM}', volume: 'local:import/x.qcow2'}}", MACHINE, "name exactly one of url"),
        ("{volume: 'local:import/x.qcow2', storage: nas}", MACHINE, "volume says its storage"),
        ("{volume: /etc/passwd}", MACHINE, "spec.volume"),
        (f"{{url: 'https://h/x.tar.gz', checksum: '{SUM}'}}", MACHINE, "is no disk of a virtual machine"),
        ("{nix: {output: x, flake: ../other}}", MACHINE, "leads out of it"),
        ("{nix: {output: x, flake: nothing}}", MACHINE, "holds no flake.nix"),
        ("{nix: {output: 'x; y'}}", MACHINE, "an output such as"),
        ("{nix: {output: x}}", MACHINE, "flakes are not evaluated here"),
    ],
)
def test_what_is_wrong_is_said_once(tmp_path: Path, image: str, guest: str, said: str) -> None:
    (tmp_path / "flake.nix").write_text("{}")
    found = read(tmp_path, document("Image", "debian-12", f"{image}\n"), document("VirtualMachine", "vm", f"{guest}\n"))
    (wrong,) = (item for item in found.diagnostics if item.severity == "error")
    assert said in f"{wrong.summary} {wrong.detail}"
    assert wrong.location is not None
    assert wrong.location.line > 1


def test_an_unknown_image_is_told_the_nearest(tmp_path: Path) -> None:
    guest = "{disks: [{slot: scsi0, storage: local, importFrom: Image/debian-21}]}\n"
    found = read(tmp_path, document("Image", "debian-12", DISK), document("VirtualMachine", "vm", guest))
    (wrong,) = (item for item in found.diagnostics if item.severity == "error")
    assert "Did you mean Image/debian-12?" in wrong.detail


def test_a_flake_that_cannot_be_evaluated_is_the_image_s_error_alone(tmp_path: Path) -> None:
    (tmp_path / "flake.nix").write_text("{}")
    failed = Diagnostic("error", "NixFailed", "its output x cannot be evaluated: no", "")
    found = read(
        tmp_path,
        document("Image", "debian-12", "{nix: {output: x}}\n"),
        document("VirtualMachine", "vm", MACHINE),
        derivation=failed,
    )
    assert [item for item in found.diagnostics if item.severity == "error"] == [failed]
