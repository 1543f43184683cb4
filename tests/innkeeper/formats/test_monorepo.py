"""The container monorepo, line by line: layers, stages, shared settings, mounts, what configures a container."""

from pathlib import Path

import pytest

from innkeeper.manifests.formats.monorepo.submodules import Refused, Submodule, read_submodules, resolved
from innkeeper.manifests.loading import load
from innkeeper.model.guests import ContainerSpec
from tests.innkeeper.formats.trees import CLUSTER, errors, loaded, only, written

BASE = "IP=192.168.178.42\nID=142\nCORES=2\nMEMORY=2048\nSWAP=512\nDISK=local-lvm:8\nBOOT=yes\n"


def spec_of(tmp_path: Path, files: dict[str, str | bytes]) -> ContainerSpec:
    spec = only(loaded(tmp_path, files)).spec
    assert isinstance(spec, ContainerSpec)
    return spec


@pytest.mark.parametrize("name", ["config.env", "container.env"])
def test_a_container(tmp_path: Path, name: str) -> None:
    spec = spec_of(tmp_path, {f"libs/apache/{name}": BASE})
    assert (spec.vmid, spec.hostname, spec.start_on_boot, spec.running) == (142, "apache", True, True)
    assert spec.cpu and spec.cpu.cores == 2
    assert (spec.memory, spec.swap) == (2048 << 20, 512 << 20)
    assert spec.root_disk and (spec.root_disk.storage, spec.root_disk.size) == ("local-lvm", 8 << 30)
    assert spec.network and (spec.network[0].ip, spec.network[0].bridge) == ("192.168.178.42/24", "vmbr0")


def test_later_layers_win_and_quotes_and_comments_are_read(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "libs/web/container.env": "export IP=\"10.0.0.5\" # here\nID='105'\nMEMORY=512\nCORES=1\n",
        "libs/web/container.local.env": "MEMORY=1024\nCORES=2\n",
        "libs/web/container.main.env": "CORES=3",
    }
    spec = spec_of(tmp_path, files)
    assert (spec.vmid, spec.memory, spec.cpu and spec.cpu.cores) == (105, 1024 << 20, 3)


def test_a_stage_is_a_container_of_its_own(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "libs/web/container.env": BASE,
        "libs/web/container.stage.env": "IP=192.168.178.43\nMEMORY=512\n",
    }
    found = loaded(tmp_path, files)
    assert found.ok
    one, two = (guest.spec for guest in found.declared.guests)
    assert (one.vmid, two.vmid) == (142, None), "two guests cannot share an id"
    assert (two.hostname, two.memory) == ("stage-web", 512 << 20)
    assert dict(found.declared.guests[1].labels)["innkeeper.dev/environment"] == "stage"
    wrong = loaded(tmp_path / "b", {**files, "libs/web/container.stage.env": "MEMORY=512\n"})
    assert errors(wrong) == ["container.env:1 MissingField: the stage stage has no IP of its own"]


def test_an_id_below_100_explains_itself(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"libs/apache/config.env": BASE.replace("ID=142", "ID=42")})
    (wrong,) = (item for item in found.diagnostics if item.severity == "error")
    assert wrong.summary == "ID=42: Proxmox VE keeps the ids below 100 for itself and refuses them"
    assert "ID=142" in wrong.detail
    assert wrong.location is not None
    assert (Path(wrong.location.file).name, wrong.location.line) == ("config.env", 2)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("MEMORY=2GB", 'container.env:2 BadValue: MEMORY="2GB" is not a whole number'),
        ("DISK=local-lvm", 'container.env:2 BadValue: DISK="local-lvm" is not a storage with a size in GB'),
        ("BOOT=maybe", 'container.env:2 BadValue: BOOT="maybe" is neither yes nor no'),
        ("MOUNT=relative/path", 'container.env:2 BadValue: MOUNT: "relative/path" is none of its three forms'),
        ("HOSTNAME=a,b=c", "container.env:2 UnsafeValue"),
        ("IP=10.0.0.1", "container.env:2 DuplicateKey: IP is given twice, first in line 1"),
        ("not a line", 'container.env:2 BadLine: "not a line" is not of the form KEY=VALUE'),
        ('DISK="local:8', "container.env:2 BadLine: DISK: a quote is opened and not closed in the same line"),
        ("DISK=local,import-from=x:8", "container.env:2 BadValue"),
        ("ID=9999999999999999", "container.env:2 BadValue"),
    ],
)
def test_mistakes_are_named_in_the_original_file(tmp_path: Path, line: str, problem: str) -> None:
    found = errors(loaded(tmp_path, {"libs/web/container.env": f"IP=10.0.0.5\n{line}\n"}))
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_an_address_that_smuggles_a_setting(tmp_path: Path) -> None:
    (wrong,) = errors(loaded(tmp_path, {"libs/web/container.env": "IP=10.0.0.5,bridge=vmbr9\n"}))
    assert wrong.startswith("container.env:1 BadValue: spec.network[0].ip")


def test_a_word_that_was_nearly_a_setting(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"libs/web/container.env": "IP=dhcp\nCORE=2\n"})
    assert [item.summary for item in found.diagnostics] == ["CORE is no setting of a container; CORES is"]


def test_the_three_forms_of_a_mount(tmp_path: Path) -> None:
    mount = "MOUNT=/mnt/ext:/data, local-lvm:8:/var/lib/db ,/dev/net/tun,media"
    files: dict[str, str | bytes] = {
        "libs/web/container.env": f"IP=10.0.0.5\n{mount}\n",
        "globals.json": '{"HOST": "10.0.0.9"}',
        "local/config.json": '{"login": "steven"}',
    }
    spec = spec_of(tmp_path, files)
    assert [(item.path, item.source, item.storage, item.size) for item in spec.mounts or ()] == [
        ("/data", "/mnt/ext", None, None),
        ("/var/lib/db", None, "local-lvm", 8 << 30),
    ]
    assert spec.options == {"dev0": "/dev/net/tun"}
    assert (spec.unprivileged, spec.features and spec.features.mount) == (False, ("cifs",))
    assert spec.configure
    share = next(call for call in spec.configure.roles if call.role == "share")
    assert share.vars["share_host"] == "10.0.0.9"
    assert share.vars["share_password"] == {"secretRef": {"name": "env", "key": "PASSWORD"}}


def test_a_share_is_served_by_the_container_of_that_name(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "libs/share/container.env": "IP=10.0.0.7\n",
        "libs/web/container.env": "IP=10.0.0.5\nMOUNT=media\n",
    }
    spec = {guest.ref.name: guest.spec for guest in loaded(tmp_path, files).declared.guests}["web"]
    assert spec.configure
    assert spec.configure.roles[1].vars["share_host"] == "10.0.0.7"
    (wrong,) = errors(loaded(tmp_path / "b", {"libs/web/container.env": "IP=10.0.0.5\nMOUNT=media\n"}))
    assert "not who serves it" in wrong


def test_shared_settings_reach_every_container(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "libs/web/container.env": "IP=10.0.0.5\n",
        "libs/web/recipes/default.rb": "package 'x'\nEnv.get(node, 'password')",
        "globals.json": '{"BASE_GATEWAY": "10.0.0.254", "BASE_MASK": "16", "MQTT": "m", "BASE_NODE": "pve9"}',
        "globals.local.json": '{"BASE_GATEWAY": "10.0.0.1"}',
        "local/config.json": '{"gateway": "", "bridge": "vmbr7", "template": "debian-13", "login": "steven"}',
    }
    spec = spec_of(tmp_path, files)
    assert spec.network
    nic = spec.network[0]
    assert (nic.ip, nic.gateway, nic.bridge) == ("10.0.0.5/16", "10.0.0.1", "vmbr7")
    assert (spec.template, spec.node) == ("debian-13", "pve9")
    assert spec.configure
    base, own = spec.configure.roles
    assert (base.role, own.role) == ("base", "libs/web")
    assert (own.vars["mqtt"], own.vars["login"], own.vars["ip"]) == ("m", "steven", "10.0.0.5")
    assert own.vars["password"] == {"secretRef": {"name": "env", "key": "PASSWORD"}}, "asked for, and never in text"


def test_the_cluster_of_config_json_keeps_its_secret_there(tmp_path: Path) -> None:
    config = '{"proxmox": {"host": "10.0.0.2", "user": "root@pam", "password": "canary-secret", "node": "pve"}}'
    source = written(tmp_path, {"libs/web/container.env": "IP=10.0.0.5\n", "local/config.json": config})
    found = load([source])
    (cluster,) = found.declared.clusters
    assert cluster.spec.endpoints == ("https://10.0.0.2:8006",)
    password = cluster.spec.credentials.password
    assert password is not None
    assert (password.file, password.key) == ("local/config.json", "proxmox.password")
    assert "canary" not in repr(found.declared)
    beside = written(tmp_path / "b", {"cluster.yaml": CLUSTER}) / "cluster.yaml"
    replaced = load([source, beside])
    assert [item.name for item in replaced.declared.clusters] == ["home"]
    assert "ClusterReplaced" in [item.code for item in replaced.diagnostics]


@pytest.mark.parametrize(
    ("files", "roles"),
    [
        ({"libs/web/tasks/main.yml": "[]"}, ["base", "libs/web"]),
        ({"libs/web/recipes/default.rb": "package 'x'"}, ["base", "libs/web"]),
        (
            {"libs/web/roles/a/tasks/main.yml": "[]", "libs/web/roles/b/tasks/main.yml": "[]"},
            ["base", "libs/web/roles/a", "libs/web/roles/b"],
        ),
        ({}, ["base"]),
    ],
)
def test_what_configures_a_container(tmp_path: Path, files: dict[str, str | bytes], roles: list[str]) -> None:
    guest = only(loaded(tmp_path, {"libs/web/container.env": "IP=10.0.0.5\n", **files}))
    assert guest.spec.configure
    assert [call.role for call in guest.spec.configure.roles] == roles
    assert all(Path(directory).is_dir() for directory in guest.roles)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"libs/web/config.env": "IP=dhcp"}, "config.env:0 DuplicateFile"),
        ({"libs/web/tasks/main.yml": "[]", "libs/web/recipes/default.rb": ""}, "default.rb:0 DuplicateFile"),
        ({"globals.json": "{'a': 1}"}, "globals.json:1 BadJSON"),
        ({"globals.json": "[" * 100_000}, "globals.json:0 TooDeep"),
        ({"globals.json": '{"a": 1, "a": 2}'}, "globals.json:0 DuplicateKey"),
        ({"libs/web/container.env": b"\xff\xfeI"}, "container.env:1 NotUTF8"),
        ({"libs/web/container.env": b"A" * ((32 << 20) + 1)}, "container.env:0 TooLarge"),
        ({"libs/Web_1/container.env": "IP=dhcp"}, "container.env:1 BadName"),
    ],
)
def test_files_that_cannot_be_meant(tmp_path: Path, files: dict[str, str | bytes], problem: str) -> None:
    found = errors(loaded(tmp_path, {"libs/web/container.env": "IP=dhcp\n", **files}))
    assert [line for line in found if line.startswith(problem)], found


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    written(tmp_path, {"elsewhere/container.env": BASE, "source/libs/web/container.env": BASE})
    (tmp_path / "source/libs/other").symlink_to(tmp_path / "elsewhere")
    (wrong,) = errors(loaded(tmp_path, {}))
    assert "other:0 UnsafeValue" in wrong
    assert "leads out of" in wrong


OWN = "https://git.example.org/main/config.git"


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("../web.git", "https://git.example.org/main/web.git"),
        ("https://git.example.org/main/web.git", "https://git.example.org/main/web.git"),
        ("https://user@git.example.org/main/web", "https://user@git.example.org/main/web"),
        ("https://mirror.example.org/infra/web.git", "https://mirror.example.org/infra/web.git"),
    ],
)
def test_submodules_are_followed_to_where_the_repository_comes_from(url: str, meant: str) -> None:
    allowed = ["https://mirror.example.org/infra"]
    assert resolved(Submodule("libs/web", url, 1), OWN, allowed) == meant


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("libs/web", "ext::sh -c touch% /tmp/x"),
        ("libs/web", "--upload-pack=touch /tmp/x"),
        ("libs/web", "file:///etc"),
        ("libs/web", "/srv/git/secret"),
        ("libs/web", "https://evil.example.org/main/web.git"),
        ("libs/web", "https://git.example.org/other/web.git"),
        ("libs/web", "https://git.example.org/main/../other/web.git"),
        ("libs/web", "../../other/web.git"),
        ("libs/web", "../../../../web.git"),
        ("libs/web", "https://git.example.org:99999/main/web"),
        ("libs/web", "https://git.example.org.evil.org/main/web"),
        ("libs/web", ""),
        ("libs/web", "https://git.example.org/main/web\nx"),
        ("../outside", "../web.git"),
        ("libs/../../outside", "../web.git"),
        ("/etc", "../web.git"),
        (".git/hooks", "../web.git"),
        ("libs/.GIT/x", "../web.git"),
        ("-x", "../web.git"),
    ],
)
def test_submodules_that_are_not_followed(path: str, url: str) -> None:
    with pytest.raises(Refused):
        resolved(Submodule(path, url, 1), OWN)


def test_an_ssh_remote() -> None:
    assert resolved(Submodule("libs/web", "../web.git", 1), "git@git.example.org:main/config.git") == (
        "git@git.example.org:main/web.git"
    )


def test_gitmodules_are_read_and_held_against_what_is_there(tmp_path: Path) -> None:
    text = (
        '[submodule "web"]\n\tpath = libs/web\n\turl = ../web.git\n[submodule "x"]\n\tpath = ../x\n\turl = ../x.git\n'
    )
    assert [item.path for item in read_submodules(text)] == ["libs/web", "../x"]
    files: dict[str, str | bytes] = {".gitmodules": text, "libs/other/container.env": "IP=dhcp"}
    written(tmp_path, {"source/libs/web/.keep": ""})
    (tmp_path / "source/libs/web/.keep").unlink()
    assert errors(loaded(tmp_path, files)) == [
        ".gitmodules:1 NotFound: the submodule libs/web was not fetched",
        '.gitmodules:4 UnsafeValue: this submodule is not followed: its path "../x" leads out of the repository',
    ]
