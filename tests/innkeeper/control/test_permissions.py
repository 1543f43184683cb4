"""What the writer of a repository may not do unless whoever runs the server allows it by name."""

from dataclasses import replace
from pathlib import Path

import pytest

from innkeeper.control.rendering import judged
from innkeeper.control.requests import request
from innkeeper.model.jobs import Request
from innkeeper.model.plan import Json
from tests.innkeeper.control.home import container, home
from tests.innkeeper.nixhere import CONFIG, needs_nix

MACHINE = """\
apiVersion: innkeeper.dev/v1alpha1
kind: VirtualMachine
metadata: {{name: vm}}
spec:
  vmid: 200
  node: pve1
  memory: 1Gi
  options: {{{option}}}
"""
OWN_CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {name: evil}
spec:
  endpoints: ["https://192.0.2.66:8006"]
  credentials: {tokenID: "root@pam!full", tokenSecret: {env: TOKEN}}
---
"""
OWN_SOURCE = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Source
metadata: {name: mine}
spec: {url: /etc, allow: [args, roles, secrets]}
---
"""


IMAGE = f"""\
apiVersion: innkeeper.dev/v1alpha1
kind: Image
metadata: {{name: mine}}
spec: {{url: "http://169.254.169.254/latest/x.tar.gz", checksum: "sha256:{"0" * 64}"}}
---
"""
BUILD = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Image
metadata: {name: mine}
spec: {format: tar.gz, nix: {flake: images, output: image}}
---
"""
FLAKE = """\
{ outputs = { self }: { image = derivation {
    name = "x.tar.gz"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ];
}; }; }
"""


def machine(option: str) -> str:
    return MACHINE.format(option=option)


def inside(text: str) -> str:
    return container("web", 101, configure=text)


ATTACKS = [
    pytest.param(container("web", 101, unprivileged="false"), "privileged", "spec.unprivileged", id="privileged"),
    pytest.param(
        container("web", 101, mounts="[{path: /host, source: /etc}]"), "bindMounts", "/etc of the node", id="bind mount"
    ),
    pytest.param(container("web", 101, features="{mknod: true}"), "privileged", "mknod", id="mknod"),
    pytest.param(container("web", 101, options="{dev0: /dev/sda}"), "devices", "spec.options.dev0", id="device"),
    pytest.param(
        container("web", 101, options='{hookscript: "local:snippets/x.sh"}'), "hookscripts", "script", id="hookscript"
    ),
    pytest.param(machine('args: "-device evil"'), "args", "reach QEMU", id="args"),
    pytest.param(machine('hostpci0: "0000:01:00"'), "devices", "hostpci0", id="pci"),
    pytest.param(machine('ide2: "file=/etc/shadow,media=cdrom"'), "devices", "ide2", id="file as a drive"),
    pytest.param(machine('virtiofs0: "secrets"'), "bindMounts", "virtiofs0", id="virtiofs"),
    pytest.param(machine('serial0: /dev/ttyS0'), "devices", "serial0", id="serial"),
    pytest.param(
        machine("").replace("  options: {}\n", "  disks: [{slot: scsi0, importFrom: /etc/shadow, size: 1Gi}]\n"),
        "devices", "importFrom", id="import"),
    pytest.param(container("web", 101, template="/etc/shadow"), "devices", "spec.template", id="template"),
    pytest.param(machine('usb0: "host=1234:5678"'), "devices", "usb0", id="usb"),
    pytest.param(
        inside("{secrets: {all: {files: /}}, roles: [{role: base}]}"), "secrets", "secret store", id="secret files"
    ),
    pytest.param(
        inside("{secrets: {v: {vault: v.yml, vaultPasswordCommand: touch /tmp/owned}}, roles: [{role: base}]}"),
        "secrets", "secret store", id="password command"),
    pytest.param(
        inside("{roles: [{role: base, vars: {base_x: {secretRef: {name: env, key: TOKEN}}}}]}"),
        "secrets", "environment", id="environment"),
    pytest.param(
        inside("{roles: [{role: web, vars: {ansible_connection: local}}]}"),
        "roles", "vars.ansible_connection", id="tasks on the server"),
    pytest.param(
        inside("{roles: [{role: base, vars: {ansible_ssh_common_args: -oProxyCommand=id}}]}"),
        "roles", "vars.ansible_ssh_common_args", id="commands on the server"),
    pytest.param(
        inside("{roles: [{role: app_setup, vars: {release_bundle: /etc/shadow}}]}"),
        "roles", "vars.release_bundle", id="a file of the server"),
    pytest.param(
        inside("{roles: [{role: recipe, vars: {recipe_cookbook: /var/lib/innkeeper}}]}"),
        "roles", "vars.recipe_cookbook", id="a directory of the server"),
    pytest.param(
        IMAGE + container("web", 101, template="Image/mine"), "images", "Image/mine is downloaded", id="download"
    ),
    pytest.param(OWN_CLUSTER + container("web", 101, cluster="lab"), "clusters", "Cluster/evil", id="cluster"),
    pytest.param(OWN_SOURCE + container("web", 101), "", "cannot tell a server", id="source"),
    pytest.param(inside("{roles: [{role: innkeeper}]}"), "controlPlane", "hands this server's keys on", id="server"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "permission", "said"), ATTACKS)
async def test_a_repository_does_not_rise_above_its_guests(
    tmp_path: Path, text: str, permission: str, said: str
) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(bad=text, good=container("good", 150))
        job = await house.sync()
        assert job.state == "failed"
        found = [item for item in job.result["diagnostics"] if item["code"] == "NotAllowed"]  # type: ignore[union-attr,index,call-overload]
        assert found, job.result
        assert any(said in str(item) for item in found), found
        assert all(item["file"] == "bad.yaml" and item["line"] for item in found)  # type: ignore[index,call-overload]
        assert not permission or any(f"allow: [{permission}]" in str(item) for item in found)
        assert house.writes == []


@needs_nix
@pytest.mark.parametrize("allowed", [False, True])
async def test_images_are_built_only_where_it_is_allowed(
    tmp_path: Path, allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIX_CONFIG", CONFIG)
    async with home(tmp_path, "allow: [images]" if allowed else "interval: 1h") as house:
        place = house.upstream.work / "images"
        place.mkdir()
        (place / "flake.nix").write_text(FLAKE)
        house.upstream.push(web=BUILD + container("web", 101, template="Image/mine"))
        job = await house.sync()
        if allowed:
            assert job.state == "succeeded", job.error
            assert house.guests[101].config["hostname"] == "web"
        else:
            assert job.state == "failed"
            assert "allow: [images]" in str(job.result)
            assert house.writes == []


async def test_a_stranger_s_flake_is_never_evaluated(tmp_path: Path) -> None:
    place = tmp_path / "proposal"
    (place / "images").mkdir(parents=True)
    (place / "images/flake.nix").write_text(FLAKE)
    (place / "web.yaml").write_text(BUILD + container("web", 101, template="Image/mine"))
    asked: list[str] = []

    def derive(directory: Path, output: str) -> str:
        asked.append(output)
        return f"/nix/store/{'0' * 32}-x.drv"

    async with home(tmp_path, "allow: [images]") as house:
        mine = replace(house.house, derive=derive)
        ours = judged(mine, mine.source("home"), "r1", place)
        assert (ours.loaded.ok, asked) == (True, ["image"])
        asked.clear()
        theirs = judged(mine, mine.source("home"), "r1", place, strict=True)
        assert [item.code for item in theirs.loaded.diagnostics if item.severity == "error"] == ["NotEvaluated"]
        assert asked == []


async def test_own_roles_run_only_where_they_are_allowed(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        role = house.upstream.work / "roles" / "mine" / "tasks"
        role.mkdir(parents=True)
        (role / "main.yml").write_text("- command: touch /tmp/owned\n  delegate_to: localhost\n")
        house.upstream.push(web=container("web", 101, configure="{roles: [{role: mine}]}"))
        job = await house.sync()
        assert job.state == "failed"
        assert "the repository's own code" in job.error
        assert house.writes == []


async def test_what_is_allowed_goes(tmp_path: Path) -> None:
    async with home(tmp_path, "allow: [privileged]") as house:
        house.upstream.push(web=container("web", 101, unprivileged="false"))
        job = await house.sync()
        assert job.state == "succeeded", job.error
        assert house.guests[101].config.get("unprivileged", "0") == "0"


async def test_the_server_s_own_cluster_counts_whatever_the_repository_says_of_it(tmp_path: Path) -> None:
    async with home(tmp_path) as house:
        house.upstream.push(web=OWN_CLUSTER.replace("evil", "lab") + container("web", 101))
        job = await house.sync()
        assert job.state == "succeeded", job.error
        assert house.guests[101].config["hostname"] == "web"


async def test_the_repository_of_a_control_plane_holds_what_its_server_is_told(tmp_path: Path) -> None:
    async with home(tmp_path, "allow: [controlPlane]") as house:
        house.upstream.push(web=OWN_SOURCE + container("web", 101))
        job = await house.sync()
        assert job.state == "succeeded", job.error
        assert set(house.house.sources) == {"home"}, "by its configuration alone"


async def test_a_source_keeps_to_its_clusters(tmp_path: Path) -> None:
    async with home(tmp_path, "clusters: []") as house:
        house.upstream.push(web=container("web", 101, cluster="lab"))
        job = await house.sync()
        assert job.state == "failed"
        assert house.writes == []


async def test_a_repository_takes_no_name_of_the_servers_clusters(tmp_path: Path) -> None:
    async with home(tmp_path, "allow: [clusters]", "clusters: []") as house:
        house.upstream.push(lab=OWN_CLUSTER.replace("evil", "lab"), web=container("web", 101, cluster="lab"))
        job = await house.sync()
        assert job.state == "failed"
        assert "the server has a Cluster/lab of its own" in job.error


async def test_a_stranger_s_flake_is_not_evaluated(tmp_path: Path) -> None:
    """A flake is a program. A fork's pull request is planned without; a branch of the repository itself with it."""
    evaluated: list[Path] = []

    def evaluate(directory: Path) -> str:
        evaluated.append(directory)
        return '{"vms": {}}'

    async with home(tmp_path, "format: proxnix") as house:
        object.__setattr__(house.house, "evaluate", evaluate)
        (house.upstream.work / "flake.nix").write_text("{ outputs = { self }: { proxnix = { }; }; }")
        house.upstream.push("A flake")
        for trusted in (False, True):
            payload: dict[str, Json] = {"ref": "refs/heads/main", "trusted": trusted}
            await house.done(await request(house.house, Request("plan", "home", payload=payload)))
            assert bool(evaluated) == trusted
