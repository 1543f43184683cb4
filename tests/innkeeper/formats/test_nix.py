"""Flakes: what a real `nix eval` gives, and what a hostile one does not get."""

import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from innkeeper.manifests.loading import load
from innkeeper.model.diagnostics import Diagnostic
from innkeeper.model.guests import VirtualMachineSpec
from innkeeper.sources import nix
from tests.innkeeper.formats.trees import CLUSTER, loaded, written
from tests.innkeeper.formats.world import EXAMPLES, read

pytestmark = pytest.mark.skipif(shutil.which("nix") is None, reason="needs: nix")


def flake(root: Path, output: str, **more: str) -> Path:
    return written(root / "flake", {"flake.nix": f"{{ outputs = {{ self }}: {{ proxnix = {output}; }}; }}", **more})


def refused(directory: Path) -> str:
    found = nix.evaluate(directory)
    assert isinstance(found, Diagnostic), found
    assert "\n" not in found.summary
    return f"{found.code}: {found.summary}"


def test_the_machines_of_a_flake(tmp_path: Path) -> None:
    cluster = written(tmp_path, {"cluster.yaml": CLUSTER}) / "cluster.yaml"
    found = read(EXAMPLES / "proxnix-flake", cluster)
    assert found.ok
    one, two = (guest.spec for guest in found.declared.guests)
    assert isinstance(one, VirtualMachineSpec)
    assert (one.vmid, one.protected, two.vmid, two.protected) == (811, True, 810, False)
    assert one.disks and one.disks[0].import_from == "local:import/my-server.qcow2"


def test_an_image_that_is_declared_beside_is_built_in_place_of_the_volume(tmp_path: Path) -> None:
    image = (
        "apiVersion: innkeeper.dev/v1alpha1\nkind: Image\nmetadata: {name: my-server}\nspec: {nix: {output: disk}}\n"
    )
    shutil.copytree(EXAMPLES / "proxnix-flake", tmp_path / "machines")
    written(tmp_path / "machines", {"cluster.yaml": CLUSTER, "images.yaml": image})
    derivation = f"/nix/store/{'d' * 32}-disk.drv"
    found = load([tmp_path / "machines"], None, nix.evaluate, derive=lambda flake, output: derivation)
    assert found.ok, found.diagnostics
    assert "ImageReplaced" in {item.code for item in found.diagnostics}
    for guest in found.declared.guests:
        assert isinstance(guest.spec, VirtualMachineSpec)
        assert (
            guest.spec.disks
            and guest.spec.disks[0].import_from == "local:import/innkeeper-my-server-dddddddddddd.qcow2"
        )
        assert guest.images[0].build is not None


def test_a_mistake_names_the_flake(tmp_path: Path) -> None:
    cluster = written(tmp_path, {"cluster.yaml": CLUSTER}) / "cluster.yaml"
    found = read(flake(tmp_path, '{ vms.web = { image_type = "x"; memory = 5; }; }'), cluster)
    (wrong,) = (item for item in found.diagnostics if item.severity == "error")
    assert wrong.location is not None
    assert Path(wrong.location.file).name == "flake.nix"
    assert wrong.summary == "vms.web.memory: there is no such field"
    assert "memory_mb" in wrong.detail


@pytest.mark.parametrize(
    "expression",
    [
        'throw "no"',
        'abort "no"',
        "nonsense",
        'builtins.readFile "/etc/passwd"',
        "builtins.readDir /root",
        'builtins.getFlake "github:nixos/nixpkgs"',
        'builtins.fetchurl "http://127.0.0.1:1/x"',
        'builtins.fetchGit "file:///etc"',
        "let f = x: f (x + 1); in f 0",
        'builtins.exec [ "touch" "/tmp/nix-was-here" ]',
        'import (derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ ]; })',
    ],
)
def test_a_hostile_flake_gets_nothing(tmp_path: Path, expression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nix, "SECONDS", 8)
    assert refused(flake(tmp_path, expression)).startswith("NixFailed: its output proxnix ")
    assert not Path("/tmp/nix-was-here").exists()


def test_a_flake_reaches_no_network(tmp_path: Path) -> None:
    """What names its hash may be fetched even by a pure evaluation: nobody is called all the same."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        url, digest = f"http://127.0.0.1:{server.server_port}/x", "0" * 64
        fetched = f'builtins.readFile (builtins.fetchurl {{ url = "{url}"; sha256 = "{digest}"; }})'
        assert refused(flake(tmp_path, fetched)).startswith("NixFailed")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert called == []


def test_no_secret_of_ours_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "canary-value")
    assert nix.evaluate(flake(tmp_path, '{ x = builtins.getEnv "CANARY"; }')) == '{"x":""}'


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    directory = flake(tmp_path, "{ vms = { }; }")
    assert nix.evaluate(directory) == '{"vms":{}}'
    assert [path.name for path in directory.iterdir()] == ["flake.nix"], "no lock file, no result"


def test_a_huge_directory_is_not_copied(tmp_path: Path) -> None:
    directory = flake(tmp_path, "{ }")
    with (directory / "large").open("wb") as stream:
        stream.truncate(65 << 20)
    assert refused(directory).startswith("TooLarge")


def test_without_anybody_to_evaluate_it(tmp_path: Path) -> None:
    text = "{ outputs = { self }: { proxnix = { vms = { }; }; }; }"
    assert [item.code for item in loaded(tmp_path, {"flake.nix": text}).diagnostics] == ["NotEvaluated"]
