"""Images on their way: downloaded by the node or built by a real Nix, once each, and never after what they are for."""

from pathlib import Path

import pytest

from innkeeper.engine.ports import Builder
from innkeeper.engine.reconcile import carry_out, gate, prepare
from innkeeper.engine.result import Result
from innkeeper.manifests.loading import load
from innkeeper.planner.policy import Policy
from innkeeper.sources import nixbuild
from tests.innkeeper.engine.lab import Lab, brief
from tests.innkeeper.nixhere import CONFIG, needs_nix

SUM = "ab" * 32
HEAD = "---\napiVersion: innkeeper.dev/v1alpha1\n"
IMAGE = HEAD + "kind: Image\nmetadata: {{name: {name}}}\nspec: {spec}\n"
DOWNLOADED = IMAGE.format(name="disk", spec=f"{{url: https://example.org/d.qcow2, checksum: 'sha256:{SUM}'}}")
TEMPLATE = IMAGE.format(name="base", spec=f"{{url: https://example.org/b.tar.zst, checksum: 'sha256:{SUM}'}}")
BUILT = IMAGE.format(name="disk", spec="{nix: {output: images.disk}, replaceGuests: true}")
FLAKE = """\
{ outputs = { self }: {
    images.disk = derivation {
      name = "disk";
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [ "-c" ''%s'' ];
    };
  };
}
"""
COPIES = """mkdir $out; i=0
while [ $i -lt %d ]; do echo "QFI of some megabytes, to need more than a chunk"; i=$((i+1)); done > $out/nixos.qcow2"""


def vm(name: str, image: str = "disk") -> str:
    disk = f"{{slot: scsi0, storage: btr, size: 8Gi, importFrom: Image/{image}}}"
    return f"{HEAD}kind: VirtualMachine\nmetadata: {{name: {name}}}\nspec: {{node: pve1, disks: [{disk}]}}\n"


@pytest.fixture(autouse=True)
def nix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIX_CONFIG", CONFIG)


async def applied(lab: Lab, *texts: str, builder: Builder | None = nixbuild.built, **policy: frozenset[str]) -> Result:
    place = lab.home / "repository"
    place.mkdir(exist_ok=True)
    (place / "all.yaml").write_text("".join(texts))
    loaded = load([place], clusters=[lab.cluster], derive=nixbuild.derive)
    assert loaded.ok, loaded.diagnostics
    hypervisor = lab.proxmox()
    try:
        wanted = Policy("home", "r1", replace=policy.get("replace", frozenset()))
        prepared = await prepare(loaded.declared, {"lab": hypervisor}, wanted)
        gate(prepared)
        found = {"lab": hypervisor}
        return await carry_out(prepared, found, lab.events.append, patience=2.0, builder=builder)
    finally:
        await hypervisor.close()


def flake(lab: Lab, script: str) -> None:
    (lab.home / "repository").mkdir(exist_ok=True)
    # Nix builds nothing twice: each test has a derivation of its own.
    (lab.home / "repository/flake.nix").write_text(FLAKE % f": {lab.home}\n{script}")


def images(lab: Lab) -> dict[str, int]:
    """The volumes that are images, with their sizes."""
    found = lab.sim.cluster.volumes.values()
    return {item.volid: item.size for item in found if item.content == "import"}


async def test_a_node_downloads_once_whatever_is_made_from_it(lab: Lab) -> None:
    result = await applied(lab, DOWNLOADED, *(vm(f"vm{number}") for number in range(6)))
    assert result.ok, brief(result)
    assert lab.writes.count("POST /nodes/pve1/storage/local/download-url") == 1
    assert lab.writes.count("POST /nodes/pve1/qemu") == 6
    assert list(images(lab)) == [f"local:import/innkeeper-disk-{SUM[:12]}.qcow2"]
    assert lab.writes.index("POST /nodes/pve1/storage/local/download-url") == 0
    before = len(lab.writes)
    assert not (await applied(lab, DOWNLOADED, *(vm(f"vm{number}") for number in range(6)))).plan.changes_anything
    assert (await applied(lab, DOWNLOADED, *(vm(f"vm{number}") for number in range(7)))).ok
    assert not [call for call in lab.writes[before:] if "download-url" in call]


async def test_a_container_is_made_from_a_template_that_its_node_downloads(lab: Lab) -> None:
    web = (
        f"{HEAD}kind: Container\nmetadata: {{name: web}}\nspec: {{template: Image/base, rootDisk: {{storage: btr}}}}\n"
    )
    result = await applied(lab, TEMPLATE, web)
    assert result.ok, brief(result)
    assert lab.only().config["hostname"] == "web"
    assert f"local:vztmpl/innkeeper-base-{SUM[:12]}.tar.zst" in {
        item.volid for item in lab.sim.cluster.volumes.values()
    }


async def test_a_download_that_fails_makes_no_guest_and_the_next_run_recovers(lab: Lab) -> None:
    lab.faults('{rules: [{"on": {task: download}, times: 0, do: fail-task, text: "download failed: 404 Not Found"}]}')
    result = await applied(lab, DOWNLOADED, vm("vm"))
    assert result.results[0].state == "failed"
    assert "404 Not Found" in result.results[0].error
    assert not lab.guests
    lab.faults("{}")
    assert (await applied(lab, DOWNLOADED, vm("vm"))).ok


@needs_nix
async def test_what_nix_builds_is_uploaded_whole_and_imported(lab: Lab) -> None:
    flake(lab, COPIES % 70_000)
    result = await applied(lab, BUILT, vm("one"), vm("two"))
    assert result.ok, brief(result)
    (volume,) = images(lab)
    assert images(lab)[volume] == 70_000 * 49 > 3 << 20
    assert lab.writes.count("POST /nodes/pve1/storage/local/upload") == 1
    assert any("disk.drv" in event.message for event in lab.events if event.phase == "image"), "Nix is heard"


@needs_nix
@pytest.mark.parametrize("trouble", ["lose-answer", "drop", "timeout, seconds: 0.2"])
@pytest.mark.parametrize("way", ["download-url", "upload"])
async def test_an_answer_that_is_lost_makes_one_guest_all_the_same(lab: Lab, way: str, trouble: str) -> None:
    flake(lab, COPIES % 1)
    lab.faults(f'{{rules: [{{"on": {{method: POST, path: "/nodes/*/storage/*/{way}"}}, do: {trouble}}}]}}')
    result = await applied(lab, BUILT if way == "upload" else DOWNLOADED, vm("vm"))
    assert result.ok, brief(result)
    assert lab.only().config["name"] == "vm"
    assert len(images(lab)) == 1


@needs_nix
async def test_a_build_that_fails_says_why_and_leaves_what_is_there(lab: Lab) -> None:
    flake(lab, COPIES % 1)
    assert (await applied(lab, BUILT, vm("vm"))).ok
    old = lab.only().config["description"]
    flake(lab, "echo the compiler is on fire >&2; exit 3")
    result = await applied(lab, BUILT, vm("vm"), replace=frozenset({"vm"}))
    assert result.results[0].state == "failed"
    assert "the compiler is on fire" in result.results[0].error
    assert "nix build" in result.results[0].error
    assert lab.only().config["description"] == old


@needs_nix
async def test_a_new_image_is_a_new_guest_once_somebody_says_so(lab: Lab) -> None:
    flake(lab, COPIES % 1)
    assert (await applied(lab, BUILT, vm("vm"))).ok
    flake(lab, COPIES % 2)
    waiting = await applied(lab, BUILT, vm("vm"))
    assert [item.state for item in waiting.results] == ["skipped"]
    assert len(images(lab)) == 1
    assert (await applied(lab, BUILT, vm("vm"), replace=frozenset({"vm"}))).ok
    assert len(images(lab)) == 2
    assert not (await applied(lab, BUILT, vm("vm"))).plan.changes_anything


@needs_nix
async def test_where_nothing_is_built_it_is_said(lab: Lab) -> None:
    flake(lab, COPIES % 1)
    result = await applied(lab, BUILT, vm("vm"), builder=None)
    assert "would have to be built" in result.results[0].error
    assert not lab.guests


@needs_nix
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("mkdir $out", "holds no file *.qcow2"),
        ("mkdir $out; echo > $out/a.qcow2; echo > $out/b.qcow2", "holds 2 files *.qcow2"),
    ],
)
async def test_an_output_that_is_not_one_image_is_said(lab: Lab, script: str, said: str) -> None:
    flake(lab, script)
    result = await applied(lab, BUILT, vm("vm"))
    assert said in result.results[0].error
    assert not lab.guests


@needs_nix
def test_what_cannot_be_evaluated_names_the_flake(tmp_path: Path) -> None:
    (tmp_path / "flake.nix").write_text("{ outputs = { self }: { }; }")
    found = nixbuild.derive(tmp_path, "images.disk")
    assert not isinstance(found, str)
    assert found.code == "NixFailed"
    assert "does not provide attribute" in found.summary
    assert found.location is not None
    assert found.location.file == str(tmp_path / "flake.nix")


@needs_nix
def test_a_secret_of_the_environment_does_not_reach_nix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "canary-5ec2e7")
    (tmp_path / "flake.nix").write_text('{ outputs = { self }: { x = throw "<${builtins.getEnv "CANARY"}>"; }; }')
    found = nixbuild.derive(tmp_path, "x")
    assert not isinstance(found, str)
    assert "<>" in found.summary
