"""The published examples: planned to the calls that their documents state, made, and the same once converted."""

import shutil
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner

from innkeeper.cli.program import app
from innkeeper.configure.roles import Roles as RoleHashes
from innkeeper.manifests.loading import Loaded
from innkeeper.model.objects import Guest
from tests.innkeeper.formats.world import EXAMPLES, World, calls, read

NIX = pytest.mark.skipif(shutil.which("nix") is None, reason="needs: nix")
NAMES = [
    "container-monorepo",
    "app-projects",
    "proxnix",
    pytest.param("proxnix-flake", marks=NIX),
    "vitistack",
]


def example(name: str, world: World) -> list[Path]:
    if name == "vitistack":  # its cluster is a real one's address
        return [EXAMPLES / name / "machine.yaml", world.cluster("homelab")]
    return [EXAMPLES / name, world.cluster()]


def meant(loaded: Loaded) -> dict[str, object]:
    """What is declared, without where it stands."""
    return {str(guest.ref): _meant(guest) for guest in loaded.declared.guests}


def _meant(guest: Guest) -> object:
    spec = guest.spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    spec.pop("cluster", None)
    configure = spec.get("configure")
    if isinstance(configure, dict):
        configure.pop("secrets", None)  # paths, which are compared by what they lead to
    return spec, sorted(guest.labels), [RoleHashes().digest(role) for role in guest.roles]


@pytest.mark.parametrize("name", NAMES)
async def test_it_plans_to_the_calls_that_its_document_states(
    name: str, world: World, snapshot: SnapshotAssertion
) -> None:
    loaded = read(*example(name, world))
    assert loaded.ok, [str(item) for item in loaded.diagnostics]
    assert calls(await world.plan(loaded)) == snapshot


@pytest.mark.parametrize("name", NAMES)
async def test_it_comes_up_and_a_second_run_writes_nothing(name: str, world: World) -> None:
    loaded = read(*example(name, world))
    result = await world.apply(loaded)
    assert [(str(item.step.ref), item.error) for item in result.results if item.state != "done"] == []
    running = {vmid for vmid, guest in world.sim.cluster.guests.items() if guest.running is not None}
    assert running == {guest.spec.vmid for guest in loaded.declared.guests}
    assert calls(await world.plan(loaded)) == {}


@pytest.mark.parametrize("name", NAMES)
async def test_what_convert_writes_plans_the_same(name: str, world: World, tmp_path: Path) -> None:
    first, *others = example(name, world)
    original = read(first, *others)
    target = tmp_path / "native"
    done = CliRunner().invoke(app, ["convert", str(first), "--output-dir", str(target)])
    assert done.exit_code == 0, done.output
    converted = read(target, *others, written="native")
    assert [item for item in converted.diagnostics if item.severity == "error"] == []
    assert meant(converted) == meant(original)
    assert calls(await world.plan(converted)) == calls(await world.plan(original))
    stores = [guest.spec.configure.secrets for guest in converted.declared.guests if guest.spec.configure]
    for vault in {store.vault for found in stores for store in found.values() if store.vault}:
        assert (target / vault).resolve().parent.is_dir()


@pytest.mark.parametrize("name", ["container-monorepo", "vitistack"])
def test_to_standard_output(name: str) -> None:
    done = CliRunner().invoke(app, ["convert", str(EXAMPLES / name)])
    assert done.exit_code == 0, done.output
    assert done.output.count("apiVersion: innkeeper.dev/v1alpha1") == {"container-monorepo": 5, "vitistack": 2}[name]


def test_existing_guests_are_taken_over_only_when_asked(tmp_path: Path) -> None:
    runner, source = CliRunner(), str(EXAMPLES / "proxnix")
    assert "innkeeper.dev/adopt" not in runner.invoke(app, ["convert", source]).output
    assert runner.invoke(app, ["convert", "--adopt", source]).output.count("innkeeper.dev/adopt") == 2
    native = tmp_path / "native"
    for status in (0, 1):  # what is there is kept
        assert runner.invoke(app, ["convert", source, "--output-dir", str(native)]).exit_code == status


def test_nothing_to_convert(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["convert", str(tmp_path)])
    assert (done.exit_code, "nothing" in done.output or "no manifests" in done.output) == (1, True)
