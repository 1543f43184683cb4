"""Stacks of layers: what is kept, what is shared, what goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvesim.backends.lxc.layers import Layers
from pvesim.cluster.state import Volume


def volume(name: str, vmid: int = 101) -> Volume:
    return Volume(f"btr:{vmid}/{name}", "pve", 2**30, "raw", "rootdir", vmid)


def write(layers: Layers, target: Volume, name: str, text: str = "x") -> None:
    """What the overlay's top would get."""
    (layers.folder / layers.stack(target)["top"] / name).write_text(text)


def numbered(layers: Layers) -> set[str]:
    return {path.name for path in layers.folder.iterdir() if path.name.isdigit()}


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    (tmp_path / "layers/base-x").mkdir(parents=True)
    return Layers(tmp_path / "layers")


async def test_a_stopped_volume_is_sealed_without_a_copy(layers: Layers) -> None:
    root = volume("a")
    layers.plant(root, ["base-x"])
    write(layers, root, "file")
    top = layers.stack(root)["top"]
    assert await layers.seal(root, mounted=False) == [top, "base-x"]
    assert layers.stack(root)["top"] != top
    *_, how = layers.mount(root)
    assert how.startswith(f"lowerdir={top}:base-x,upperdir={layers.stack(root)['top']},")


async def test_below_a_running_container_the_top_is_copied(layers: Layers) -> None:
    root = volume("a")
    layers.plant(root, ["base-x"])
    write(layers, root, "file", "then")
    before = layers.stack(root)["top"]
    copy, *below = await layers.seal(root, mounted=True)
    assert (below, layers.stack(root)["top"]) == (["base-x"], before)
    write(layers, root, "file", "now")
    assert (layers.folder / copy / "file").read_text() == "then"


async def test_an_unchanged_volume_needs_no_layer(layers: Layers) -> None:
    root = volume("a")
    layers.plant(root, ["base-x"])
    assert await layers.seal(root, mounted=False) == ["base-x"]
    assert await layers.seal(root, mounted=True) == ["base-x"]


async def test_only_what_nobody_refers_to_is_collected(layers: Layers) -> None:
    root, clone = volume("a"), volume("b", 102)
    layers.plant(root)
    write(layers, root, "file")
    sealed = await layers.seal(root, mounted=False)
    layers.stack(root)["snapshots"]["before"] = sealed
    layers.plant(clone, sealed)
    layers.restore(root, ())
    backup = Volume(
        "local:backup/x", "pve", 1, "tar", "backup", extra={"disks": {"rootfs": {"layers": {"below": sealed}}}}
    )
    for held in ([root, clone, backup], [clone, backup], [backup]):
        await layers.collect(held)
        assert set(sealed) <= numbered(layers)
    await layers.collect([])
    assert numbered(layers) == set()


async def test_snapshots_outlive_a_rollback(layers: Layers) -> None:
    root = volume("a")
    layers.plant(root, ["base-x"])
    write(layers, root, "file")
    layers.stack(root)["snapshots"]["one"] = await layers.seal(root, mounted=False)
    layers.restore(root, layers.stack(root)["snapshots"]["one"])
    assert layers.stack(root)["snapshots"]["one"] == layers.stack(root)["below"]


async def test_a_layer_has_the_owner_and_mode_of_the_one_below(layers: Layers) -> None:
    root = volume("a")
    layers.plant(root)
    write(layers, root, "file")
    (layers.folder / layers.stack(root)["top"]).chmod(0o700)
    await layers.seal(root, mounted=False)
    assert (layers.folder / layers.stack(root)["top"]).stat().st_mode & 0o777 == 0o700
