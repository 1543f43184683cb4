"""Whatever stands in a file of another format, reading it ends in findings; what is read well converts to the same."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from innkeeper.engine.describe import insides
from innkeeper.manifests.formats.conversion import native
from innkeeper.manifests.loading import Loaded, load
from innkeeper.manifests.writing import to_yaml
from innkeeper.model.observed import Node
from innkeeper.model.sources import Format
from innkeeper.planner.build import plan
from innkeeper.planner.policy import Insights, Policy
from tests.innkeeper.formats.trees import CLUSTER, written
from tests.innkeeper.planner import worlds

QUICK = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FILES: Mapping[Format, tuple[str, ...]] = {
    "container-monorepo": (
        "libs/web/container.env",
        "libs/web/container.stage.env",
        "libs/web/recipes/default.rb",
        "globals.json",
        "local/config.json",
        ".gitmodules",
    ),
    "app-projects": ("group_vars/all.yml", "group_vars/all/vault.yml", "ansible.cfg"),
    "proxnix": ("config.json",),
    "vitistack": ("machine.yaml",),
}
ENV = "IP=10.0.0.5\nID=105\nCORES=2\nMEMORY=512\nDISK=local:8\nMOUNT=/a:/b,share,/dev/x\nBOOT=yes\nHOSTNAME=web\n"
INVENTORY = """\
proxmox_host: pve
lxc_memory_mb: "512"
app_projects:
  shop: {envs: {dev: {name: shop-dev, vmid: 201, ip: 10.0.0.5/24, env_vars: {A: "{{ vault_a }}"}}}, repo: "{{ x }}"}
"""
MACHINE = """\
apiVersion: vitistack.io/v1alpha1
kind: Machine
metadata: {name: web, labels: {cluster.vitistack.io/cluster-name: home}}
spec: {cpu: {cores: 2}, memory: 536870912, disks: [{name: a, size: 20G, type: virtio}], bootOrder: [disk, cdrom]}
"""
CONFIG = '{"proxmox": {"host": "pve", "user": "a@pam", "token": "t"}, "gateway": "10.0.0.1", "mask": "255.255.255.0"}'
VMS = '{"vms": {"a": {"vm_id": 800, "image_type": "x", "memory_mb": 512, "disk_gb": 8, "cloud_init": "None"}}}'
VALID = {
    "libs/web/container.env": ENV,
    "libs/web/container.stage.env": "IP=10.0.0.6\nID=106\n",
    "libs/web/recipes/default.rb": "package 'x'",
    "globals.json": '{"HOST": "10.0.0.9", "a": [1, {"b": null}]}',
    "local/config.json": CONFIG,
    ".gitmodules": '[submodule "a"]\npath = libs/web\nurl = ../web.git\n',
    "group_vars/all.yml": INVENTORY,
    "group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n3031\n",
    "ansible.cfg": "[defaults]\nvault_password_file = .pass\n",
    "config.json": VMS,
    "machine.yaml": MACHINE,
}
PIECES = st.sampled_from(
    [
        "=",
        "'",
        '"',
        "#",
        ":",
        ",",
        "{{a}}",
        "{%x%}",
        "{",
        "}",
        "[",
        "]",
        "null",
        "-1",
        "1e999",
        "NaN",
        "ext::",
        "..",
        "/",
        "ID=",
        "MOUNT=",
        "app_projects:",
        "vms",
        "é",
        "$ANSIBLE_VAULT;",
        "\n",
        "\t",
        "\r",
        "\x00",
        "\u2028",
        "99999999999999999999999999999999999999999999999999",
    ]
)


@st.composite
def mangled(draw: st.DrawFn, name: str) -> bytes:
    """A file that was valid until somebody did something to it, or was none ever."""
    text = VALID[name]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + draw(PIECES | st.text(max_size=6)) + text[end:]
    whole = text.encode("utf-8", "surrogatepass")
    return draw(st.just(whole) | st.binary(max_size=200) | st.binary(max_size=20).map(lambda tail: whole + tail))


def read(files: Mapping[str, str | bytes], form: Format) -> Loaded:
    home = Path(tempfile.mkdtemp())
    try:
        return load([written(home, files)], form)
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("form", FILES)
@given(data=st.data())
@QUICK
def test_no_content_of_any_file_is_an_exception(form: Format, data: st.DataObject) -> None:
    names = FILES[form]
    victim = data.draw(st.sampled_from(names))
    found = read({**{name: VALID[name] for name in names}, victim: data.draw(mangled(victim))}, form)
    for item in found.diagnostics:
        json.dumps(item.to_json())
        assert "\n" not in item.summary


ODD: tuple[object, ...] = (
    *(None, True, 0, -1, 1.5, 10**30, "", " ", "\n", "a\nb", "\x1b[2J", "x,evil=1", "x=1;evil=1"),
    *("../../etc/passwd", "-rf", "{{ 7 * 7 }}", "{% x %}", "é" * 300, "x" * 100_000),
    *([], [None], [["x"]], {}, {"": ""}, {"x": {"y": ["z"]}}),
)
INVENTORY_WHOLE = """\
proxmox_host: pve
proxmox_user: a@pam
proxmox_node: pve
proxmox_guest_type: lxc
lxc_ostemplate: debian-12
lxc_storage: btr
lxc_rootfs_size_gb: 8
lxc_memory_mb: 512
lxc_bridge: vmbr0
app_projects:
  shop:
    repo: git@h:a.git
    deploy_key: "{{ vault_k }}"
    backend_port: 3001
    env_vars: {A: "1"}
    envs:
      dev: {name: d, vmid: 201, ip: 10.0.0.5/24, gateway: 10.0.0.1, branch: dev, env_vars: {B: "2"}}
"""
PROXNIX_WHOLE = """\
vms:
  a:
    {name: a, vm_id: 800, image_type: x, cores: 1, sockets: 1, memory_mb: 512, disk_gb: 8, storage_location: btr,
     cloud_init: {StorageReference: "local:iso/a.iso"}, protected: false, network_bridge: vmbr0, tags: [t],
     scsi_hw: virtio-scsi-pci, disk_slot: scsi0}
containers:
  b: {vm_id: 801, image_type: x, memory_mb: 512}
"""
MACHINE_WHOLE = """\
apiVersion: vitistack.io/v1alpha1
kind: Machine
metadata: {name: web, labels: {cluster.vitistack.io/cluster-name: home}, annotations: {a: b}}
spec:
  name: w
  vmid: 900
  node: pve
  template: t
  cpu: {cores: 1, sockets: 1}
  memory: 536870912
  disks: [{name: a, size: 20G, storage: btr, type: scsi, cache: none, format: raw}]
  networks: [{name: n, bridge: vmbr0, model: virtio, macAddress: "BC:24:11:00:00:01", vlan: 5, firewall: true}]
  osType: linux
  bootOrder: [disk]
  agent: true
  balloon: true
  protection: false
"""
WHOLE: Mapping[Format, tuple[str, str]] = {
    "container-monorepo": ("local/config.json", CONFIG),
    "app-projects": ("group_vars/all.yml", INVENTORY_WHOLE),
    "proxnix": ("config.json", PROXNIX_WHOLE),
    "vitistack": ("machine.yaml", MACHINE_WHOLE),
}


def altered(value: object, odd: object) -> Iterator[object]:
    """The same data with one value, or one name, replaced: once for every place."""
    yield odd
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: changed} for changed in altered(inner, odd))
            if isinstance(odd, str):
                yield {(odd if name == key else name): kept for name, kept in value.items()}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in altered(inner, odd))


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_an_odd_value_in_any_place_is_a_finding_and_never_smuggled(tmp_path: Path, form: Format, odd: object) -> None:
    name, whole = WHOLE[form]
    files: dict[str, str | bytes] = {"libs/web/container.env": ENV} if form == "container-monorepo" else {}
    written(tmp_path, {"source/x": "", "cluster.yaml": CLUSTER})
    for changed in altered(yaml.safe_load(whole), odd):
        written(tmp_path / "source", {**files, name: json.dumps(changed)})
        found = load([tmp_path / "source", tmp_path / "cluster.yaml"], form)
        for item in found.diagnostics:
            json.dumps(item.to_json())
            assert item.summary.isprintable()
        for step in plan(found.declared, {"home": VIEW}, Policy("move", "r1")).steps if found.ok else ():
            for call in step.operations:
                said = [str(value) for field, value in call.params if field != "description"]
                assert not any("evil" in text and ("," in text or "=" in text) for text in said), call


VIEW = worlds.view(nodes={name: Node(name, True, 64 << 30, 30 << 30) for name in ("pve", "pve1")}, root_ticket=True)
STORAGE = st.sampled_from(["btr", "nas", "local", "none"])
WORD = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
NUMBER = st.integers(1, 64).map(str)
CONTAINERS = st.dictionaries(
    WORD,
    st.fixed_dictionaries(
        {"CORES": NUMBER, "MEMORY": st.integers(16, 9999).map(str), "BOOT": st.sampled_from(["yes", "no"])},
        optional={
            "DISK": st.builds("{}:{}".format, STORAGE, NUMBER),
            "SWAP": st.integers(0, 512).map(str),
            "HOSTNAME": WORD,
            "MOUNT": st.sampled_from(["", "/mnt/a:/a", "local:4:/b,/dev/tun", "share", "/mnt/a:/a,media,local:1:/c"]),
            "EXTRA": st.text(st.characters(codec="ascii", exclude_characters="\"'\\#"), max_size=12),
        },
    ),
    max_size=4,
)


def monorepo(containers: Mapping[str, Mapping[str, str]], recipes: bool, stages: bool) -> dict[str, str]:
    files = {"globals.json": '{"HOST": "10.9.9.9", "BASE_GATEWAY": "10.0.0.1", "X": {"y": [1, true]}}'}
    for index, (name, values) in enumerate(containers.items()):
        lines = {**values, "IP": f"10.0.0.{index + 2}", "ID": str(200 + index)}
        text = "".join(f'{key}="{"".join(value.split())}"\n' for key, value in lines.items())
        files[f"libs/{name}/container.env"] = text
        if stages:
            files[f"libs/{name}/container.stage.env"] = f"IP=10.0.1.{index + 2}\nID={300 + index}\nCORES=1\n"
        if recipes:
            files[f"libs/{name}/recipes/default.rb"] = "package 'x'"
    return files


ENVIRONMENTS = st.dictionaries(
    st.sampled_from(["dev", "qa", "prod", "stage_two"]),
    st.fixed_dictionaries(
        {},
        optional={
            "branch": st.sampled_from(["dev", "main"]),
            "env_vars": st.dictionaries(
                st.from_regex(r"[A-Z_]{1,6}", fullmatch=True),
                st.text(st.characters(codec="ascii", min_codepoint=32), max_size=9)
                | st.integers()
                | st.booleans()
                | st.just("{{ vault_x }}"),
                max_size=3,
            ),
            "backend_port": st.integers(1, 65535),
        },
    ),
    min_size=1,
    max_size=3,
)


def inventory(projects: Mapping[str, Mapping[str, Mapping[str, object]]], kind: str) -> dict[str, str]:
    made: dict[str, object] = {}
    number = 100
    for project, environments in projects.items():
        envs = {}
        for word, own in environments.items():
            number += 1
            envs[word] = {
                **own,
                "name": f"{project}-{word}".replace("_", "-"),
                "vmid": number,
                "ip": f"10.0.0.{number - 99}/24",
            }
        made[project] = {"envs": envs, "frontend_port": 3100}
    shared = {"proxmox_guest_type": kind, "lxc_ostemplate": "debian-12", "kvm_template": "9000", "lxc_storage": "btr"}
    return {"group_vars/all.yml": json.dumps({**shared, "lxc_rootfs_size_gb": 8, "app_projects": made})}


MACHINES = st.dictionaries(
    WORD,
    st.fixed_dictionaries(
        {"image_type": WORD, "cores": st.integers(1, 8), "memory_mb": st.integers(16, 9999)},
        optional={
            "name": WORD,
            "protected": st.booleans(),
            "cloud_init": st.sampled_from(["None", {"StorageReference": "local:iso/a.iso"}]),
            "network_bridge": WORD,
            "disk_gb": st.integers(1, 99),
        },
    ),
    max_size=4,
)


def machines(specs: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    head = {"apiVersion": "vitistack.io/v1alpha1", "kind": "Machine"}
    labels = {"cluster.vitistack.io/cluster-name": "home"}
    documents = [{**head, "metadata": {"name": name, "labels": labels}, "spec": spec} for name, spec in specs.items()]
    return {"machines.yaml": "\n---\n".join(map(json.dumps, documents))}


KUBERNETES = st.fixed_dictionaries(
    {"memory": st.integers(64, 9999).map(lambda size: size << 20)},
    optional={
        "name": WORD,
        "vmid": st.integers(100, 9999),
        "node": st.sampled_from(["pve", "pve1", "gone"]),
        "cpu": st.fixed_dictionaries({"cores": st.integers(1, 8)}, optional={"sockets": st.integers(1, 2)}),
        "disks": st.lists(
            st.fixed_dictionaries(
                {"name": WORD, "size": st.sampled_from(["20G", "1T"]), "storage": STORAGE},
                optional={
                    "type": st.sampled_from(["ide", "sata", "scsi", "virtio"]),
                    "cache": st.sampled_from(["none", "writeback"]),
                    "format": st.sampled_from(["raw", "qcow2"]),
                },
            ),
            max_size=3,
        ),
        "networks": st.lists(
            st.fixed_dictionaries(
                {"name": WORD, "bridge": st.sampled_from(["vmbr0", "vmbr9"])},
                optional={"vlan": st.integers(1, 4094), "firewall": st.booleans(), "model": st.just("e1000")},
            ),
            max_size=2,
        ),
        "osType": st.sampled_from(["linux", "windows", "other"]),
        "bootOrder": st.lists(st.sampled_from(["disk", "network", "cdrom"]), max_size=3, unique=True),
        "agent": st.booleans(),
        "balloon": st.booleans(),
        "protection": st.booleans(),
    },
)


@given(
    files=st.one_of(
        st.builds(monorepo, CONTAINERS, st.booleans(), st.booleans()),
        st.builds(
            inventory, st.dictionaries(WORD, ENVIRONMENTS, min_size=1, max_size=3), st.sampled_from(["lxc", "kvm"])
        ),
        st.builds(lambda vms: {"config.json": json.dumps({"vms": vms})}, MACHINES),
        st.builds(lambda vms: {"flake.nix": "{ proxnix = …; }", "output": json.dumps({"vms": vms})}, MACHINES),
        st.builds(machines, st.dictionaries(WORD, KUBERNETES, max_size=4)),
    )
)
@QUICK
def test_what_is_declared_is_declared_the_same_once_converted(files: Mapping[str, str]) -> None:
    home = Path(tempfile.mkdtemp())
    try:
        source, target = written(home / "source", files), home / "native"
        cluster = written(home, {"cluster.yaml": CLUSTER}) / "cluster.yaml"
        original = load([source, cluster], None, lambda flake: (flake / "output").read_text())
        found = native(original.translated, target, adopt=False)
        for name, place in found.brought.items():
            shutil.copytree(place, target / name, ignore=shutil.ignore_patterns("*.env"))
        written(target, {"all.yaml": to_yaml(found.manifests)})
        converted = load([target, cluster], "native")
        if not original.ok:
            assert {item.code for item in original.diagnostics if item.severity == "error"} <= {
                "NoManifests",
                "BadValue",
                "BadCharacter",
            }
            return
        assert converted.ok, [item.summary for item in converted.diagnostics]
        assert _specs(converted) == _specs(original)
        assert planned(converted) == planned(original)
    finally:
        shutil.rmtree(home)


def planned(loaded: Loaded) -> object:
    """Every call of the plan on an empty cluster with what runs inside, and why there is none where there is none."""
    insights = Insights(
        {item.ref: str([(call.name, call.variables) for call in item.roles]) for item in insides(loaded.declared)}
    )
    found = plan(loaded.declared, {"home": VIEW}, Policy("move", "r1"), insights)
    steps = [(step.ref, step.node, step.vmid, step.operations, step.configure, step.refused) for step in found.steps]
    return sorted(steps, key=str), sorted((item.code, item.severity) for item in found.diagnostics)


def _specs(loaded: Loaded) -> dict[str, object]:
    found: dict[str, object] = {}
    for guest in loaded.declared.guests:
        configure = guest.spec.configure
        plain = configure.model_copy(update={"secrets": {}}) if configure else None
        found[str(guest.ref)] = guest.spec.model_copy(update={"configure": plain}), sorted(guest.labels)
    return found
