"""A container's template built by a real Nix from the repository, uploaded, booted; and its next version."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pvesim.template import cache
from tests.innkeeper.inside.world import HEAD, World, start
from tests.innkeeper.nixhere import CONFIG, needs_nix

FLAKE = """\
{ outputs = { self }: {
    appliance = derivation {
      name = "appliance.tar.gz";
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [ "-c" "gzip -1 -c ${./rootfs.tar} > $out" ];
    };
  };
}
"""
IMAGE = HEAD.format("Image", "appliance") + (
    "  format: tar.gz\n  nix: {flake: image, output: appliance}\n  replaceGuests: true\n"
)
NIX = {"NIX_CONFIG": CONFIG}

pytestmark = needs_nix


@pytest.fixture(scope="module")
def world(template: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = start(tmp_path_factory.mktemp("images"), 65)
    yield made
    made.close()


def rootfs(world: World, says: str) -> None:
    """Debian with one more file, as the flake's only source."""
    place = world.manifests / "image"
    place.mkdir(exist_ok=True)
    (place / "flake.nix").write_text(FLAKE)
    archive = cache.archive("local:vztmpl/debian-12_amd64.tar.zst")
    tar = place / "rootfs.tar"
    with tar.open("wb") as stream:
        subprocess.run(["zstd", "--decompress", "--stdout", "--quiet", str(archive)], stdout=stream, check=True)
    (world.folder / "etc").mkdir(exist_ok=True)
    (world.folder / "etc/appliance").write_text(f"{says} in {world.folder.name}\n")
    append = ["tar", "--append", "--file", str(tar), "--directory", str(world.folder), "--owner=0", "--group=0"]
    subprocess.run([*append, "etc/appliance"], check=True)


def test_a_container_from_an_image_that_nix_built_and_its_next_version(world: World) -> None:
    rootfs(world, "first")
    world.declare("image.yaml", IMAGE)
    world.container("box", 501, "template: Image/appliance", "running: true", "health: [{tcp: 22}]")
    plan = world.innkeeper("plan", "--source", "inside", env=NIX)
    assert "image appliance is built first" in plan.out, plan.all
    world.apply("--wait", env=NIX)
    assert world.pct(501, "cat /etc/appliance").startswith("first in ")
    again = world.apply("-o", "json", env=NIX).json
    assert again["calls"]["write"] == 0

    rootfs(world, "second")
    waiting = world.apply(ok=False, env=NIX)
    assert "needs --replace box" in waiting.all
    assert world.pct(501, "cat /etc/appliance").startswith("first in ")
    world.apply("--replace", "box", "--wait", env=NIX)
    assert world.pct(501, "cat /etc/appliance").startswith("second in ")
    kept = [Path(row) for row in (world.folder / "manifests").rglob("result*")]
    assert not kept, "nothing of the build is left among the manifests"
