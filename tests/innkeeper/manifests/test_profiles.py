"""A profile fills in what a guest leaves out, and no more."""

from pathlib import Path

from innkeeper.manifests import Loaded, load
from innkeeper.model.guests import ContainerSpec, VirtualMachineSpec
from innkeeper.model.units import GiB, MiB

CLUSTER = """\
apiVersion: innkeeper.dev/v1alpha1
kind: Cluster
metadata: {name: home}
spec:
  endpoints: [https://127.0.0.1:8006]
  credentials: {tokenID: root@pam!full, tokenSecret: {env: SECRET}}
"""
PROFILE = """\
---
apiVersion: innkeeper.dev/v1alpha1
kind: Profile
metadata: {name: small}
spec:
  defaults:
    cpu: {cores: 2, limit: 1.5, sockets: 1}
    memory: 512Mi
    tags: [small]
    rootDisk: {storage: fast, size: 8Gi}
    network: [{ip: dhcp}]
    description: from the profile
"""


def read(tmp_path: Path, guest: str, profile: str = PROFILE, kind: str = "Container") -> Loaded:
    head = f"---\napiVersion: innkeeper.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: web}}\nspec:\n  profile: small\n"
    (tmp_path / "all.yaml").write_text(CLUSTER + profile + head + guest)
    return load([tmp_path])


def container(tmp_path: Path, guest: str) -> ContainerSpec:
    loaded = read(tmp_path, guest)
    assert loaded.ok, loaded.diagnostics
    spec = loaded.declared.guests[0].spec
    assert isinstance(spec, ContainerSpec)
    return spec


def test_maps_merge_and_lists_replace(tmp_path: Path) -> None:
    spec = container(tmp_path, "  cpu: {cores: 4}\n  tags: [web]\n  rootDisk: {size: 16Gi}\n")
    assert spec.cpu is not None
    assert (spec.cpu.cores, spec.cpu.limit, spec.memory) == (4, 1.5, 512 * MiB)
    assert spec.tags == ("web",)
    assert spec.root_disk is not None
    assert (spec.root_disk.storage, spec.root_disk.size) == ("fast", 16 * GiB)


def test_a_field_without_a_value_takes_the_default_away(tmp_path: Path) -> None:
    spec = container(tmp_path, "  description:\n  cpu: {limit: null}\n")
    assert "description" not in spec.model_fields_set
    assert spec.cpu is not None
    assert spec.cpu.model_fields_set == {"cores"}


def test_fields_of_the_other_kind_do_not_reach_a_guest(tmp_path: Path) -> None:
    loaded = read(
        tmp_path, "  running: true\n", PROFILE.replace("network: [{ip: dhcp}]", "osType: l26"), "VirtualMachine"
    )
    assert loaded.ok, loaded.diagnostics
    spec = loaded.declared.guests[0].spec
    assert isinstance(spec, VirtualMachineSpec)
    assert spec.os_type == "l26"
    assert spec.cpu is not None
    assert spec.cpu.model_fields_set == {"cores", "limit", "sockets"}


def test_only_what_is_named_counts_as_named(tmp_path: Path) -> None:
    named = container(tmp_path, "  running: true\n").model_fields_set
    assert named == {"cluster", "profile", "cpu", "memory", "tags", "root_disk", "network", "description", "running"}


def test_a_default_that_cannot_be_is_found_in_the_profile(tmp_path: Path) -> None:
    loaded = read(tmp_path, "  running: true\n", PROFILE.replace("512Mi", "512"))
    assert [(item.code, str(item.location)) for item in loaded.diagnostics] == [
        ("BadQuantity", f"{tmp_path}/all.yaml:14:5")
    ]


def test_places_of_inherited_fields_lie_in_the_profile(tmp_path: Path) -> None:
    guest = read(tmp_path, "  cpu: {cores: 1}\n  network: [{ip: dhcp}]\n").declared.guests[0]
    lines = {
        path: guest.origin.at(path).line
        for path in ("spec.cpu.cores", "spec.cpu.limit", "spec.memory", "spec.network.0.mac", "spec.dns", "spec.tags.0")
    }
    assert lines == {
        "spec.cpu.cores": 25,
        "spec.cpu.limit": 13,
        "spec.memory": 14,
        "spec.network.0.mac": 26,
        "spec.dns": 23,
        "spec.tags.0": 15,
    }


def test_limits_reach_into_lists(tmp_path: Path) -> None:
    limited = PROFILE + "  allowed: {mounts.size: {max: 8Gi}}\n"
    loaded = read(tmp_path, "  mounts: [{path: /a, size: 4Gi}, {path: /b, size: 16Gi}]\n", limited)
    assert [(item.code, item.summary.partition(":")[0]) for item in loaded.diagnostics] == [
        ("ProfileRange", "spec.mounts[1].size")
    ]


def test_options_of_the_other_kind_do_not_reach_a_guest(tmp_path: Path) -> None:
    both = PROFILE.replace("network: [{ip: dhcp}]", "options: {tty: 1, tablet: 0, onboot: 1}")
    loaded = read(tmp_path, "  running: true\n", both, "VirtualMachine")
    assert loaded.declared.guests[0].spec.options == {"tablet": 0, "onboot": 1}


def test_limits_that_nothing_meets_are_found(tmp_path: Path) -> None:
    loaded = read(tmp_path, "  running: true\n", PROFILE + "  allowed: {swap: {min: 2Gi, max: 512Mi}}\n")
    assert [(item.code, item.summary.partition(":")[0]) for item in loaded.diagnostics] == [
        ("BadCombination", "spec.allowed.swap")
    ]
